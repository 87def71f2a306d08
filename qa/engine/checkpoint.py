"""Checkpoints: one folder per step, complete or absent, checked before it is used."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch

from qa.engine.errors import UserError
from qa.engine.files import replace_directory, write_json

STATE_FILE = "state.pt"
SUMMARY_FILE = "checkpoint.json"


def save_checkpoint(
    directory: Path, step: int, state: dict[str, Any], summary: dict[str, Any]
) -> Path:
    """Write `directory/step-00000100` atomically and return it.

    state: tensors and plain types, for the program. summary: what a person wants to read; it is
    stored as JSON with the size and SHA-256 of the state file.
    """
    path = directory / f"step-{step:08d}"
    with replace_directory(path) as temporary:
        torch.save(state, temporary / STATE_FILE)
        write_json(
            temporary / SUMMARY_FILE,
            {"step": step, **summary, "files": {STATE_FILE: fingerprint(temporary / STATE_FILE)}},
        )
    return path


def load_checkpoint(path: Path, map_location: torch.device | str = "cpu") -> dict[str, Any]:
    """Load a checkpoint's state; UserError if a file is missing, damaged or carries code."""
    try:
        summary = json.loads((path / SUMMARY_FILE).read_text(encoding="utf-8"))
        expected = summary["files"][STATE_FILE]
        if fingerprint(path / STATE_FILE) != expected:
            raise UserError(
                f"{path / STATE_FILE} is damaged: its size or SHA-256 is not {expected}"
            )
        state = torch.load(path / STATE_FILE, map_location=map_location, weights_only=True)
    except (OSError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"checkpoint {path} cannot be read ({describe(error)}); remove that folder to use an"
            " older one"
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(
            f"checkpoint {path} is not a file of tensors and plain values, so it was not loaded;"
            " remove that folder to use an older one"
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"checkpoint {path} holds no state of a run")
    return state


def list_checkpoints(directory: Path) -> list[Path]:
    """Checkpoint folders, oldest first; unfinished ones have other names and are not listed."""
    paths = [path for path in directory.glob("step-*") if path.is_dir()]
    return sorted(paths, key=lambda path: (len(path.name), path.name))


def prune_checkpoints(directory: Path, limit: int | None) -> None:
    """Remove the oldest checkpoints beyond `limit`; None keeps all."""
    if limit is not None:
        paths = list_checkpoints(directory)
        for path in paths[: max(0, len(paths) - limit)]:
            shutil.rmtree(path)


def fingerprint(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def describe(error: Exception) -> str:
    """An exception in a few words, for the middle of a sentence."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return f"{type(error).__name__}: {error}"
