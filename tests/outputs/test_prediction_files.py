"""Prediction files: valid JSON whatever the ids, and in place only when complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.files import read_json

from qa.answering.nbest import Answer
from qa.outputs.prediction_files import (
    NBEST_FILE,
    NULL_ODDS_FILE,
    PREDICTIONS_FILE,
    PredictionFiles,
)

ANSWERS = [Answer("먼 불빛", 3, 7, 4.5, 0.75), Answer("불빛", 5, 7, 3.5, 0.25)]
ODD_IDS = ['a"b', "back\\slash", "new\nline", "\u2028", "강", "", "😀", "{", "\x00", "</script>"]


def read(directory: Path) -> tuple[dict[str, str], dict[str, list[dict[str, object]]]]:
    return read_json(directory / PREDICTIONS_FILE), read_json(directory / NBEST_FILE)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_written_and_read_again(tmp_path: Path) -> None:
    files = PredictionFiles(tmp_path)
    files.write("q1", ANSWERS)
    files.write("q2", [])
    files.commit()
    predictions, nbest = read(tmp_path)
    assert predictions == {"q1": "먼 불빛", "q2": ""}
    assert nbest == {
        "q1": [
            {"text": "먼 불빛", "start": 3, "end": 7, "score": 4.5, "probability": 0.75},
            {"text": "불빛", "start": 5, "end": 7, "score": 3.5, "probability": 0.25},
        ],
        "q2": [],
    }
    assert names(tmp_path) == sorted([PREDICTIONS_FILE, NBEST_FILE, NULL_ODDS_FILE])


def test_hangul_is_readable_in_the_file(tmp_path: Path) -> None:
    files = PredictionFiles(tmp_path)
    files.write("강", ANSWERS)
    files.commit()
    assert '"강": "먼 불빛"' in (tmp_path / PREDICTIONS_FILE).read_text(encoding="utf-8")


def test_no_entries(tmp_path: Path) -> None:
    PredictionFiles(tmp_path).commit()
    assert read(tmp_path) == ({}, {})


@pytest.mark.parametrize("count", [1, 2, len(ODD_IDS)])
def test_odd_ids(count: int, tmp_path: Path) -> None:
    files = PredictionFiles(tmp_path)
    for example_id in ODD_IDS[:count]:
        files.write(example_id, [Answer(example_id, 0, 1, 0.0, 1.0)])
    files.commit()
    predictions, nbest = read(tmp_path)
    assert predictions == {example_id: example_id for example_id in ODD_IDS[:count]}
    assert list(nbest) == ODD_IDS[:count]


def test_older_files_stay_until_commit_and_after_discard(tmp_path: Path) -> None:
    old = PredictionFiles(tmp_path)
    old.write("old", ANSWERS)
    old.commit()
    before = read(tmp_path)
    new = PredictionFiles(tmp_path)
    new.write("new", [])
    assert read(tmp_path) == before
    new.discard()
    assert read(tmp_path) == before
    assert names(tmp_path) == sorted([PREDICTIONS_FILE, NBEST_FILE, NULL_ODDS_FILE])
    newer = PredictionFiles(tmp_path)
    newer.write("newer", [])
    newer.commit()
    assert read(tmp_path) == ({"newer": ""}, {"newer": []})


def test_leftovers_of_a_killed_run_do_no_harm(tmp_path: Path) -> None:
    killed = PredictionFiles(tmp_path)
    for number in range(100):
        killed.write(str(number), ANSWERS)
    files = PredictionFiles(tmp_path)
    files.write("q", ANSWERS)
    files.commit()
    assert read(tmp_path)[0] == {"q": "먼 불빛"}
