"""Finding models and tokenizers in directories and on the hub, with readable errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from qa.engine.errors import UserError, cut, first_few, notice, out_of_memory, require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
POINTER = b"version https://git-lfs"


def revision_of(name: str) -> str | None:
    """Return the commit that a hub id names now, so that all files are taken from this commit.

    None for a directory. Without a network it is the commit that the hub's cache holds. UserError
    if there is no such model.
    """
    check_directory(name)
    if os.path.isdir(name):
        return None
    from huggingface_hub import hf_hub_download

    with user_errors(name):
        # The cache's files lie in directories named like their commits.
        return Path(hf_hub_download(name, "config.json")).parent.name


def saved_file(name: str, file_name: str, revision: str | None) -> Path | None:
    """Return the path of a file beside the weights of a model; None if there is no such file.

    Without a network only what the hub's cache holds is found. Where the cache does not show
    whether there is such a file, a `Notice` says so, and None is returned: transformers
    caches a model without this file.

    Args:
        name: The model's directory or hub id.
        file_name: Name of the file there.
        revision: Commit of a hub id; None for a directory.
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
                notice(
                    f"{name}: the hub did not answer, and its cache does not say whether there is a"
                    f" {file_name}: going on without; `hf download {name}` fetches all there is"
                )
            return None
        except EntryNotFoundError:  # the base class of LocalEntryNotFoundError, so it comes second
            return None


def load_tokenizer(
    name: str, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a directory or hub id; UserError if it cannot be loaded.

    Args:
        name: A directory or hub id.
        revision: Commit of a hub id; None for the newest, or for a directory.
        trust_remote_code: Run the code that comes with the tokenizer.
    """
    from transformers import AutoTokenizer

    check_directory(name)
    if os.path.isdir(name):
        # Without any of these files transformers makes up an empty vocabulary.
        require(
            any(file in os.listdir(name) for file in TOKENIZER_FILES),
            f"{name}: no tokenizer in this model directory (none of {', '.join(TOKENIZER_FILES)});"
            " put that of the model that it was trained from there",
        )
    with user_errors(name), fast_form(name):
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=trust_remote_code
        )
    require(
        len(tokenizer) > len(set(tokenizer.all_special_ids)),
        f"{name}: its tokenizer, a {type(tokenizer).__name__}, has special tokens only: the files"
        " there are those of another tokenizer_class, which tokenizer_config.json must name",
    )
    return cast("PreTrainedTokenizerFast", tokenizer)


@contextmanager
def fast_form(name: str) -> Iterator[None]:
    """Say how a tokenizer without a fast form gets one; transformers lists what it tried."""
    try:
        yield
    except (ValueError, ImportError) as error:
        text = str(error)
        tried = any(word in text for word in ("backend tokenizer", "tiktoken", "sentencepiece"))
        if not tried or (os.path.isdir(name) and "tokenizer.json" in os.listdir(name)):
            raise
        raise UserError(
            f"{name}: its tokenizer has no fast form, which tells where tokens stand: there is no"
            " tokenizer.json. One of SentencePiece (spiece.model) gets it by `pip install"
            " sentencepiece`, if tokenizer_config.json names its tokenizer_class; one in code of"
            " its own (KoBERT) does not: take a model with a tokenizer.json, such as klue/bert-base"
        ) from error


def check_directory(name: str) -> None:
    """Raise UserError if `name` can only be a directory and is none with a configuration."""
    # os.path calls a name that no file can have absent; pathlib raises.
    if os.path.isdir(name):
        present = set(os.listdir(name))
        # train.py's output, whose config.json is that of the run.
        is_run = "checkpoints" in present and not holds_model(name)
        best = os.path.join(name, "best")
        require(
            not is_run,
            f"{name}: is the directory of a run; its model is in {best}: pass that"
            if os.path.isdir(best)
            else f"{name}: is the directory of a run that has no best/ with a model yet",
        )
        require("config.json" in present, f"{name}: no config.json in this model directory")
    else:
        looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
        require(not looks_local and not os.path.exists(name), f"{name}: no such model directory")


def _is_pointer(path: Path) -> bool:
    """Return whether a file is what git has in the place of a large one; False for a folder."""
    return path.is_file() and path.stat().st_size < 1000 and path.read_bytes().startswith(POINTER)


def holds_model(name: str) -> bool:
    """Return whether a directory's config.json is a model's; False if it cannot be read."""
    try:
        return "model_type" in json.loads(Path(name, "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


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
        if "trust_remote_code" in str(error):
            raise UserError(
                f"{name}: comes with code of its own, which is run only if you trust it: read it,"
                " then pass --trust-remote-code (in Python trust_remote_code=True)"
            ) from error
        reason = cut(str(error))
        if os.path.isdir(name):
            pointers = [file for file in sorted(os.listdir(name)) if _is_pointer(Path(name, file))]
            if pointers:
                reason = f"Git LFS has not fetched {first_few(pointers)}: `git lfs pull` does"
            raise UserError(f"{name}: cannot be loaded as a model ({reason})") from error
        raise UserError(
            f"{name}: is no local directory and cannot be had from the hub; check the id and the"
            f" network, or pass a local directory instead ({reason})"
        ) from error
