"""A leg of vectors in a file, with all of which a question's vector is multiplied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from qa.engine.atomic_files import flush
from qa.engine.errors import require
from qa.engine.json_files import read_json, write_json
from qa.retrieval.engines.engine import Found, State
from qa.retrieval.store import Row

VECTORS, KEYS, STATE = "vectors.f16", "keys.i64", "state.json"
BLOCK = 4096  # passages whose vectors are in memory in fp32
GONE = -1  # the key of a removed passage, whose vector stays in the file


class Encodes(Protocol):
    """Makes vectors of texts."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a vector of length 1 for each text, (texts, dimensions)."""
        ...


class VectorLeg:
    """An open leg of vectors, two bytes a number; scores are cosines.

    Args:
        folder: Of its files.
        encoder: Makes the vectors.
        prefixes: What is put before a question and before a passage, as the encoder learnt it.
        write: Whether passages are added and removed.
    """

    def __init__(
        self,
        folder: Path,
        encoder: Encodes,
        prefixes: tuple[str, str],
        write: bool = False,
    ) -> None:
        self.folder = folder
        self.encoder = encoder
        self.of_question, self.of_passage = prefixes
        if write and not (folder / STATE).exists():
            for name in (VECTORS, KEYS):
                (folder / name).touch()
            self._write_state(State(), 0, 0)
        self._open()

    def _open(self) -> None:
        """Read how many there are, and open their files."""
        content = read_json(self.folder / STATE, "the state of a search index")
        self._state, self.count = State(*content["state"]), content["count"]
        shape = self.count, content["dimensions"]
        self.keys = np.fromfile(self.folder / KEYS, np.int64, self.count)
        if len(self.keys) != self.count:
            raise ValueError(f"{self.folder / KEYS} is cut off")
        self.vectors: NDArray[np.float16] = np.zeros(shape, np.float16)
        if self.count:  # an empty file cannot be mapped
            self.vectors = np.memmap(self.folder / VECTORS, np.float16, "r", shape=shape)

    def _write_state(self, state: State, count: int, dimensions: int) -> None:
        content = {"state": state, "count": count, "dimensions": dimensions}
        write_json(self.folder / STATE, content)

    def state(self) -> State:
        """How much of the table of passages is in it."""
        return self._state

    def apply(self, removed: Iterable[Row], added: Iterable[Row], state: State) -> None:
        """Take passages out and in; what was written counts once the state says so."""
        gone = [row.key for row in removed]
        self.keys[np.isin(self.keys, gone)] = GONE
        count, dimensions = self.vectors.shape
        self.vectors = np.zeros((0, dimensions), np.float16)  # Windows cuts no file that is mapped
        rest = iter(added)
        with (self.folder / KEYS).open("r+b") as keys, (self.folder / VECTORS).open("r+b") as file:
            # What a killed writer left behind the counted ones is written over.
            self.keys.tofile(keys)
            keys.truncate()
            file.seek(2 * count * dimensions)
            file.truncate()
            while block := list(islice(rest, BLOCK)):
                texts = [f"{self.of_passage}{row.title}\n{row.text}" for row in block]
                vectors = self._encode(texts).astype(np.float16)
                require(
                    not count or vectors.shape[1] == dimensions,
                    f"{self.folder}: the encoder makes vectors of {vectors.shape[1]} numbers, those"
                    f" there have {dimensions}; make them anew (qa index --rebuild)",
                )
                vectors.tofile(file)
                np.array([row.key for row in block], np.int64).tofile(keys)
                count, dimensions = count + len(block), vectors.shape[1]
        for name in (KEYS, VECTORS):
            flush(self.folder / name)
        self._write_state(state, count, dimensions)
        self._open()

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Return the vectors of texts: composed, since many a vocabulary knows no single Jamo."""
        return self.encoder.encode([normalize("NFC", text) for text in texts])

    def search(self, question: str, n: int) -> Found:
        """Return the keys and cosines of the `n` nearest passages."""
        if not question.strip() or not self.count:
            return []
        vector = self._encode([self.of_question + question])[0]
        blocks = range(0, self.count, BLOCK)
        cosines = np.concatenate(
            [self.vectors[start : start + BLOCK].astype(np.float32) @ vector for start in blocks]
        )
        cosines[self.keys == GONE] = -np.inf
        best = np.argpartition(-cosines, n - 1)[:n] if n < self.count else np.arange(self.count)
        found = [(int(self.keys[i]), float(cosines[i])) for i in best if self.keys[i] != GONE]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def close(self) -> None:
        """Let go of its files."""
        del self.vectors
