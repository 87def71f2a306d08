"""Checkpoints: one folder per step, complete or absent, checked before it is used."""

from __future__ import annotations

import errno
import hashlib
import json
import pickle
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from qa.engine.atomic_files import discard, replace_directory, restore_directory
from qa.engine.errors import UserError, out_of_memory, require
from qa.engine.json_files import write_json
from qa.engine.loadable import require_loadable

STATE_FILE = "state.pt"
SUMMARY_FILE = "checkpoint.json"


def save_checkpoint(
    directory: Path | str, step: int, state: dict[str, Any], summary: Mapping[str, Any] | None
) -> Path:
    """Write a checkpoint atomically and return its folder, e.g. `directory/step-00000100`.

    Args:
        directory: The folder of all checkpoints.
        step: The step that the checkpoint is named after.
        state: What a run needs to go on: tensors and plain types.
        summary: What a person wants to read, stored as JSON beside the size and SHA-256 of the
            state file; None: nothing.

    Raises:
        UserError: The state holds what `load_checkpoint` would refuse, or the summary what JSON
            cannot hold; nothing is written.
    """
    require_loadable(state)
    summary = {**(summary or {}), "step": step}
    try:
        json.dumps(summary)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the summary of a checkpoint is JSON, but {error}; use float(...)"
        ) from error
    path = checkpoint_path(directory, step)
    with replace_directory(path) as temporary:
        try:
            torch.save(state, temporary / STATE_FILE)
        except RuntimeError as error:  # torch reports a failed write so, e.g. on a full disk
            raise OSError(errno.EIO, first_line(error), str(path)) from error
        write_json(
            temporary / SUMMARY_FILE,
            {"step": step, **summary, "files": {STATE_FILE: fingerprint(temporary / STATE_FILE)}},
        )
    return path


def load_checkpoint(path: Path | str, map_location: torch.device | str = "cpu") -> dict[str, Any]:
    """Return a checkpoint's state, its tensors on `map_location`.

    Raises:
        UserError: A file is missing or damaged, or the state holds code, which is not run.
    """
    path = Path(path)
    try:
        summary = json.loads((path / SUMMARY_FILE).read_text(encoding="utf-8"))
        expected = summary["files"][STATE_FILE]
        if fingerprint(path / STATE_FILE) != expected:
            raise UserError(f"checkpoint {path} is damaged: {STATE_FILE} is not what was written")
        state = torch.load(path / STATE_FILE, map_location=map_location, weights_only=True)
    except UserError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"checkpoint {path} cannot be read ({describe_error(error)})") from error
    # torch raises these for a file that it did not write, and for one that holds code.
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, AttributeError) as error:
        if out_of_memory(error):  # which says nothing against the checkpoint
            raise
        raise UserError(
            f"checkpoint {path} holds something else than tensors and plain values, so it was not"
            " loaded"
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"checkpoint {path} holds no state of a run")
    return state


def list_checkpoints(directory: Path | str) -> list[Path]:
    """Return the checkpoint folders, oldest first; unfinished ones have other names."""
    # A full match: somebody may keep a copy beside them, such as step-00000100-backup.
    names = re.compile(r"step-\d{8,}")
    paths = [p for p in Path(directory).glob("step-*") if names.fullmatch(p.name) and p.is_dir()]
    return sorted(paths, key=lambda path: (len(path.name), path.name))


def restore_checkpoints(directory: Path) -> list[Path]:
    """Put back what a crash left between two renames; return `list_checkpoints` after that.

    A checkpoint that a crash left unfinished has another name and stays where it is.
    """
    for old in directory.glob(".step-*.old"):
        restore_directory(directory / old.name.removeprefix(".").removesuffix(".old"))
    return list_checkpoints(directory)


def load_newest_checkpoint(
    directory: Path | str, report: Callable[[str], None]
) -> tuple[Path, dict[str, Any]]:
    """Return (path, state) of the newest checkpoint that is whole.

    `report` gets a line for each newer one, which is damaged. Raise UserError if no checkpoint is
    whole, or if there is none.
    """
    paths = restore_checkpoints(Path(directory))
    if not paths:
        raise UserError(f"{directory}: there is no checkpoint to resume from; start afresh")
    for path in reversed(paths):
        try:
            return path, load_checkpoint(path)
        except UserError as error:
            report(f"not used: {error}")
    raise UserError(f"{directory}: none of the {len(paths)} checkpoints is whole; start afresh")


def prune_checkpoints(
    directory: Path | str,
    limit: int | None,
    keep_steps: Collection[int] = (),
    newest_step: int | None = None,
) -> None:
    """Remove the oldest checkpoints beyond a limit, and what a crash left unfinished.

    Unfinished checkpoints are told by their names alone, so none may be in the making meanwhile.

    Args:
        directory: The folder of all checkpoints.
        limit: How many of the newest ones stay; None keeps all.
        keep_steps: Steps whose checkpoints stay whatever the limit.
        newest_step: The step just saved. Checkpoints of later steps are removed: they are damaged,
            or of a course of the run that a resume gave up. None removes no such checkpoint.
    """
    require(limit is None or limit >= 0, f"limit must be at least 0 or None, not {limit}")
    directory = Path(directory)
    for leftover in directory.glob(".step-*"):
        discard(leftover)
    if newest_step is not None:
        remove_later(directory, newest_step)
    if limit is not None:
        kept = {checkpoint_path(directory, step) for step in keep_steps}
        paths = list_checkpoints(directory)
        for path in paths[: max(0, len(paths) - limit)]:
            if path not in kept:
                remove_checkpoint(path)


def remove_later(directory: Path, step: int) -> None:
    """Remove the checkpoints of later steps than this one."""
    last = checkpoint_path(directory, step).name
    for path in list_checkpoints(directory):
        if (len(path.name), path.name) > (len(last), last):
            remove_checkpoint(path)


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint, renaming it first so that a half-removed one never looks whole."""
    discard(path.rename(path.with_name(f".{path.name}.removed")))


def checkpoint_path(directory: Path | str, step: int) -> Path:
    """Return the folder of a step's checkpoint."""
    return Path(directory) / f"step-{step:08d}"


def fingerprint(path: Path) -> dict[str, Any]:
    """Return the size in bytes and the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def describe_error(error: Exception) -> str:
    """Return an exception in a few words, for the middle of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return f"{type(error).__name__}: {error}"
