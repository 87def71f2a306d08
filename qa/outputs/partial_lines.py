"""A file of lines that takes hours to write: what is whole of it survives any kill.

OUT.jsonl.part holds the lines until all are there; OUT.jsonl.progress says what they are of, and up
to which byte how many questions are answered, a line for each block that was written.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from qa.engine.atomic_files import flush, naming, remove
from qa.engine.errors import notice, require
from qa.engine.lock import try_lock


class Progress(NamedTuple):
    """How far a file is."""

    questions: int = 0
    unanswered: int = 0
    bytes: int = 0


class PartialLines:
    """The lines so far, a context. After an exception they stay, if there are any.

    Args:
        path: The file that the lines become in the end.
        identity: What decides the lines: data, reader, settings. Values are JSON.
        resume: Go on behind the lines that an earlier run of the same identity left, which may
            have been to replace the file.
        overwrite: Remove what an earlier run left, and in the end replace the file.

    Raises:
        UserError: An earlier run left lines, and they are not to be gone on with, or cannot be; or
            another run is writing them now.
    """

    def __init__(self, path: Path, identity: dict[str, Any], resume: bool, overwrite: bool) -> None:
        self.path = path
        self.part, self.log = part_of(path), progress_of(path)
        can_go_on = is_left(path)
        self._lines = self.part.open("a+b")
        is_foreign = not can_go_on and os.fstat(self._lines.fileno()).st_size > 0
        is_free = try_lock(self._lines) and is_at(self._lines, self.part)
        try:
            require(is_free, f"{self.part}: another run is writing it; wait for it, or stop it")
            # Another run may have finished it while this one loaded its model.
            require(
                overwrite or not path.exists() or (resume and can_go_on),
                f"{path}: is there already; pass --overwrite to replace it, or another --output",
            )
            require(
                overwrite or not is_foreign,
                f"{self.part}: is there without {self.log.name}, which says what it holds; put"
                f" {self.log.name} beside it, or move {self.part.name} away, or pass --overwrite to"
                " remove it",
            )
            self._open(identity, can_go_on and not overwrite, resume)
        except BaseException:
            if is_free and not (can_go_on or is_foreign) and os.name != "nt":
                self.remove()
            self._lines.close()
            raise

    def _open(self, identity: dict[str, Any], can_go_on: bool, resume: bool) -> None:
        """Go on with what is left, or begin; nobody else is writing it."""
        self.done = Progress()
        if can_go_on:
            require(resume, f"{self.part}: {LEFT}")
            self.done = self._read(identity)
        else:  # nothing, or one of them alone, of a kill while they were made
            remove(self.log)  # another file, since who has just finished removes his own
            self.log.write_text(json.dumps(identity, ensure_ascii=False) + "\n", encoding="utf-8")
            flush(self.log)  # a power cut must not leave lines of which nobody knows what they are
            flush(self.log.parent)
        with naming(self.part):
            self._lines.truncate(self.done.bytes)  # what is behind was cut off by the kill
        self._progress = self.log.open("r+b")
        self._progress.seek(0, os.SEEK_END)

    def _read(self, identity: dict[str, Any]) -> Progress:
        """Return how far the lines are; UserError if they are of something else."""
        first, *others = self.log.read_bytes().splitlines(keepends=True) or [b""]
        found = whole_json(first)
        known = found if isinstance(found, dict) else {}
        unlike = [name for name in identity if known.get(name) != identity[name]]
        require(
            not unlike,
            f"{self.part}: was written with another {', '.join(unlike)}; pass the same again, or"
            " --overwrite to start again",
        )
        size = self.part.stat().st_size
        done, kept = Progress(), len(first)
        for line in others:
            values = whole_json(line)
            if not isinstance(values, list) or len(values) != 3 or values[2] > size:
                break
            done, kept = Progress(*values), kept + len(line)
        os.truncate(self.log, kept)  # not written again: a kill or a full disk would lose it all
        return done

    def add(self, lines: list[str], unanswered: int) -> None:
        """Add a block: a line for each question, of which so many are left unanswered."""
        content = "".join(f"{line}\n" for line in lines).encode()
        with naming(self.part):
            self._lines.write(content)
            self._lines.flush()
            os.fsync(self._lines.fileno())  # before it is said to be there
            self.done = Progress(
                self.done.questions + len(lines),
                self.done.unanswered + unanswered,
                self.done.bytes + len(content),
            )
            self._progress.write(json.dumps(self.done).encode() + b"\n")
            self._progress.flush()

    def finish(self) -> None:
        """Give the file its name; until then nobody else may write it."""
        with naming(self.path):
            if os.name == "nt":  # which renames no open file
                self._lines.close()
            os.replace(self.part, self.path)
            flush(self.path.parent)
        is_own = is_at(self._progress, self.log)
        self._progress.close()
        if is_own:
            remove(self.log)
        self._lines.close()

    def remove(self) -> None:
        """Remove the lines and what is known of them."""
        remove(self.part)
        remove(self.log)

    def __enter__(self) -> PartialLines:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and self.done.questions:
            notice(f"{self.part}: {self.done.questions} questions are answered; {ADVICE}")
        is_nothing = error is not None and not self.done.questions
        if is_nothing and os.name != "nt":
            self.remove()  # while nobody else can have begun to write there
        for file in (self._lines, self._progress):
            with suppress(OSError):  # of a full disk, which the write before has told
                file.close()
        if is_nothing and os.name == "nt":  # where no open file is removed
            self.remove()


ADVICE = "the same command with --resume, and without --overwrite, goes on behind them"
LEFT = "an earlier run left it; pass --resume to go on, --overwrite to start again"


def part_of(path: Path) -> Path:
    """Return where the lines are until all are there."""
    return path.with_name(f"{path.name}.part")


def progress_of(path: Path) -> Path:
    """Return where it is told how far they are."""
    return path.with_name(f"{path.name}.progress")


def is_left(path: Path) -> bool:
    """Return whether there are lines that a run can go on with, and what they are of."""
    return part_of(path).exists() and progress_of(path).exists()


def is_at(file: IO[Any], path: Path) -> bool:
    """Return whether an open file still has this name: whoever wrote it may have just finished."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def whole_json(line: bytes) -> Any:
    """Return the value of a line with its end; None if it was cut off."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
