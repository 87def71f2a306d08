"""Reading and writing the weights of a span reader's parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from qa.engine.errors import require
from qa.models.loading import base_renaming, check_loaded
from qa.models.other_task import set_two_labels
from qa.models.own_head import needs_own_head, own_head_class, was_saved_with_own_head
from qa.models.part_files import HEADS, PART_FILES, without_prefix, written_weights
from qa.models.pretrained import user_errors
from qa.models.weights_report import Loading

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# The names that encoders give their two dropout probabilities.
ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT_NAMES = ("hidden_dropout_prob", "dropout")


def load_model(
    name: str,
    revision: str | None,
    attention_dropout: float | None,
    hidden_dropout: float | None,
    trust_remote_code: bool = False,
    own_head: bool = False,
) -> Loading:
    """Load a question-answering model, fp32; what is not saved is drawn from torch's generator.

    Args:
        name: A directory or hub id.
        revision: Commit of a hub id; None for the newest, or for a directory.
        attention_dropout: Probability from 0 to below 1; None keeps the model's own.
        hidden_dropout: Probability from 0 to below 1; None keeps the model's own.
        trust_remote_code: Run the code that comes with the model.
        own_head: Put qa's own linear head behind the encoder even if transformers has another.

    Raises:
        UserError: It cannot be loaded, or not all weights of its encoder are used as they are.
    """
    from transformers import AutoConfig, AutoModelForQuestionAnswering

    with user_errors(name):
        config = AutoConfig.from_pretrained(
            name, revision=revision, trust_remote_code=trust_remote_code
        )
        set_dropout(config, "attention_dropout", ATTENTION_DROPOUT_NAMES, attention_dropout)
        set_dropout(config, "hidden_dropout", HIDDEN_DROPOUT_NAMES, hidden_dropout)
        labels = set_two_labels(config)
        if getattr(config, "attention_type", None) == "block_sparse":
            # BigBird turns to full attention for good at its first short window.
            config.attention_type = "original_full"
        saved_own = was_saved_with_own_head(config)
        own_head = own_head or saved_own or needs_own_head(config, trust_remote_code)
        options: dict[str, Any] = {
            "revision": revision,
            "config": config,
            "dtype": torch.float32,
            "output_loading_info": True,
            "ignore_mismatched_sizes": True,  # they are refused below, with a reason
        }
        with quiet_transformers():
            if own_head:
                model_class = own_head_class(config, name, revision, trust_remote_code)
                model, info = model_class.from_pretrained(name, **options)
            else:
                renaming = base_renaming(config)
                model, info = AutoModelForQuestionAnswering.from_pretrained(
                    name, trust_remote_code=trust_remote_code, key_mapping=renaming, **options
                )
                if renaming:
                    # Or it would be saved under the old names, which transformers does not load.
                    model._weight_conversions = None
    return check_loaded(name, model, info, labels, own_head, own_head and not saved_own)


def save_weights(
    model: PreTrainedModel, weights: Mapping[str, torch.Tensor], directory: Path
) -> None:
    """Write weights and configuration as transformers does; OSError if that fails.

    Heads of qa's own go into files of their own, which transformers leaves alone.

    Args:
        model: transformers' question-answering model; only its configuration is read.
        weights: State of a `SpanReader`: names begin with "model.", "boundary_head." or
            "pair_head.".
        directory: Gets the files.
    """
    from safetensors.torch import save_file

    heads = {file: without_prefix(weights, f"{head}.") for head, file in HEADS.items()}
    with written_weights(directory):
        with quiet_transformers():
            model.save_pretrained(directory, state_dict=without_prefix(weights, "model."))
        for name in PART_FILES:  # of another model that was saved there
            (Path(directory) / name).unlink(missing_ok=True)
        for name, head in heads.items():
            if head:
                save_file(head, Path(directory) / name)


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
