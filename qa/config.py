"""The configuration of `train.py`: sections of frozen dataclasses, one flag per field.

Nothing heavy is imported here, so that `--help` is there at once.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qa.data.batches.evaluation_batches import BATCH_SIZE, CPU_BATCH_TOKENS
from qa.engine.config import TrainConfig, option, require_at_least, require_choice
from qa.engine.errors import UserError, require

METRICS_FOR_BEST = ("f1", "exact_match", "eval_loss")
EMBEDDED = "embedded"


@dataclass(frozen=True)
class DataConfig:
    """What is read and how it is cut into windows."""

    train_data: str | None = option(
        None,
        "JSON, JSONL, CSV or Parquet file, folder or .zip of them, hub:NAME[:[CONFIG:]SPLIT], or"
        " 'embedded'; several: a.json,b.csv@2 (@2: an epoch shows b twice); docs/data.md says more",
    )
    eval_data: str | None = option(None, "data to evaluate on, in the same forms")
    holdout: float | None = option(
        None, "instead of eval_data: share of the articles to hold out; 0.2 is every 5th"
    )
    nfc: bool = option(
        False, "compose all text to Unicode NFC (Korean from macOS is decomposed), mend offsets"
    )
    max_seq_length: int = option(384, "tokens of a window, question and special tokens included")
    window_overlap: int = option(
        128,
        "tokens that neighbouring windows share (transformers: stride; the doc_stride of Google's"
        " and NVIDIA's scripts is the room for context minus this)",
    )
    max_question_length: int = option(64, "tokens; longer questions are cut and counted")
    per_device_train_batch_size: int = option(16, "windows per micro-batch")
    negative_window_ratio: float = option(
        1.0, "share of the windows without the answer that an epoch trains on"
    )
    max_train_examples: int | None = option(None, "train on the first so many questions")
    max_eval_examples: int | None = option(None, "evaluate on the first so many questions")

    def __post_init__(self) -> None:
        for name in ("max_seq_length", "max_question_length", "per_device_train_batch_size"):
            require_at_least(self, name, 1)
        require_at_least(self, "window_overlap", 0)
        for name in ("train_data", "eval_data"):
            require(getattr(self, name) != "", f"{name} is empty")
        for name in ("max_train_examples", "max_eval_examples"):
            if getattr(self, name) is not None:
                require_at_least(self, name, 1)
        require(
            0 <= self.negative_window_ratio <= 1,
            f"negative_window_ratio must be 0 to 1, not {self.negative_window_ratio}",
        )
        require(
            self.holdout is None or 0 < self.holdout <= 0.5,
            f"holdout must be above 0 and at most 0.5, not {self.holdout}",
        )
        require(
            self.holdout is None or self.eval_data is None,
            "pass eval_data or holdout, not both; --eval-data none takes a recipe's away",
        )


@dataclass(frozen=True)
class ModelConfig:
    """Which model is trained, and what its parts learn from."""

    model: str = option("klue/bert-base", "directory or hub id of an encoder, or 'embedded'")
    attention_dropout: float | None = option(
        None, "dropout of attention probabilities; the model's own if not given"
    )
    hidden_dropout: float | None = option(None, "dropout of hidden states; likewise")
    character_boundaries: bool = option(
        True, "place both ends of an answer at characters inside their tokens, with a learned head"
    )
    head_learning_rate: float = option(
        1.5e-3, "peak learning rate of heads that are new; loaded ones learn at learning_rate"
    )
    r_drop: float = option(
        0.0,
        "weight of the agreement of two passes (R-Drop), e.g. 1; a step then takes twice the time"
        " and, for activations, twice the memory",
    )

    def __post_init__(self) -> None:
        require(
            0 < self.head_learning_rate < float("inf"),
            f"head_learning_rate must be above 0, not {self.head_learning_rate}",
        )
        require_at_least(self, "r_drop", 0)
        for name in ("attention_dropout", "hidden_dropout"):
            value = getattr(self, name)
            require(value is None or 0 <= value < 1, f"{name} must be 0 to below 1, not {value}")


@dataclass(frozen=True)
class EvalConfig:
    """When and how the reader is evaluated."""

    eval_steps: int | str = option("epoch", "evaluate every so many steps, or every 'epoch'")
    per_device_eval_batch_size: int = option(
        BATCH_SIZE,
        "windows of full length per batch of an evaluation; shorter ones share their room, and a"
        f" CPU takes at most {CPU_BATCH_TOKENS} tokens",
    )
    metric_for_best_model: str = option("f1", "what best/ is chosen by", METRICS_FOR_BEST)
    early_stopping_patience: int | None = option(
        None, "stop after so many evaluations without improvement"
    )
    n_best_size: int = option(20, "candidate answers kept per question")
    max_answer_length: int = option(30, "longest answer, in tokens")
    null_score_diff_threshold: float | None = option(
        None,
        "leave questions unanswered whose null odds exceed it; tuned on the held-out part if"
        " there are such questions",
    )

    def __post_init__(self) -> None:
        require_steps(self, "eval_steps")
        for name in ("per_device_eval_batch_size", "n_best_size", "max_answer_length"):
            require_at_least(self, name, 1)
        if self.early_stopping_patience is not None:
            require_at_least(self, "early_stopping_patience", 1)
        require_choice(self, "metric_for_best_model", METRICS_FOR_BEST)
        threshold = self.null_score_diff_threshold
        require(
            threshold is None or -1e9 < threshold < 1e9,
            f"null_score_diff_threshold must be between -1e9 and 1e9, not {threshold}",
        )


@dataclass(frozen=True)
class OutputConfig:
    """What is written, where and how often."""

    output_dir: str | None = option(
        None, "directory of the run; runs/RECIPE-001, -002, ... if none"
    )
    logging_steps: int = option(10, "write the curves every so many steps")
    save_steps: int | str = option("epoch", "checkpoint every so many steps, or every 'epoch'")
    async_save: bool = option(False, "write checkpoints in the background while training goes on")
    profile: bool = option(
        False, "write trace.json, what the steps 3 to 5 do, for a trace viewer such as Perfetto"
    )
    save_total_limit: int | None = option(2, "checkpoints kept, the newest; 'none' keeps all")

    def __post_init__(self) -> None:
        require(self.output_dir != "", "output_dir is empty")
        require_at_least(self, "logging_steps", 1)
        require_steps(self, "save_steps")
        if self.save_total_limit is not None:
            require_at_least(self, "save_total_limit", 1)


@dataclass(frozen=True)
class Config:
    """All sections together; field names are unique across them, so that flags are flat."""

    recipe: str = "custom"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        require(
            self.data.train_data is not None,
            "no training data: pass --train-data FILE, or a --recipe that names its data",
        )
        require(
            (self.data.train_data == EMBEDDED) == (self.model.model == EMBEDDED),
            "the embedded data and the embedded model go together: with --train-data pass --model,"
            " and the other way round",
        )
        if self.model.model == EMBEDDED:
            names = ("attention_dropout", "hidden_dropout", "head_learning_rate")
            values = [getattr(self.model, name) for name in names]
            require(
                values == [getattr(ModelConfig, name) for name in names]
                and self.data.holdout is None,
                "attention_dropout, hidden_dropout, head_learning_rate and holdout do not apply to"
                " the embedded job, which makes its own model and held-out part",
            )

    def flat(self) -> dict[str, Any]:
        """Every value by its field name, as config.json holds them."""
        values: dict[str, Any] = {"recipe": self.recipe}
        for name in SECTIONS:
            values.update(dataclasses.asdict(getattr(self, name)))
        return values


SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "evaluation": EvalConfig,
    "output": OutputConfig,
}


def config_fields() -> dict[str, dataclasses.Field[Any]]:
    """Field name -> field, over all sections."""
    return {f.name: f for section in SECTIONS.values() for f in dataclasses.fields(section)}


def config_from_flat(values: dict[str, Any]) -> Config:
    """The Config of flat values; fields not named keep their defaults. UserError if wrong."""
    known = config_fields()
    unknown = sorted(values.keys() - known.keys() - {"recipe"})
    require(not unknown, f"unknown settings: {', '.join(unknown)}")
    sections = {
        name: section(
            **{f.name: values[f.name] for f in dataclasses.fields(section) if f.name in values}
        )
        for name, section in SECTIONS.items()
    }
    return Config(recipe=values.get("recipe", "custom"), **sections)


def read_config_file(path: Path) -> dict[str, Any]:
    """Flat values of a config.json; UserError if it is none or a value has the wrong type."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UserError(f"{path}: is not JSON ({error})") from error
    require(isinstance(values, dict), f"{path}: must hold one JSON object of settings")
    known = config_fields()
    recipe = values.get("recipe", "custom")
    require(
        isinstance(recipe, str) and recipe.replace("-", "").isalnum(),
        f"{path}: recipe must be a name, not {json.dumps(recipe)}",
    )
    for name, value in values.items():
        if name != "recipe":
            require(name in known, f"{path}: unknown setting {name!r}")
            require(
                fits_type(value, str(known[name].type)),
                f"{path}: {name} must be {known[name].type}, not {json.dumps(value)}",
            )
    return values


def fits_type(value: Any, annotation: str) -> bool:
    """Whether a JSON value is of a field's type, such as "int | None"."""
    kinds: dict[str, Any] = {
        "int": int,
        "float": (int, float),
        "str": str,
        "bool": bool,
        "None": type(None),
    }
    if isinstance(value, bool):
        return annotation == "bool"
    return any(isinstance(value, kinds[name]) for name in annotation.split(" | "))


def require_steps(config: object, name: str) -> None:
    """Raise UserError unless the field is "epoch" or a number of steps from 1."""
    value = getattr(config, name)
    is_steps = isinstance(value, int) and value >= 1
    require(
        is_steps or value == "epoch", f"{name} must be a number from 1 or 'epoch', not {value!r}"
    )
