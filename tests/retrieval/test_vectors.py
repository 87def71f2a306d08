"""The leg of vectors: exact neighbours, before and after changes and kills."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.articles import ARTICLES
from support.indexes import DOCUMENTS, fill
from transformers import AutoModel, AutoTokenizer

from qa.engine.errors import Notice, UserError
from qa.retrieval.engines.engine import State
from qa.retrieval.index import Index
from qa.retrieval.legs import Dense
from qa.retrieval.settings import IndexSettings
from qa.retrieval.store import Row
from qa.retrieval.vectors import VectorLeg


class Letters:
    """Vectors that count letters."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = np.array(
            [[text.count(c) + 1 for c in "pq:가나다라"] for text in texts], np.float32
        )
        vectors: NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return vectors


def cosines(rows: list[Row], question: str) -> dict[int, float]:
    vectors = Letters().encode([f"p: {row.title}\n{row.text}" for row in rows])
    halves = vectors.astype(np.float16).astype(np.float32)
    scores = halves @ Letters().encode([f"q: {question}"])[0]
    return dict(zip((row.key for row in rows), scores.tolist(), strict=True))


def leg_in(folder: Path, write: bool = False) -> VectorLeg:
    return VectorLeg(folder, Letters(), ("q: ", "p: "), write)


ROWS = [Row(i + 1, "나" * (i % 3), "가다라"[i % 3] * (i + 1)) for i in range(9)]


def test_exact_neighbours(tmp_path: Path) -> None:
    leg = leg_in(tmp_path, write=True)
    assert leg.search("가", 3) == []
    leg.apply([], ROWS[:6], State(6, 0))
    leg.apply([ROWS[1], ROWS[3]], ROWS[6:], State(9, 2))
    leg.close()
    leg = leg_in(tmp_path)
    rows = [row for row in ROWS if row not in (ROWS[1], ROWS[3])]
    found = leg.search("가나", 3)
    best = sorted(cosines(rows, "가나").items(), key=lambda each: (-each[1], each[0]))
    assert [key for key, _ in found] == [key for key, _ in best[:3]]
    assert dict(found) == pytest.approx(dict(best[:3]), abs=1e-6)
    assert dict(leg.search("가나", 100)) == pytest.approx(dict(best), abs=1e-6)
    assert leg.state() == State(9, 2)


def test_an_encoder_that_fails(tmp_path: Path) -> None:
    class Fails(Letters):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise KeyboardInterrupt

    leg_in(tmp_path, write=True).apply([], ROWS[:3], State(3, 0))
    leg = VectorLeg(tmp_path, Fails(), ("q: ", "p: "), True)
    with pytest.raises(KeyboardInterrupt), closing(leg):
        leg.apply([], ROWS[3:], State(9, 0))
    assert len(leg_in(tmp_path).search("가", 100)) == 3


def test_killed_before_the_state_was_written(tmp_path: Path) -> None:
    leg_in(tmp_path, write=True).apply([], ROWS[:3], State(3, 0))
    before = (tmp_path / "state.json").read_text(encoding="utf-8")
    leg_in(tmp_path, write=True).apply([ROWS[0]], ROWS[3:], State(9, 1))
    (tmp_path / "state.json").write_text(before, encoding="utf-8")
    leg = leg_in(tmp_path, write=True)
    assert leg.state() == State(3, 0)
    leg.apply([ROWS[0]], ROWS[3:5], State(5, 1))
    expected = cosines(ROWS[1:5], "다")
    assert dict(leg_in(tmp_path).search("다", 100)) == pytest.approx(expected, abs=1e-6)


def test_an_index_with_an_encoder_of_transformers(encoder_dir: Path, tmp_path: Path) -> None:
    """The oracle: the mean of one text's states, without any padding."""
    model = AutoModel.from_pretrained(encoder_dir).eval()
    tokenizer = AutoTokenizer.from_pretrained(encoder_dir)
    settings = IndexSettings(dense=str(encoder_dir), query_prefix="Q ", passage_prefix="P ")
    fill(tmp_path / "index", settings=settings)
    index = Index.open(tmp_path / "index")

    def vector(text: str) -> torch.Tensor:
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        return torch.nn.functional.normalize(states.mean(0), dim=-1)

    question = "강나루가 태어난 해는?"
    expected = [
        float(vector(f"P {title}\n{text}") @ vector(f"Q {question}")) for title, text, _ in ARTICLES
    ]
    found = dict(index._legs[1].search(question, 6))
    assert [found[key] for key in range(1, 7)] == pytest.approx(expected, abs=2e-3)
    assert index.search(question, 1)[0].passage.text == DOCUMENTS[0].text
    with pytest.raises(UserError, match="was made with other settings"):
        fill(tmp_path / "index", settings=IndexSettings())


@pytest.mark.parametrize("damage", [{"count": None}, {"state": {"key": 6, "removal": 0}}, {}])
def test_a_damaged_state_of_vectors_is_made_anew(
    damage: dict[str, Any], encoder_dir: Path, tmp_path: Path
) -> None:
    fill(tmp_path, settings=IndexSettings(dense=str(encoder_dir)))
    path = tmp_path / "dense.1" / "state.json"
    content = {**json.loads(path.read_text(encoding="utf-8")), **damage} if damage else {}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.warns(Notice, match="cannot be read .* made anew"):
        index = Index.open(tmp_path)
    assert index.search("강나루가 태어난 해는?", 1)[0].passage.text == DOCUMENTS[0].text


def test_decomposed_text_is_composed_for_the_encoder(tmp_path: Path) -> None:
    """Many a vocabulary has no single Jamo."""
    text, question = "가나다", "가"
    found = []
    for form in ("NFC", "NFD"):
        folder = tmp_path / form
        folder.mkdir()
        leg = leg_in(folder, write=True)
        leg.apply([], [Row(1, "", normalize(form, text))], State(1, 0))
        found.append(leg.search(normalize(form, question), 1))
    assert found[0] == found[1]


def test_keys_that_are_cut_off_are_told_when_the_index_is_opened(tmp_path: Path) -> None:
    leg = leg_in(tmp_path, write=True)
    leg.apply([], ROWS[:4], State(4, 0))
    leg.close()
    keys = tmp_path / "keys.i64"
    keys.write_bytes(keys.read_bytes()[:-8])
    with pytest.raises(ValueError, match="is cut off"):
        leg_in(tmp_path)


def test_another_encoder_is_told_from_the_one_of_the_index(
    encoder_dir: Path, tmp_path: Path
) -> None:
    """Trained again in the same place; gone or of an older index it cannot be told."""
    model = Path(shutil.copytree(encoder_dir, tmp_path / "model"))
    kind = Dense(str(model), "q", "p")
    folder = tmp_path / "leg"
    folder.mkdir()
    made_by = kind.made_by()
    old = ", ".join(made_by.split(", ")[:-1])
    assert kind.reads(made_by)
    assert kind.reads(old)
    (model / "training_args.bin").write_bytes(b"of a trainer")
    assert kind.reads(made_by)
    leg: Any = kind.open(folder, made_by, True)
    before = leg.encoder.encode(["글"])
    weights = AutoModel.from_pretrained(model)
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.add_(0.01)
    weights.save_pretrained(model)
    assert not kind.reads(made_by)
    leg = kind.open(folder, kind.made_by(), True)
    assert not np.array_equal(before, leg.encoder.encode(["글"]))  # it was loaded anew, too
    shutil.rmtree(model)
    assert kind.reads(made_by)


def test_vectors_of_another_width_are_refused_in_one_line(tmp_path: Path) -> None:
    class Wider(Letters):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.repeat(super().encode(texts), 2, axis=1)

    leg_in(tmp_path, write=True).apply([], ROWS[:4], State(4, 0))
    wider = VectorLeg(tmp_path, Wider(), ("q: ", "p: "), True)
    with pytest.raises(UserError, match="the encoder makes vectors of 14 numbers"):
        wider.apply([], ROWS[4:], State(9, 0))
