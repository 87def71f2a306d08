"""Settings of a training run. Imports nothing heavy, so that `--help` is there at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qa.engine.errors import require

LR_SCHEDULERS = ("cosine", "linear", "constant")
SHARDINGS = ("none", "fsdp")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def option(default: Any, help: str, choices: tuple[str, ...] | None = None) -> Any:
    """A dataclass field with its help text, and its choices, beside it."""
    return field(default=default, metadata={"help": help, "choices": choices})


@dataclass(frozen=True)
class TrainConfig:
    """What the training loop needs to know; checked once, when it is made."""

    learning_rate: float = option(3e-5, "peak learning rate of AdamW")
    weight_decay: float = option(0.01, "AdamW weight decay, applied to matrices only")
    num_train_epochs: int = option(2, "passes over the training data")
    max_steps: int | None = option(
        None, "stop after this many optimizer steps, whatever the epochs"
    )
    warmup_ratio: float = option(0.1, "share of all steps over which the learning rate rises")
    lr_scheduler: str = option("cosine", "shape of the decay after the warm-up", LR_SCHEDULERS)
    max_grad_norm: float = option(1.0, "clip the gradient to this norm; 0: do not clip")
    gradient_accumulation_steps: int = option(1, "micro-batches per optimizer step")
    precision: str = option(
        "auto",
        "auto: bf16 where the hardware multiplies it natively, else fp16 on CUDA, else fp32",
        PRECISIONS,
    )
    device: str = option("auto", "auto (cuda, then mps, then cpu), cpu, cuda, cuda:1, ...")
    seed: int = option(42, "seed of new weights, dropout and data order")
    sharding: str = option(
        "none", "fsdp: split weights and optimizer among torchrun's processes (FSDP2)", SHARDINGS
    )
    num_workers: int = option(0, "processes that prepare batches; 0: the training process itself")

    def __post_init__(self) -> None:
        for name in ("num_train_epochs", "gradient_accumulation_steps"):
            require_at_least(self, name, 1)
        for name in ("weight_decay", "max_grad_norm", "num_workers", "seed"):
            require_at_least(self, name, 0)
        require(self.seed < 2**32, f"seed must be below 2**32, not {self.seed}")
        if self.max_steps is not None:
            require_at_least(self, "max_steps", 1)
        require(
            0 < self.learning_rate < float("inf"),
            f"learning_rate must be above 0, not {self.learning_rate}",
        )
        require(
            0 <= self.warmup_ratio <= 1, f"warmup_ratio must be 0 to 1, not {self.warmup_ratio}"
        )
        require_choice(self, "lr_scheduler", LR_SCHEDULERS)
        require_choice(self, "precision", PRECISIONS)
        require_choice(self, "sharding", SHARDINGS)
        require(
            self.sharding == "none" or self.precision != "fp16",
            "sharding fsdp does not go with precision fp16, whose loss scaling it lacks; use bf16",
        )


def require_at_least(config: object, name: str, minimum: float) -> None:
    """Raise UserError unless the field is a number of at least `minimum`."""
    value = getattr(config, name)
    # Not `value < minimum`: a NaN must fail too.
    require(minimum <= value < float("inf"), f"{name} must be at least {minimum}, not {value}")


def require_choice(config: object, name: str, choices: tuple[str, ...]) -> None:
    """Raise UserError unless the field is one of `choices`."""
    value = getattr(config, name)
    require(value in choices, f"{name} must be one of {', '.join(choices)}, not {value!r}")
