"""Writing so that others see the old content or the new content, never a part of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO
from uuid import uuid4


@contextmanager
def replace_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory to fill; on success it takes the place of `path`.

    After an exception `path` is as it was. If a crash falls between the two renames, `path` is
    missing and its old content is beside it as `.NAME.old`; see `restore_directory`. A crash at any
    other moment leaves the whole old content or the whole new content at `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    old = path.with_name(f".{path.name}.old")
    remove(temporary)
    temporary.mkdir()
    try:
        with naming(path):
            yield temporary
        for file in temporary.rglob("*"):
            flush(file)
        flush(temporary)
        put_away(old)
        if os.path.lexists(path):
            os.rename(path, old)  # rename cannot replace a directory that is not empty
        try:
            os.rename(temporary, path)
        except OSError:
            if os.path.lexists(old):
                os.rename(old, path)
            raise
        flush(path.parent)
        put_away(old)
        for left in path.parent.glob(f".{path.name}.*.gone"):  # by an earlier call
            discard(left)
    finally:
        remove(temporary)


@contextmanager
def replace_file(path: Path) -> Iterator[TextIO]:
    """Yield a text file (UTF-8) to fill; on success it takes the place of `path`.

    After an exception `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with naming(path):
            with temporary.open("w", encoding="utf-8", newline="") as file:
                yield file
            flush(temporary)
            os.replace(temporary, path)
            flush(path.parent)
    finally:
        remove(temporary)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError in here that names no file, as a write to a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:  # else its text would be lost
            error.filename = str(path)
        raise


def restore_directory(path: Path) -> None:
    """Undo a `replace_directory` that a crash ended between its two renames."""
    old = path.with_name(f".{path.name}.old")
    if not os.path.lexists(path) and old.exists():
        os.rename(old, path)


def remove(path: Path) -> None:
    """Remove a file, a link or a directory with all it holds; do nothing if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put_away(path: Path) -> None:
    """Remove a directory, if it is there; what is half removed has another name."""
    if os.path.lexists(path):
        gone = path.with_name(f"{path.name.removesuffix('.old')}.{uuid4().hex}.gone")
        os.rename(path, gone)
        discard(gone)


def discard(path: Path) -> None:
    """Remove what nobody needs; what cannot be removed now is left for another time.

    On NFS a file that somebody still reads keeps its folder from being removed.
    """
    with suppress(OSError):
        remove(path)


def flush(path: Path) -> None:
    """Make the system write a file, or a directory's list of names, to the disk (fsync)."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a directory
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
