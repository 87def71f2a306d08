"""The recipe on Ray Data in docs/bulk.md, run as it stands there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from support.articles import article_examples
from support.runs import ROOT

from qa.answering.reader import Reader

BEST = ROOT / "tests" / "outputs" / "golden" / "answerable" / "run" / "best"
PAGE = (ROOT / "docs" / "bulk.md").read_text(encoding="utf-8")
CLASS, RECIPE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    return [(example.question, example.context) for example in article_examples()]


@pytest.fixture(scope="module")
def expected(pairs: list[tuple[str, str]]) -> list[str]:
    reader = Reader.from_pretrained(BEST)
    return [answers[0].text for answers in reader.answer_many(pairs)]


def test_the_class_answers_a_batch(pairs: list[tuple[str, str]], expected: list[str]) -> None:
    names: dict[str, Any] = {}
    exec(CLASS, names)
    columns = list(zip(*pairs, strict=True))
    batch = dict(zip(("question", "context"), map(np.array, columns), strict=True))
    answered = names["Answerer"](str(BEST))({**batch, "more": np.arange(len(pairs))})
    assert answered["answer"].tolist() == expected
    assert answered["more"].tolist() == list(range(len(pairs)))
    assert ((answered["probability"] > 0) & (answered["probability"] <= 1)).all()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_the_recipe_runs(
    pairs: list[tuple[str, str]],
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "questions").mkdir()
    rows = [{"question": question, "context": context} for question, context in pairs]
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "questions" / "part.parquet")
    exec(f"{CLASS}\n{RECIPE}".replace("runs/korquad/best", str(BEST)), {"__name__": "recipe"})
    found = pyarrow.parquet.read_table(tmp_path / "answers").to_pylist()
    assert {row["question"]: row["answer"] for row in found} == {
        question: answer for (question, _), answer in zip(pairs, expected, strict=True)
    }
