"""`python -m qa vote`: sums of probabilities against exact fractions, files in and out, errors."""

from __future__ import annotations

import json
import math
import os
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.articles import ARTICLES
from support.files import read_json

import qa.cli.score
import qa.cli.vote
from qa.answering.nbest import NOTHING_FOUND, Answer, null_odds, rank_answers
from qa.cli.vote import merge_answers
from qa.outputs.directory import OUTPUTS
from qa.outputs.prediction_files import (
    NBEST_FILE,
    NULL_ODDS_FILE,
    PREDICTIONS_FILE,
    PredictionFiles,
)

Run = Callable[..., tuple[int, str, str]]

CONTEXT = "강가강가나강"  # so that a text has several places
SCORES = st.floats(-40, 40) | st.sampled_from([0.0, 1.0, 2.0, 800.0])
SPANS = st.tuples(st.integers(0, 5), st.integers(1, 6)).filter(lambda span: span[0] < span[1])
N_BEST = st.dictionaries(SPANS, SCORES, max_size=8).map(
    lambda merged: rank_answers(CONTEXT, merged, 20)
)
GOLDS = {
    f"{n}-{i}": (context, answer)
    for n, (_, context, pairs) in enumerate(ARTICLES)
    for i, (_, answer) in enumerate(pairs)
}


@given(st.lists(N_BEST, min_size=2, max_size=4))
def test_probabilities_are_sums_over_lists_and_places(lists: list[list[Answer]]) -> None:
    merged = merge_answers(lists)
    everything = [answer for answers in lists for answer in answers]
    texts = list(dict.fromkeys(answer.text for answer in everything))
    exact = {t: sum(Fraction(a.probability) for a in everything if a.text == t) for t in texts}
    # A stable sort: what is equal stays in the order of the lists.
    assert [a.text for a in merged] == sorted(texts, key=lambda t: float(exact[t]), reverse=True)
    total = sum(exact.values())
    for answer in merged:
        assert answer.probability == pytest.approx(float(exact[answer.text] / total), rel=1e-12)
        assert 0 <= answer.probability <= 1
        assert CONTEXT[answer.start : answer.end] == answer.text
        places = [a for a in everything if a.text == answer.text]
        likeliest = max(a.probability for a in places)
        first = next(a for a in places if a.probability == likeliest)
        assert (answer.start, answer.end) == (first.start, first.end)


@given(st.lists(N_BEST, min_size=2, max_size=4))
def test_scores_keep_what_they_mean(lists: list[list[Answer]]) -> None:
    merged = merge_answers(lists)
    odds = [-answers[0].score if answers else NOTHING_FOUND for answers in lists]
    if not merged:
        assert null_odds(merged) == NOTHING_FOUND
        return
    assert null_odds(merged) == pytest.approx(sum(odds) / len(odds), rel=1e-12, abs=1e-12)
    if max(odds) < NOTHING_FOUND:  # else no digits are left for the differences
        weights = [math.exp(answer.score - merged[0].score) for answer in merged]
        for answer, weight in zip(merged, weights, strict=True):
            assert answer.probability == pytest.approx(weight / sum(weights), rel=1e-9, abs=1e-300)


def test_equal_sums_keep_the_first_lists_order() -> None:
    def as_list(*pairs: tuple[str, float]) -> list[Answer]:
        return [Answer(text, 0, 1, 0.0, probability) for text, probability in pairs]

    # Added from left to right, a and b would differ in the last digit.
    lists = [
        as_list(("b", 0.3), ("a", 0.1)), as_list(("a", 0.2), ("b", 0.2)),
        as_list(("a", 0.3), ("b", 0.1)),
    ]  # fmt: skip
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    assert [answer.text for answer in merge_answers(lists)] == ["b", "a"]
    assert [answer.text for answer in merge_answers(lists[1:] + lists[:1])] == ["a", "b"]


def answers_of(texts_and_scores: dict[str, float], context: str) -> list[Answer]:
    starts = {text: context.index(text) for text in texts_and_scores}
    merged = {(starts[t], starts[t] + len(t)): score for t, score in texts_and_scores.items()}
    return rank_answers(context, merged, 20)


def write_nbest(
    directory: Path, right: float, first: str = "", odds: float = 0.0, newest_first: bool = False
) -> Path:
    """Write an n-best file in which the gold answer scores `right` and another text 2."""
    directory.mkdir()
    with PredictionFiles(directory) as files:
        for example_id, (context, gold) in sorted(GOLDS.items(), reverse=newest_first):
            scores = {gold: right - odds, context[:2]: 2.0 - odds}
            files.write(first + example_id, answers_of(scores, context))
        files.commit()
    return directory


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command with the output directory `out`: exit code, stdout, stderr."""

    def vote(*arguments: str | Path) -> tuple[int, str, str]:
        code = qa.cli.vote.main([*map(str, arguments), "--output-dir", str(tmp_path / "out")])
        out, err = capsys.readouterr()
        return code, out, err

    return vote


def test_from_nbest_files_to_a_score(
    run: Run, tmp_path: Path, squad_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, unsure = write_nbest(tmp_path / "a", 1.0), write_nbest(tmp_path / "b", 1.5)
    right = write_nbest(tmp_path / "c", 6.0, odds=3.0, newest_first=True)
    code, out, err = run(wrong, unsure / NBEST_FILE, right)
    assert (code, err) == (0, "")
    assert "12 questions, 3 readers, all agreed on 0\n" in out
    output = tmp_path / "out"
    assert sorted(p.name for p in output.iterdir()) == sorted(
        [PREDICTIONS_FILE, NBEST_FILE, NULL_ODDS_FILE]
    )
    assert list(read_json(output / PREDICTIONS_FILE)) == sorted(GOLDS)  # the first input's order
    nbest = read_json(output / NBEST_FILE)
    # Softmax of two scores; the gold answer is 1 behind, 0.5 behind and 4 ahead.
    expected = sum(1 / (1 + math.exp(-lead)) for lead in (-1.0, -0.5, 4.0)) / 3
    for example_id, (context, gold) in GOLDS.items():
        best = nbest[example_id][0]
        assert (best["text"], best["start"]) == (gold, context.index(gold))
        assert best["probability"] == pytest.approx(expected)
    # Best scores are 2, 2 and 6 - 3.
    assert list(read_json(output / NULL_ODDS_FILE).values()) == pytest.approx([-7 / 3] * 12)
    for path, exact_match in ((wrong, "0.00"), (unsure, "0.00"), (output, "100.00")):
        arguments = [str(path / PREDICTIONS_FILE), "--metric", "korquad1"]
        assert qa.cli.score.main([*arguments, "--data", str(squad_file)]) == 0
        assert f"exact_match {exact_match:>6}" in capsys.readouterr().out


def test_a_vote_can_vote(run: Run, tmp_path: Path) -> None:
    inputs = [write_nbest(tmp_path / str(right), right) for right in (1.0, 2.0, 60.0)]
    assert run(*inputs)[0] == 0
    assert (
        qa.cli.vote.main([*map(str, [tmp_path / "out"] * 2), "--output-dir", f"{tmp_path}/2"]) == 0
    )
    first, second = (read_json(tmp_path / name / NBEST_FILE) for name in ("out", "2"))
    for example_id, answers in first.items():
        for one, other in zip(answers, second[example_id], strict=True):
            assert one == pytest.approx(other)


@pytest.mark.parametrize(("threshold", "unanswered"), [("-3", 12), ("-2", 0), ("-2.5", 0)])
def test_questions_are_left_unanswered_above_a_threshold(
    run: Run, tmp_path: Path, threshold: str, unanswered: int
) -> None:
    inputs = [write_nbest(tmp_path / "a", 1.0), write_nbest(tmp_path / "b", 3.0)]
    code, out, _ = run(*inputs, "--null-score-diff-threshold", threshold)  # the odds are -2.5
    assert code == 0
    assert f"left unanswered: {unanswered}, " in out
    assert list(read_json(tmp_path / "out" / PREDICTIONS_FILE).values()).count("") == unanswered
    assert all(read_json(tmp_path / "out" / NBEST_FILE).values())


def test_readers_in_unlike_forms_are_noted(run: Run, tmp_path: Path) -> None:
    """A decomposed text never equals a composed one, so the two do not vote together."""
    paths = []
    for form in ("NFC", "NFD"):
        paths.append(tmp_path / form)
        paths[-1].mkdir()
        with PredictionFiles(paths[-1]) as files:
            text = unicodedata.normalize(form, "강나루")
            files.write("q1", [Answer(text, 0, len(text), 1.0, 1.0)])
            files.write("q2", [Answer("1921", 0, 4, 1.0, 1.0)])
            files.commit()
    code, out, err = run(*paths)
    assert code == 0
    assert "all agreed on 1\n" in out
    assert err == (
        "note: to 1 questions some answers are decomposed Hangul (NFD) and others are composed"
        " (q1), so they do not vote together; make them with `qa evaluate --nfc`\n"
    )


def test_questions_without_candidates(run: Run, tmp_path: Path) -> None:
    for name, answers in (("a", []), ("b", [Answer("강", 0, 1, 4.0, 1.0)])):
        (tmp_path / name).mkdir()
        with PredictionFiles(tmp_path / name) as files:
            files.write("none", [])
            files.write("one", answers)
            files.commit()
    assert run(tmp_path / "a", tmp_path / "b")[0] == 0
    assert read_json(tmp_path / "out" / PREDICTIONS_FILE) == {"none": "", "one": "강"}
    assert read_json(tmp_path / "out" / NBEST_FILE)["one"][0]["probability"] == 1.0


def test_overwrite_replaces_predictions_and_drops_their_scores(run: Run, tmp_path: Path) -> None:
    a, b = write_nbest(tmp_path / "a", 1.0), write_nbest(tmp_path / "b", 9.0)
    assert run(a, a)[0] == 0
    output = tmp_path / "out"
    (output / "metrics.json").write_text("{}", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    code, _, err = run(a, b)
    assert (code, err.count("\n")) == (2, 1)
    assert "--overwrite" in err
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert run(a, b, "--overwrite")[0] == 0
    assert read_json(output / PREDICTIONS_FILE) == {i: gold for i, (_, gold) in GOLDS.items()}
    assert not (output / "metrics.json").exists()
    assert {path.name for path in output.iterdir()} < set(OUTPUTS)


def test_a_full_disk_leaves_predictions_and_their_scores(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = write_nbest(tmp_path / "a", 1.0), write_nbest(tmp_path / "b", 9.0)
    assert run(a, a)[0] == 0
    output = tmp_path / "out"
    (output / "metrics.json").write_text("{}", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in output.iterdir()}

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    code, _, err = run(a, b, "--overwrite")
    expected = f"error: No space left on device: {output / 'predictions.json'}\n"
    assert (code, err) == (1, expected)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


LINE = '"q": [{"text": "강", "start": 0, "end": 1, "score": 1.5, "probability": 1.0}]'
GOOD = f"{{\n{LINE}\n}}\n"
BROKEN = [
    ("", "line 1 is not as"),
    ("[]\n", "line 1 is not as"),
    ("{" + LINE + "}", "line 1 is not as"),
    (json.dumps(json.loads(GOOD), indent=2), "line 2 is not as"),
    (GOOD.replace("0,", "0"), "line 2 is not as"),
    (GOOD.replace("강", "\udcff"), "line 2 is not as"),
    ("{\n\n}\n", "line 2 is not as"),
    (GOOD + "{}", "line 4 is not as"),
    ("{\n" + '"q": ' + "[" * 100_000 + "\n}\n", "line 2 is not as"),
    (f"{{\n{LINE},\n", "was cut off"),
    (f"{{\n{LINE},\n{LINE}\n}}\n", "line 3: 'q' is there twice"),
    ("{}\n", "has no questions"),
    ('{\n"q": "강"\n}\n', "'q' has a string instead of a list"),
    ('{\n"q": -3.5\n}\n', "'q' has the number -3.5 instead of a list"),
    ('{\n"q": ["강"]\n}\n', "'q': answer 1 is not a text"),
    (GOOD.replace('"score": 1.5, ', ""), "'q': answer 1 is not a text"),
    (GOOD.replace('"start": 0', '"start": true'), "answer 1 is not a text"),
    (GOOD.replace('"강"', "null"), "answer 1 is not a text"),
    (GOOD.replace("1.5", "NaN"), "answer 1 is not a text"),
    (GOOD.replace("1.5", "1" + "0" * 400), "answer 1 is not a text"),
    (GOOD.replace("1.0", "1.01"), "answer 1 is not a text"),
    (GOOD.replace("1.0", "-Infinity"), "answer 1 is not a text"),
    (GOOD.replace("강", "\\ud83d"), "answer 1 holds half a surrogate pair"),
    (GOOD.replace('"q"', '"\\ud83d"'), "line 2: the id holds half a surrogate pair"),
]


@pytest.mark.parametrize(("content", "expected"), BROKEN, ids=range(len(BROKEN)))
@pytest.mark.parametrize("is_first", [True, False])
def test_files_that_are_no_n_best_files(
    run: Run, tmp_path: Path, content: str, expected: str, is_first: bool
) -> None:
    good, broken = tmp_path / "good.json", tmp_path / "broken.json"
    good.write_text(GOOD, encoding="utf-8")
    broken.write_text(content, encoding="utf-8", errors="surrogateescape")
    if expected == "has no questions" and not is_first:
        expected = "has no question 'q'"
    code, out, err = run(*((broken, good) if is_first else (good, broken)))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {broken}: ")
    assert expected in err
    assert not (tmp_path / "out").exists()
    assert run(good, good)[0] == 0  # what was changed is what is wrong


def test_different_questions_are_named(run: Run, tmp_path: Path) -> None:
    a, b = write_nbest(tmp_path / "a", 1.0), write_nbest(tmp_path / "b", 1.0, first="x")
    code, out, err = run(a, b)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{b / NBEST_FILE}: has no question '0-0', unlike {a / NBEST_FILE} (12 of its 12" in err
    lines = (a / NBEST_FILE).read_text(encoding="utf-8").splitlines(keepends=True)
    fewer = tmp_path / "fewer.json"
    fewer.write_text("".join(lines[:3] + lines[4:]), encoding="utf-8")
    for inputs in ((a, fewer), (fewer, a)):
        code, _, err = run(*inputs)
        assert code == 2
        assert f"{fewer}: has no question '1-0', unlike {a / NBEST_FILE} (1 of its 12" in err
    assert not (tmp_path / "out").exists()


def test_wrong_arguments(run: Run, tmp_path: Path) -> None:
    a = write_nbest(tmp_path / "a", 1.0)
    number = "--null-score-diff-threshold"
    for arguments, expected in (
        ([], "two inputs or more, not 0"),
        ([a], "two inputs or more, not 1"),
        ([a, tmp_path / "none.json"], "none.json: cannot be read (No such file or directory)"),
        ([a, tmp_path], f"{tmp_path}: holds no {NBEST_FILE}; pass a directory that"),
        ([a, a, number, "nan"], "must be a finite number"),
        ([a, a, number, "tune"], "invalid float value: 'tune'"),
    ):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert expected in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("directory", "expected"), [("a", "holds an input"), ("run", "holds a training run")]
)
def test_output_directories_that_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], directory: str, expected: str
) -> None:
    a = write_nbest(tmp_path / "a", 1.0)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}", encoding="utf-8")
    before = (a / NBEST_FILE).read_bytes()
    output = str(tmp_path / directory)
    assert qa.cli.vote.main([str(a), str(a), "--overwrite", "--output-dir", output]) == 2
    assert expected in capsys.readouterr().err
    assert (a / NBEST_FILE).read_bytes() == before
