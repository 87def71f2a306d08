"""The sections of the configuration that belong to neither windows, decoding nor the loop."""

from __future__ import annotations

from dataclasses import dataclass

from qa.data.batches.evaluation_batches import BATCH_SIZE, CPU_BATCH_TOKENS
from qa.engine.config import option, require_at_least, require_choices
from qa.engine.errors import require

METRICS_FOR_BEST = ("f1", "exact_match", "eval_loss")
EMBEDDED = "embedded"
SPAN, GENERATIVE = "span", "generative"


@dataclass(frozen=True)
class DataConfig:
    """Which data is read, and how it is put into batches."""

    # A resumed run may name other files, but texts, gold answers and windows must be the same.
    train_data: str | None = option(
        None,
        "JSON, JSONL, CSV, Parquet or Arrow file, folder or archive of them (if it has splits, the"
        " train files; FOLDER:SPLIT), hub:NAME[:[CONFIG:]SPLIT], or 'embedded'; several:"
        " a.json,b.csv@2 (@2: an epoch shows b twice); docs/data.md says more",
        resume="free",
    )
    eval_data: str | None = option(
        None,
        "data to evaluate on, in the same forms; of a folder with splits the validation files",
        resume="free",
    )
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
    hard_negatives: bool = option(
        False,
        "also train on each question beside the wrong context of the training data that a search"
        " finds first, without an answer (negative_window_ratio of them); for readers of what a"
        " search finds",
        resume="same",
    )
    max_train_examples: int | None = option(
        None, "train only on the first N questions", resume="free"
    )
    max_eval_examples: int | None = option(
        None, "evaluate only on the first N questions", resume="free"
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
    """Which model is trained, and with which heads, dropout and losses."""

    # A resumed run may name another place, but the model's configuration must be the same.
    model: str = option(
        "klue/bert-base", "directory or hub id of an encoder, or 'embedded'", resume="free"
    )
    reader: str = option(
        SPAN,
        "span finds the answer's ends in the context; generative writes it with a decoder, copying"
        " where it can",
        (SPAN, GENERATIVE),
        resume="same",
    )
    decoder_layers: int = option(
        2, "layers of a generative reader's decoder, if that is new", resume="same"
    )
    span_loss_weight: float = option(
        0.0,
        "of a generative reader: weight of the loss of a span head on the same encoder",
        resume="same",
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
    pair_head: bool = option(
        True,
        "of a span reader: score the two ends of an answer together too, with a learned head",
        resume="same",
    )
    head_learning_rate: float = option(
        1.5e-3,
        "peak learning rate of heads that are new; loaded ones learn at learning_rate",
        resume="same",
    )
    trust_remote_code: bool = option(
        False,
        "run the code that comes with the model; read it first: it can do whatever you can",
        resume="free",
    )
    r_drop: float = option(
        0.0,
        "weight of the agreement of two passes (R-Drop), e.g. 1; a step then takes twice the time"
        " and, for activations, twice the memory",
        resume="same",
    )

    # Free, since the gradients are the same: a run that does not fit elsewhere can go on so.
    gradient_checkpointing: bool = option(
        False, "compute layers again in the backward pass: less memory, more time", resume="free"
    )
    compile: bool = option(
        False,
        "compile the encoder's layers (NVIDIA GPU): shorter steps after a longer start",
        resume="same",
    )
    freeze: str | None = option(
        None,
        "parts of the encoder that stay as they are, e.g. embeddings,encoder.layer.0",
        resume="same",
    )

    def __post_init__(self) -> None:
        require_choices(self)
        require_at_least(self, "decoder_layers", 1)
        require_at_least(self, "span_loss_weight", 0)
        require(
            self.span_loss_weight < float("inf"),
            f"span_loss_weight must be a number, not {self.span_loss_weight}",
        )
        require(self.freeze != "", "freeze is empty")
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
    """When the model is evaluated, and what makes it the best so far."""

    eval_steps: int | str = option(
        "epoch", "evaluate every N steps, or every 'epoch'", resume="free"
    )
    per_device_eval_batch_size: int = option(
        BATCH_SIZE,
        "windows of full length per batch of an evaluation; shorter windows share its capacity, and"
        f" on a CPU it holds at most {CPU_BATCH_TOKENS} tokens",
        resume="free",
    )
    metric_for_best_model: str = option(
        "f1", "what best/ is chosen by", METRICS_FOR_BEST, resume="same"
    )
    early_stopping_patience: int | None = option(
        None, "stop after N evaluations in a row without improvement", resume="free"
    )

    def __post_init__(self) -> None:
        require_steps(self, "eval_steps")
        require_at_least(self, "per_device_eval_batch_size", 1)
        if self.early_stopping_patience is not None:
            require_at_least(self, "early_stopping_patience", 1)
        require_choices(self)


@dataclass(frozen=True)
class OutputConfig:
    """What a run writes, where and how often."""

    output_dir: str | None = option(
        None, "directory of the run; runs/RECIPE-001, -002, ... if none", resume="free"
    )
    logging_steps: int = option(10, "write the curves every N steps", resume="free")
    save_steps: int | str = option(
        "epoch", "checkpoint every N steps, or every 'epoch'", resume="free"
    )
    async_save: bool = option(
        False, "write checkpoints in the background while training goes on", resume="free"
    )
    profile: bool = option(
        False,
        "write trace.json, which shows what steps 3 to 5 do, for a trace viewer such as Perfetto",
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


def require_steps(config: object, name: str) -> None:
    """Raise UserError unless the field is "epoch" or a number of steps from 1."""
    value = getattr(config, name)
    is_steps = isinstance(value, int) and value >= 1
    require(
        is_steps or value == "epoch", f"{name} must be a number from 1 or 'epoch', not {value!r}"
    )
