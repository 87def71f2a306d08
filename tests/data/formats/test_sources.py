"""Several sources together, and how often an epoch shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qa.config import config_from_flat
from qa.data.formats import read_examples, read_training
from qa.data.formats.sources import Source, split_sources
from qa.engine.errors import UserError
from qa.training.load import read_data


def write(path: Path, ids: str, context: str = "강나루") -> str:
    """A file with a question for each letter."""
    rows = [
        {
            "id": i,
            "title": f"{path.name}{i}",
            "context": f"{context} {i}",
            "question": f"{i}?",
            "answers": [{"text": "나루", "answer_start": 1}],
        }
        for i in ids
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.json", [("a.json", 1)]),
        ("a.json,b.csv", [("a.json", 1), ("b.csv", 1)]),
        (" a.json , b.csv@2", [("a.json", 1), ("b.csv", 2)]),
        ("hub:x:train@3,a@b.json", [("hub:x:train", 3), ("a@b.json", 1)]),
        ("a.json@100", [("a.json", 100)]),
        ("me@home/a@1", [("me@home/a", 1)]),
    ],
)
def test_names_and_weights(text: str, expected: list[tuple[str, int]]) -> None:
    assert split_sources(text) == [Source(name, times) for name, times in expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.json,", "a name is missing"),
        (",", "a name is missing"),
        ("@2", "a name is missing"),
        ("a.json@0", "1 to 100"),
        ("a.json@101", "1 to 100"),
        ("a.json@" + "9" * 5000, "1 to 100"),
        ("a.json,b.json,a.json", "names a.json twice; NAME@2 repeats it"),
    ],
)
def test_wrong_names(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        split_sources(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_whose_names_look_like_several(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b.json", "c.json@2", "c.json"):
        write(tmp_path / name, "x")
    assert split_sources("a,b.json") == [Source("a,b.json")]
    assert split_sources("c.json@2") == [Source("c.json@2")]
    assert split_sources("c.json@2,c.json@3") == [Source("c.json@2"), Source("c.json", 3)]


def test_ids_that_another_source_has_get_its_number(tmp_path: Path) -> None:
    names = [write(tmp_path / n, ids) for n, ids in [("a", "12"), ("b", "234"), ("c", "245")]]
    found = read_examples(",".join(names))
    assert [e.id for e in found] == ["1", "2", "2:2", "3", "4", "3:2", "3:4", "5"]
    assert [e.question for e in found] == [f"{i}?" for i in "12234245"]


def test_an_id_that_stays_ambiguous_is_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    write(first, "1")
    content = json.loads(Path(write(second, "12")).read_text())
    content[1]["id"] = "2:1"
    second.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"1 questions repeat an id .* \(2:1\)"):
        read_examples(f"{first},{second}")


def test_mistakes_name_their_file(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "a", "1"), write(tmp_path / "b", "1", context="나루")
    with pytest.raises(UserError) as caught:
        read_examples(f"{good},{bad}")
    assert str(caught.value).startswith(f"{bad}: 1 answers do not stand")


def test_repeated_questions(tmp_path: Path) -> None:
    names = [write(tmp_path / n, ids) for n, ids in [("a", "12"), ("b", "23")]]
    examples, times = read_training(f"{names[0]},{names[1]}@3")
    assert [e.id for e in examples] == ["1", "2", "2:2", "3"]
    assert times == {"2:2": 3, "3": 3}
    with pytest.raises(UserError, match="@ repeats training data"):
        read_examples(f"{names[0]},{names[1]}@3")


def test_only_training_questions_are_repeated(tmp_path: Path) -> None:
    """Every second article is held out: a1, b3, b5 of a1 a2 b3 b4 b5."""
    names = [write(tmp_path / "a", "12"), write(tmp_path / "b", "345", context="큰나루가")]
    values = {"train_data": f"{names[0]},{names[1]}@2", "holdout": 0.5, "model": "m"}
    training, held_out = read_data(config_from_flat(values))
    assert [e.id for e in held_out] == ["1", "3", "5"]
    assert [e.id for e in training] == ["2", "4", "4"]
    values = {**values, "holdout": None, "max_train_examples": 3, "eval_data": names[1]}
    training, evaluation = read_data(config_from_flat(values))
    assert [e.id for e in training] == ["1", "2", "3", "3"]
    assert [e.id for e in evaluation] == ["3", "4", "5"]
