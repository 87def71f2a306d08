"""Settings of a training run. Nothing heavy is imported here, so that `--help` is fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from numbers import Real
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from qa.engine.errors import require

LR_SCHEDULERS = ("cosine", "linear", "constant")
SHARDINGS = ("none", "fsdp")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
CUDA_GRAPHS = ("off", "auto")


class DataclassInstance(Protocol):
    """An object of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Options = TypeVar("Options", bound=DataclassInstance)


def option(
    default: Any,
    help: str,
    choices: tuple[str, ...] | None = None,
    *,
    resume: Literal["same", "free"],
) -> Any:
    """Return a dataclass field that carries what a command line needs to know about it.

    The return type is Any, since the field it becomes may have any type.

    Args:
        default: The field's default.
        help: Help text of the field's flag.
        choices: The values that the field may have, if they can be listed; see `require_choices`.
        resume: "same" if a resumed run must share the value with the run it continues, since the
            value decides what is learned or how evaluations compare; "free" if it may change.
    """
    return field(default=default, metadata={"help": help, "choices": choices, "resume": resume})


def from_values(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Make a dataclass of those values that are fields of it; other fields keep their defaults."""
    names = [each.name for each in fields(kind)]
    return kind(**{name: values[name] for name in names if name in values})


@dataclass(frozen=True)
class TrainConfig:
    """The settings of the training loop, checked once, when the object is made."""

    learning_rate: float = option(3e-5, "peak learning rate of AdamW", resume="same")
    weight_decay: float = option(
        0.01, "AdamW weight decay, applied to matrices only", resume="same"
    )
    adam_beta1: float = option(0.9, "AdamW's decay of the mean gradient", resume="same")
    adam_beta2: float = option(0.999, "AdamW's decay of the mean squared gradient", resume="same")
    adam_epsilon: float = option(1e-8, "AdamW's addition to the denominator", resume="same")
    num_train_epochs: int | float = option(
        2, "passes over the training data; 1.5 is one and a half", resume="free"
    )
    max_steps: int | None = option(
        None, "stop after this many optimizer steps, whatever the epochs", resume="free"
    )
    warmup_ratio: float = option(
        0.1, "share of all steps over which the learning rate rises", resume="same"
    )
    warmup_steps: int | None = option(
        None, "instead of warmup_ratio: steps over which the learning rate rises", resume="same"
    )
    lr_scheduler: str = option(
        "cosine", "shape of the decay after the warm-up", LR_SCHEDULERS, resume="same"
    )
    max_grad_norm: float = option(
        1.0, "clip the gradient to this norm; 0: do not clip", resume="same"
    )
    # A resumed run must share the product of this and the number of processes.
    gradient_accumulation_steps: int = option(1, "micro-batches per optimizer step", resume="free")
    # A resumed run must share the format that is used in the end, not the word "auto".
    precision: str = option(
        "auto",
        "auto: bf16 where the hardware multiplies it natively, else fp16 on CUDA, else fp32; fp32"
        " on CUDA is full fp32, without TF32",
        PRECISIONS,
        resume="free",
    )
    device: str = option(
        "auto", "auto (cuda, then mps, then cpu), cpu, cuda, cuda:1, ...", resume="free"
    )
    seed: int = option(42, "seed of new weights, dropout and data order", resume="same")
    sharding: str = option(
        "none",
        "fsdp: split weights and optimizer among torchrun's processes (FSDP2)",
        SHARDINGS,
        resume="same",
    )
    num_workers: int = option(
        0, "processes that prepare batches; 0: the training process itself", resume="free"
    )
    # Off until somebody has measured it. Free, since the numbers are the same.
    cuda_graphs: str = option(
        "off",
        "auto: launch the forward and backward passes of shapes that come again as one CUDA graph,"
        " in a single process and not with fp16",
        CUDA_GRAPHS,
        resume="free",
    )
    deterministic: bool = option(
        False,
        "take only kernels that give the same bits every time, so that runs on CUDA resume exactly;"
        " on a CPU they do anyhow",
        resume="same",
    )

    def __post_init__(self) -> None:
        for name in (
            "max_steps",
            "warmup_steps",
            "gradient_accumulation_steps",
            "num_workers",
            "seed",
        ):
            value = getattr(self, name)  # with 3.5 steps none would be the last
            whole = value is None or type(value) is int
            require(whole, f"{name} must be a whole number (int), not {value!r}")
        require_at_least(self, "gradient_accumulation_steps", 1)
        for name in ("weight_decay", "adam_epsilon", "max_grad_norm", "num_workers", "seed"):
            require_at_least(self, name, 0)
        require(self.seed < 2**32, f"seed must be below 2**32, not {self.seed}")
        if self.max_steps is not None:
            require_at_least(self, "max_steps", 1)
        if self.warmup_steps is not None:
            require_at_least(self, "warmup_steps", 0)
        for name in ("learning_rate", "num_train_epochs"):
            value = number(self, name)
            require(0 < value < float("inf"), f"{name} must be above 0, not {value}")
        for name in ("adam_beta1", "adam_beta2"):
            value = number(self, name)
            require(0 <= value < 1, f"{name} must be 0 to below 1, not {value}")
        ratio = number(self, "warmup_ratio")
        require(0 <= ratio <= 1, f"warmup_ratio must be 0 to 1, not {ratio}")
        require(
            isinstance(self.deterministic, bool),
            f"deterministic must be True or False, not {self.deterministic!r}",
        )
        require_choices(self)
        require_scaling(self.sharding, self.precision)


def require_scaling(sharding: str, precision: str) -> None:
    """Raise UserError for fp16 where its loss scaling is missing."""
    require(
        sharding == "none" or precision != "fp16",
        "sharding fsdp does not go with precision fp16, whose loss scaling it lacks; use bf16, or"
        " fp32 where the hardware has no bf16",
    )


def require_at_least(config: object, name: str, minimum: float) -> None:
    """Raise UserError unless the field is a number of at least `minimum`."""
    value = number(config, name)
    # Not `value < minimum`: a NaN must fail too.
    require(minimum <= value < float("inf"), f"{name} must be at least {minimum}, not {value}")


def number(config: object, name: str) -> Any:
    """Return the value of a field; UserError unless it is a number.

    YAML has `1e-3` as a text, and many write None for none.
    """
    value = getattr(config, name)
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    require(is_number, f"{name} must be a number, not {value!r}")
    return value


def require_choices(config: DataclassInstance) -> None:
    """Raise UserError unless the value of every field with choices is one of them."""
    for each in fields(config):
        choices, value = each.metadata["choices"], getattr(config, each.name)
        require(
            choices is None or value in choices,
            f"{each.name} must be one of {', '.join(choices or ())}, not {value!r}",
        )
