"""Which legs an index has, by its settings."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from qa.retrieval import bigrams, korean
from qa.retrieval.leg import Kind, Leg
from qa.retrieval.settings import IndexSettings
from qa.retrieval.words import Words

BIGRAMS = Words("bigrams", lambda: bigrams.VERSION, bigrams.bigrams)
KOREAN = Words("korean", korean.version, korean.morphemes)
SAMPLES, SAMPLE_BYTES = 64, 4096  # pieces of a file of weights, evenly spread


def kinds_of(settings: IndexSettings) -> list[Kind]:
    """Return the kinds of legs that an index with these settings has, the main one first."""
    kinds: list[Kind] = [BIGRAMS]
    if settings.korean:
        kinds.append(KOREAN)
    if settings.dense is not None:
        kinds.append(Dense(settings.dense, settings.query_prefix, settings.passage_prefix))
    return kinds


@dataclass(frozen=True)
class Dense:
    """Nearness of vectors: a kind of leg.

    Args:
        model: Directory or hub id of the encoder.
        query_prefix: What is put before a question.
        passage_prefix: What is put before a passage.
        weight: Of its scores when legs are fused.
    """

    model: str
    query_prefix: str
    passage_prefix: str
    name: str = "dense"
    weight: float = 0.5

    def made_by(self) -> str:
        """The form of the files, the encoder, the prefixes, and a sample of its weights."""
        sample = sample_of(Path(self.model))
        return f"{self._form()}, {sample}" if sample else self._form()

    def _form(self) -> str:
        return f"vectors 1, {self.model}, {self.query_prefix!r}, {self.passage_prefix!r}"

    def reads(self, made_by: str) -> bool:
        """Return whether it was made with the same encoder, as far as can be told.

        An index of before has no sample; nor can one be taken of a model of the hub, or where the
        model has gone.
        """
        now = self.made_by()
        return made_by in (now, self._form()) or (
            now == self._form() and made_by.startswith(f"{now}, ")
        )

    def open(self, folder: Path, made_by: str, write: bool) -> Leg:
        """Open its files, and load the encoder when the first text comes."""
        from qa.retrieval.encoder import LazyEncoder
        from qa.retrieval.vectors import VectorLeg

        prefixes = self.query_prefix, self.passage_prefix
        encoder = LazyEncoder(self.model, sample_of(Path(self.model)))
        return VectorLeg(folder, encoder, prefixes, write)


def sample_of(model: Path) -> str:
    """Return a digest that differs once a model was trained again; "" if there are no weights."""
    files = sorted(model.glob("model*.safetensors")) or sorted(model.glob("pytorch_model*.bin"))
    digest = blake2b(digest_size=8)
    try:
        for file in files:
            size = file.stat().st_size
            digest.update(str(size).encode())
            with file.open("rb") as content:
                for number in range(SAMPLES):
                    content.seek(size * number // SAMPLES)
                    digest.update(content.read(SAMPLE_BYTES))
    except OSError:  # who loads it tells
        return ""
    return digest.hexdigest() if files else ""
