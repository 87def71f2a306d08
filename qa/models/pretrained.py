"""Loading models and tokenizers from directories and from the hub, with errors for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qa.engine.errors import UserError, out_of_memory, require

# The names that encoders give their two dropout probabilities.
ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT_NAMES = ("hidden_dropout_prob", "dropout")
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


def revision_of(name: str) -> str | None:
    """The commit that a hub id stands for now, so that all its files are of one; None: a directory.

    Without a network it is the one that the hub's cache holds. UserError if there is no such model.
    """
    check_directory(name)
    if os.path.isdir(name):
        return None
    from huggingface_hub import hf_hub_download

    with user_errors(name):
        # The cache's files lie in directories named like their commits.
        return Path(hf_hub_download(name, "config.json")).parent.name


def load_model(
    name: str, revision: str | None, attention_dropout: float | None, hidden_dropout: float | None
) -> tuple[Any, list[str]]:
    """transformers' question-answering model, fp32, and the names of weights that were not saved.

    Those are drawn from torch's global generator. Dropout probabilities: None keeps the model's.
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


def saved_file(name: str, file_name: str, revision: str | None) -> Path | None:
    """A file beside the weights of a directory or hub id; None if there is none.

    Without a network only what the hub's cache holds is found. Where neither says whether there is
    such a file, a note on stderr does, and None is returned: transformers caches a model without.
    """
    if os.path.isdir(name):
        path = Path(name) / file_name
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with user_errors(name):
        try:
            return Path(hf_hub_download(name, file_name, revision=revision))
        except LocalEntryNotFoundError:  # whatever kept the hub from answering
            # None: nothing is known of the file. Otherwise it is known that there is none.
            if try_to_load_from_cache(name, file_name, revision=revision) is None:
                print(
                    f"note: {name}: the hub did not answer, and its cache does not say whether"
                    f" there is a {file_name}: going on without; `hf download {name}` fetches all"
                    " there is",
                    file=sys.stderr,
                )
            return None
        except EntryNotFoundError:  # of which the one above is a kind
            return None


def load_boundary_head(head: nn.Module, file: Path) -> None:
    """Load a saved head; UserError if the file is damaged or of another model."""
    from safetensors.torch import load_file

    try:
        head.load_state_dict(load_file(file))
    except Exception as error:  # safetensors and torch raise their own, without a common base
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{file}: cannot be loaded as this model's boundary head ({reason}); put it back, or"
            " remove it to answer by whole tokens"
        ) from error


def set_dropout(config: Any, option: str, names: tuple[str, ...], value: float | None) -> None:
    """Set a dropout probability under the name that this encoder gives it; None leaves it alone."""
    if value is None:
        return
    present = [name for name in names if hasattr(config, name)]
    require(present, f"{option}: a {config.model_type} model has no such setting")
    setattr(config, present[0], value)


def load_tokenizer(name: str, revision: str | None = None) -> Any:
    """The tokenizer of a directory or hub id; UserError if it cannot be loaded."""
    from transformers import AutoTokenizer

    check_directory(name)
    if os.path.isdir(name):
        # Without any of them transformers makes up an empty vocabulary.
        require(
            any(file in os.listdir(name) for file in TOKENIZER_FILES),
            f"{name}: no tokenizer in this model directory (none of {', '.join(TOKENIZER_FILES)})",
        )
    with user_errors(name):
        return AutoTokenizer.from_pretrained(name, revision=revision)


def check_directory(name: str) -> None:
    """Raise UserError if `name` can only be a directory and is none with a configuration."""
    # os.path, not pathlib: it calls a name that no file can have absent instead of raising.
    if os.path.isdir(name):
        present = set(os.listdir(name))
        require("config.json" in present, f"{name}: no config.json in this model directory")
    else:
        looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
        require(not looks_local and not os.path.exists(name), f"{name}: no such model directory")


@contextmanager
def user_errors(name: str) -> Iterator[None]:
    """Turn what transformers raises for a name that it cannot load into a UserError."""
    try:
        yield
    except UserError:
        raise
    # Any Exception: there is no end to what transformers raises for a malformed directory.
    except Exception as error:
        if out_of_memory(error) is not None:
            raise
        reason = " ".join(str(error).split())[:160]
        if os.path.isdir(name):
            raise UserError(f"{name}: cannot be loaded as a model ({reason})") from error
        raise UserError(
            f"{name}: is no local directory and cannot be had from the hub; check the id and the"
            f" network, or pass a local directory instead ({reason})"
        ) from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and its report of the head it made, for a while."""
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
