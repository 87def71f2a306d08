"""The directory of a run: what lies in it, and when a run may write to it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qa.engine.atomic_files import remove
from qa.engine.errors import UserError, require
from qa.engine.json_files import write_json
from qa.engine.lock import LOCK_FILE, RunLock
from qa.outputs.prediction_files import NBEST_FILE, NULL_ODDS_FILE, PREDICTIONS_FILE

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
OPEN_PREDICTIONS_FILE = "open_predictions.json"  # those from a collection
REPORT_FILE = "report.html"
CHECKPOINTS = "checkpoints"
BEST = "best"
TENSORBOARD = "tensorboard"
CURVES_FILE = "curves.jsonl"
TRACE_FILE = "trace.json"
OUTPUTS = (
    CONFIG_FILE,
    METRICS_FILE,
    REPORT_FILE,
    PREDICTIONS_FILE,
    OPEN_PREDICTIONS_FILE,
    NBEST_FILE,
    NULL_ODDS_FILE,
    CHECKPOINTS,
    BEST,
    TENSORBOARD,
    CURVES_FILE,
    TRACE_FILE,
)
RUNS = Path("runs")


def check_output(
    directory: str | None,
    resume: bool | None,
    overwrite: bool,
    sources: Iterable[str | None] = (),
) -> None:
    """Raise UserError if a run could not write to `directory`; change nothing on disk.

    Args:
        directory: The --output-dir; None for a new one in runs/.
        resume: The run goes on with what is there; None of a program that cannot.
        overwrite: The run replaces what is there.
        sources: What the run reads, which it must not replace.
    """
    sources = list(sources)
    require_utf8(directory, *sources)
    path = Path(directory) if directory is not None else RUNS
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    require(
        existing.is_dir() and os.access(existing, os.W_OK | os.X_OK),
        f"{path}: the output directory cannot be written, since {existing} is"
        f" {'not writable' if existing.is_dir() else 'not a directory'}; pass another --output-dir",
    )
    if (
        directory is not None
        and path.is_dir()
        and any(entry.name != LOCK_FILE for entry in path.iterdir())
    ):
        advice = "--overwrite to replace what is there"
        if resume is not None:
            advice = "--resume to go on, --overwrite to start again"
        require(
            resume or overwrite, f"{path}: is not empty; pass {advice}, or another --output-dir"
        )
        if overwrite and resume is not None:  # others replace single files only
            require_own(path, sources)
    if resume:
        require(
            # With a lock file alone, the run was killed before its first checkpoint.
            (path / CHECKPOINTS).is_dir() or (path / LOCK_FILE).exists(),
            f"{path / CHECKPOINTS}: there is no checkpoint to resume from; start with --overwrite"
            " instead of --resume",
        )


def require_utf8(*names: str | None) -> None:
    """Raise UserError for a name that is not UTF-8, as Korean ones of Windows may be unpacked.

    No JSON file can hold it.
    """
    for name in filter(None, names):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{name}: the name is not UTF-8; rename the file or folder") from error


def require_own(directory: Path, sources: Iterable[str | None]) -> None:
    """Raise UserError if --overwrite would remove what no run wrote, or what this one reads."""
    kept = [name for name in (CONFIG_FILE, CHECKPOINTS, BEST) if (directory / name).exists()]
    require(
        not kept or is_run(directory),
        f"{directory}: has a {kept[0] if kept else ''} that no run of train.py wrote; pass another"
        " --output-dir",
    )
    removed = [(directory / name).resolve() for name in OUTPUTS]
    for place in (place for source in sources for place in places_in(source or "")):
        require(
            not any(place.resolve().is_relative_to(each) for each in removed),
            f"{place}: is what the run reads, and --overwrite would remove it; pass another"
            " --output-dir",
        )


def places_in(sources: str) -> Iterator[Path]:
    """Yield the files and folders that sources name, such as `a.json,hub:DIR:train@2`."""
    for part in {sources, *sources.split(",")}:
        name = re.sub(r"@[0-9]+$", "", part.strip().removeprefix("hub:"))
        while name:
            if os.path.exists(name):
                yield Path(name)
            name = name.rpartition(":")[0]


def is_run(directory: Path) -> bool:
    """Return whether a directory's config.json is that of a run."""
    try:
        content = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "train_data" in content


def check_not_a_run(directory: str | None) -> None:
    """Raise UserError if `directory` holds a training run: its files must not mix with others."""
    for name in (CONFIG_FILE, CHECKPOINTS, BEST):
        require(
            directory is None or not (Path(directory) / name).exists(),
            f"{directory}: holds a training run ({name}); pass another --output-dir",
        )


def make_output(directory: str | None, recipe: str) -> Path:
    """Make the directory of a run and return it; for None it is a new runs/RECIPE-N."""
    try:
        if directory is None:
            return _numbered(recipe)
        path = Path(directory)
        path.mkdir(parents=True, exist_ok=True)
        return path
    except OSError as error:
        raise UserError(
            f"{directory or RUNS}: the output directory cannot be made"
            f" ({error.strerror}: {error.filename})"
        ) from error


@contextmanager
def open_output(
    directory: str | None, recipe: str, settings: dict[str, Any] | None, overwrite: bool
) -> Iterator[Path]:
    """Make and lock the directory of a run.

    Args:
        directory: The directory; None for a new one, named like the recipe with a number.
        recipe: The recipe's name.
        settings: Written to config.json at once, so that the run can be resumed whenever it is
            killed; None if it is resumed itself, and it is not known yet whether it may be.
        overwrite: Remove what an earlier run wrote there.
    """
    path = make_output(directory, recipe)
    lock = RunLock(path)
    try:
        if overwrite:
            clear_output(path)
        if settings is not None:
            write_json(path / CONFIG_FILE, settings)
        yield path
    finally:
        lock.release()


def clear_output(directory: Path) -> None:
    """Remove what an earlier run wrote to `directory`, and nothing else."""
    # What tells that it is a run's goes last: a kill in between leaves what can be removed again.
    for name in (*OUTPUTS[1:], CONFIG_FILE):
        for leftover in (name, f".{name}.tmp", f".{name}.old"):
            remove(directory / leftover)


def _numbered(recipe: str) -> Path:
    """Make runs/RECIPE-001, or the one with the first number that is free, and return it."""
    RUNS.mkdir(exist_ok=True)
    number = 1
    while True:
        path = RUNS / f"{recipe}-{number:03d}"
        try:
            path.mkdir()  # fails if there is one, also if another run made it just now
            return path
        except FileExistsError:
            number += 1
