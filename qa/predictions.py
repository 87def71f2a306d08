"""Prediction files, written while an evaluation streams."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qa.nbest import Answer

PREDICTIONS_FILE = "predictions.json"
NBEST_FILE = "nbest_predictions.json"


class PredictionFiles:
    """`predictions.json` ({id: text}, what official evaluators read) and `nbest_predictions.json`.

    They are written under other names and take their places at `commit`; until then older files
    stay as they are. As a context manager it throws away what was not committed.
    """

    def __init__(self, directory: Path) -> None:
        self._files = [_JsonObject(directory / name) for name in (PREDICTIONS_FILE, NBEST_FILE)]

    def write(self, example_id: str, answers: Sequence[Answer]) -> None:
        """Add one example's answers, best first; without answers its prediction is ""."""
        predictions, nbest = self._files
        predictions.add(example_id, answers[0].text if answers else "")
        nbest.add(example_id, [asdict(answer) for answer in answers])

    def __enter__(self) -> PredictionFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()  # does nothing after `commit`

    def commit(self) -> None:
        """Finish the files and let them take their places."""
        for file in self._files:
            file.commit()

    def discard(self) -> None:
        """Throw away what was written."""
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
        member = f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        self._file.write(self._separator + member)
        self._separator = ",\n"

    def commit(self) -> None:
        self._file.write("\n}\n" if self._separator == ",\n" else "{}\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self._path)

    def discard(self) -> None:
        if self._file.closed:
            return
        self._file.close()
        self._temporary.unlink(missing_ok=True)
