"""The configuration of `train.py`: sections of frozen dataclasses, one flag per field.

Nothing heavy is imported here, so that `--help` is there at once.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qa.answering.options import DecodeOptions
from qa.data.batches.evaluation_batches import BATCH_SIZE, CPU_BATCH_TOKENS
from qa.data.windows.options import WindowOptions
from qa.engine.config import TrainConfig, from_values, option, require_at_least, require_choices
from qa.engine.errors import require
from qa.engine.json_files import read_json

METRICS_FOR_BEST = ("f1", "exact_match", "eval_loss")
EMBEDDED = "embedded"


@dataclass(frozen=True)
class DataConfig:
    """What is read, and how it is put into batches."""

    # What a resumed run must share is what the data comes to: texts, gold answers, windows.
    train_data: str | None = option(
        None,
        "JSON, JSONL, CSV or Parquet file, folder or .zip of them, hub:NAME[:[CONFIG:]SPLIT], or"
        " 'embedded'; several: a.json,b.csv@2 (@2: an epoch shows b twice); docs/data.md says more",
        resume="free",
    )
    eval_data: str | None = option(None, "data to evaluate on, in the same forms", resume="free")
    holdout: float | None = option(
        None,
        "instead of eval_data: share of the articles to hold out; 0.2 is every 5th",
        resume="free",
    )
    nfc: bool = option(
        False,
        "compose all text to Unicode NFC (Korean from macOS is decomposed), mend offsets",
        resume="free",
    )
    per_device_train_batch_size: int = option(16, "windows per micro-batch", resume="same")
    negative_window_ratio: float = option(
        1.0, "share of the windows without the answer that an epoch trains on", resume="same"
    )
    max_train_examples: int | None = option(
        None, "train on the first so many questions", resume="free"
    )
    max_eval_examples: int | None = option(
        None, "evaluate on the first so many questions", resume="free"
    )

    def __post_init__(self) -> None:
        require_at_least(self, "per_device_train_batch_size", 1)
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

    # What a resumed run must share is the model's configuration, wherever it lies.
    model: str = option(
        "klue/bert-base", "directory or hub id of an encoder, or 'embedded'", resume="free"
    )
    attention_dropout: float | None = option(
        None,
        "dropout of attention probabilities; the model's own if not given",
        resume="same",
    )
    hidden_dropout: float | None = option(
        None, "dropout of hidden states; the model's own if not given", resume="same"
    )
    character_boundaries: bool = option(
        True,
        "place both ends of an answer at characters inside their tokens, with a learned head",
        resume="same",
    )
    head_learning_rate: float = option(
        1.5e-3,
        "peak learning rate of heads that are new; loaded ones learn at learning_rate",
        resume="same",
    )
    r_drop: float = option(
        0.0,
        "weight of the agreement of two passes (R-Drop), e.g. 1; a step then takes twice the time"
        " and, for activations, twice the memory",
        resume="same",
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
    """When the reader is evaluated, and what its best is."""

    eval_steps: int | str = option(
        "epoch", "evaluate every so many steps, or every 'epoch'", resume="free"
    )
    per_device_eval_batch_size: int = option(
        BATCH_SIZE,
        "windows of full length per batch of an evaluation; shorter ones share their room, and a"
        f" CPU takes at most {CPU_BATCH_TOKENS} tokens",
        resume="free",
    )
    metric_for_best_model: str = option(
        "f1", "what best/ is chosen by", METRICS_FOR_BEST, resume="same"
    )
    early_stopping_patience: int | None = option(
        None, "stop after so many evaluations without improvement", resume="free"
    )

    def __post_init__(self) -> None:
        require_steps(self, "eval_steps")
        require_at_least(self, "per_device_eval_batch_size", 1)
        if self.early_stopping_patience is not None:
            require_at_least(self, "early_stopping_patience", 1)
        require_choices(self)


@dataclass(frozen=True)
class OutputConfig:
    """What is written, where and how often."""

    output_dir: str | None = option(
        None, "directory of the run; runs/RECIPE-001, -002, ... if none", resume="free"
    )
    logging_steps: int = option(10, "write the curves every so many steps", resume="free")
    save_steps: int | str = option(
        "epoch", "checkpoint every so many steps, or every 'epoch'", resume="free"
    )
    async_save: bool = option(
        False, "write checkpoints in the background while training goes on", resume="free"
    )
    profile: bool = option(
        False,
        "write trace.json, what the steps 3 to 5 do, for a trace viewer such as Perfetto",
        resume="free",
    )
    save_total_limit: int | None = option(
        2, "checkpoints kept, the newest; 'none' keeps all", resume="free"
    )

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
    windows: WindowOptions = field(default_factory=WindowOptions)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    decoding: DecodeOptions = field(default_factory=DecodeOptions)
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
    "windows": WindowOptions,
    "model": ModelConfig,
    "train": TrainConfig,
    "evaluation": EvalConfig,
    "decoding": DecodeOptions,
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
    sections: dict[str, Any] = {
        name: from_values(section, values) for name, section in SECTIONS.items()
    }
    return Config(recipe=values.get("recipe", "custom"), **sections)


def read_config_file(path: Path) -> dict[str, Any]:
    """Flat values of a config.json; UserError if it is none or a value has the wrong type."""
    values = read_json(path, "settings")
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
