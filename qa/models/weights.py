"""Reading and writing the weights of a span reader's parts."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from qa.engine.errors import UserError, require
from qa.models.pretrained import user_errors

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

BOUNDARY_FILE = "boundary_head.safetensors"  # beside the weights that transformers reads
# The names that encoders give their two dropout probabilities.
ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT_NAMES = ("hidden_dropout_prob", "dropout")


def load_model(
    name: str, revision: str | None, attention_dropout: float | None, hidden_dropout: float | None
) -> tuple[PreTrainedModel, list[str]]:
    """Load transformers' question-answering model, fp32.

    Args:
        name: A directory or hub id.
        revision: Commit of a hub id; None for the newest, or for a directory.
        attention_dropout: Probability from 0 to below 1; None keeps the model's own.
        hidden_dropout: Probability from 0 to below 1; None keeps the model's own.

    Returns:
        The model, and the names of weights that were not saved, which are drawn from torch's global
        generator.
    """
    from transformers import AutoConfig, AutoModelForQuestionAnswering

    with user_errors(name):
        config = AutoConfig.from_pretrained(name, revision=revision)
        set_dropout(config, "attention_dropout", ATTENTION_DROPOUT_NAMES, attention_dropout)
        set_dropout(config, "hidden_dropout", HIDDEN_DROPOUT_NAMES, hidden_dropout)
        with quiet_transformers():
            model, loading = AutoModelForQuestionAnswering.from_pretrained(
                name,
                revision=revision,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
            )
    return model, list(loading["missing_keys"])


def require_weights(name: str, missing: Sequence[str], require_head: bool) -> None:
    """Raise UserError if weights of the model `name` are missing, other than a head's.

    `missing`: their names. `require_head`: the span head's must not be missing either.
    """
    absent = [key for key in missing if not key.startswith("qa_outputs.")]
    require(not absent, f"{name}: weights are missing, e.g. {', '.join(sorted(absent)[:2])}")
    require(
        not (require_head and missing),
        f"{name}: has no trained span head (qa_outputs); train it first with train.py --model",
    )


def load_head(head: nn.Module, file: Path) -> None:
    """Load a saved head; UserError if the file is damaged or belongs to another model."""
    from safetensors.torch import load_file

    try:
        head.load_state_dict(load_file(file))
    except Exception as error:  # safetensors and torch raise their own, without a common base
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{file}: cannot be loaded as this model's boundary head ({reason}); put it back, or"
            " remove it to answer by whole tokens"
        ) from error


def save_weights(
    model: PreTrainedModel, weights: Mapping[str, torch.Tensor], directory: Path
) -> None:
    """Write weights and configuration as transformers does; OSError if that fails.

    The boundary head goes into a file of its own, which transformers leaves alone.

    Args:
        model: transformers' question-answering model; only its configuration is read.
        weights: State of a `SpanReader`: names begin with "model." or "boundary_head.".
        directory: Gets the files.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    boundary_weights = without_prefix(weights, "boundary_head.")
    try:
        with quiet_transformers():
            model.save_pretrained(directory, state_dict=without_prefix(weights, "model."))
        file = Path(directory) / BOUNDARY_FILE
        file.unlink(missing_ok=True)  # of another model that was saved there
        if boundary_weights:
            save_file(boundary_weights, file)
    except SafetensorError as error:  # what it makes of a failed write, e.g. on a full disk
        raise OSError(errno.EIO, str(error), str(directory)) from error


def without_prefix(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the weights whose names start with `prefix`, under their names without it."""
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def set_dropout(
    config: PretrainedConfig, option: str, names: tuple[str, ...], value: float | None
) -> None:
    """Set a dropout probability; UserError if this model has none of the kind.

    Args:
        config: The model's configuration, which is changed.
        option: What qa calls the probability, for the message.
        names: What encoders call it; the first that this one has is set.
        value: The probability; None leaves the configuration alone.
    """
    if value is None:
        return
    present = [name for name in names if hasattr(config, name)]
    require(present, f"{option}: a {config.model_type} model has no such setting")
    setattr(config, present[0], value)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and its report of a new head inside the context."""
    from transformers.utils import logging

    verbosity, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_bars:
            logging.enable_progress_bar()
