"""Prediction files, written while an evaluation streams."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from qa.answering.nbest import Answer, null_odds
from qa.engine.atomic_files import naming

PREDICTIONS_FILE = "predictions.json"
NBEST_FILE = "nbest_predictions.json"
NULL_ODDS_FILE = "null_odds.json"
as_json = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder each time


class PredictionFiles:
    """Writes the files of an evaluation.

    These are `predictions.json` {id: text} and `null_odds.json` {id: number}, which official
    evaluators read, and `nbest_predictions.json`. They are written under other names and renamed by
    `commit`; until then older files stay as they are. The end of the context removes what was not
    committed. `directory`: None, in all processes but one, writes nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        names = (PREDICTIONS_FILE, NBEST_FILE, NULL_ODDS_FILE)
        self._files = [_JsonObject(directory / name) for name in names] if directory else []

    def write(self, example_id: str, answers: Sequence[Answer]) -> None:
        """Add one example's answers, best first; without answers its prediction is ""."""
        if not self._files:
            return
        predictions, nbest, odds = self._files
        predictions.add(example_id, answers[0].text if answers else "")
        nbest.add(example_id, [vars(answer) for answer in answers])
        odds.add(example_id, null_odds(answers))

    def blank(self, mask: Sequence[bool]) -> None:
        """Make the prediction "" for the examples of `mask`, in the order they were written."""
        for predictions in self._files[:1]:
            predictions.replace(mask, "")

    def __enter__(self) -> PredictionFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()  # does nothing after `commit`

    def commit(self) -> None:
        """Finish the files and give them their names."""
        for file in self._files:
            file.commit()

    def discard(self) -> None:
        """Remove what was written."""
        for file in self._files:
            file.discard()


class _JsonObject:
    """A JSON object written member by member, so that it never has to fit into memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._file = self._temporary.open("w", encoding="utf-8")
        self._separator = "{\n"

    def add(self, key: str, value: Any) -> None:
        """Write one member on a line of its own."""
        with naming(self._path):
            self._file.write(f"{self._separator}{as_json(key)}: {as_json(value)}")
        self._separator = ",\n"

    def replace(self, mask: Sequence[bool], value: Any) -> None:
        """Give `value` to the members of `mask`, in the order they were added."""
        with naming(self._path):
            self._file.close()
        old = self._temporary.rename(self._temporary.with_suffix(".old"))
        self._file = self._temporary.open("w", encoding="utf-8")
        self._separator = "{\n"
        with old.open(encoding="utf-8") as members:  # one a line, after a line with the bracket
            next(members, None)
            for line, is_replaced in zip(members, mask, strict=True):
                ((key, kept),) = json.loads("{" + line.rstrip().removesuffix(",") + "}").items()
                self.add(key, value if is_replaced else kept)
        old.unlink()

    def commit(self) -> None:
        """Close the object, and rename the file once it is on disk."""
        with naming(self._path):
            self._file.write("\n}\n" if self._separator == ",\n" else "{}\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self._path)

    def discard(self) -> None:
        """Remove the file unless it was committed."""
        if self._file.closed:
            return
        with suppress(OSError):  # of a full disk, which the write before has told
            self._file.close()
        self._temporary.unlink(missing_ok=True)
        self._temporary.with_suffix(".old").unlink(missing_ok=True)
