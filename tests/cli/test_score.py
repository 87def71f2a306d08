"""`python -m qa score`: scores of files, the comparison of two, wrong input."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.articles import ARTICLES, squad_json
from support.files import read_json

import qa.cli.score
from qa.data.formats import read_examples
from qa.metrics import METRICS, score_predictions

Run = Callable[..., tuple[int, str, str]]

GOLDS = {
    f"{n}-{i}": answer
    for n, (_, _, pairs) in enumerate(ARTICLES)
    for i, (_, answer) in enumerate(pairs)
}
WITH_PARTICLE = {key: text + "이" for key, text in GOLDS.items()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], str]:
    """Writes JSON, or text as it is, and returns the path."""

    def to_file(name: str, content: Any) -> str:
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return to_file


@pytest.fixture
def run(squad_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on the small data set: exit code, stdout, stderr."""

    def score(*arguments: str, data: str | None = None) -> tuple[int, str, str]:
        code = qa.cli.score.main([*arguments, "--data", data or str(squad_file)])
        out, err = capsys.readouterr()
        return code, out, err

    return score


@pytest.fixture
def unanswerable_file(write: Callable[[str, Any], str]) -> str:
    """Two questions with an answer and two without, in English."""
    context = "The river runs past the mill to the sea."
    qas = [
        {"id": "a", "question": "What runs?", "answers": [{"text": "river", "answer_start": 4}]},
        {"id": "b", "question": "Where to?", "answers": [{"text": "sea", "answer_start": 36}]},
        {"id": "c", "question": "Who?", "answers": [], "is_impossible": True},
        {"id": "d", "question": "When?", "answers": [], "is_impossible": True},
    ]
    return write("squad2.json", {"data": [{"paragraphs": [{"context": context, "qas": qas}]}]})


def test_default_scores_and_the_korean_note(run: Run, write: Callable[..., str]) -> None:
    code, out, err = run(write("p.json", WITH_PARTICLE))
    assert (code, err) == (0, "")
    assert "12 questions" in out
    lines = [line for line in out.splitlines() if line.startswith(("KorQuAD 1.0", "SQuAD v1.1"))]
    assert [line.count("[") for line in lines] == [2, 2]
    assert "exact_match   0.00 [0.00, 0.00]" in lines[0]
    assert "note: squad1: whole words are counted" in out


def test_nfc_composes_gold_answers_and_predictions(
    run: Run, squad_file: Path, write: Callable[..., str]
) -> None:
    decomposed = {i: unicodedata.normalize("NFD", text) for i, text in GOLDS.items()}
    rows = unicodedata.normalize("NFD", squad_file.read_text(encoding="utf-8"))
    files = {"NFC": write("c.json", GOLDS), "NFD": write("d.json", decomposed)}
    data = {"NFC": str(squad_file), "NFD": write("data.json", rows)}
    for form, other in (("NFC", "NFC"), ("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")):
        out = run(files[form], "--nfc", data=data[other])[1]
        assert "exact_match 100.00" in out
    assert "exact_match 100.00" not in run(files["NFD"])[1]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_writes_what_the_library_computes(
    name: str, run: Run, write: Callable[..., str], squad_file: Path, tmp_path: Path
) -> None:
    mixed = {**GOLDS, **dict(list(WITH_PARTICLE.items())[:5])}
    output = tmp_path / "out"
    arguments = [write("p.json", mixed), "--metric", name]
    code, out, err = run(*arguments, "--output-dir", str(output))
    assert (code, err) == (0, "")
    assert METRICS[name].title in out
    assert ("note: " in out) == (name in ("squad1", "squad2", "mrqa"))
    written = read_json(output / "metrics.json")
    golds = {example.id: example.answers for example in read_examples(str(squad_file))}
    assert written[name] == pytest.approx(score_predictions(name, golds, mixed))
    assert written["num_examples"] == 12
    for key in METRICS[name].keys:
        low, high = written["intervals"][name][key]
        assert low < written[name][key] < high


def test_two_files_are_compared(run: Run, write: Callable[..., str], tmp_path: Path) -> None:
    worse, better = write("worse.json", WITH_PARTICLE), write("better.json", GOLDS)
    output = tmp_path / "out"
    arguments = [worse, better, "--metric", "korquad1"]
    code, out, _ = run(*arguments, "--output-dir", str(output))
    assert code == 0
    assert out.index(worse) < out.index(better)
    assert "exact_match +100.00 [+100.00, +100.00] p 0.0" in out
    written = read_json(output / "metrics.json")
    assert [file["predictions"] for file in written["files"]] == [worse, better]
    found = written["comparison"]["korquad1"]["exact_match"]
    assert found["difference"] == 100.0
    assert found["p_value"] == pytest.approx(2 / 2**12, abs=5e-4)  # 12 of 12 coins
    code, out, _ = run(worse, worse)
    assert "+0.00 [+0.00, +0.00] p 1.0000" in out


def test_holdout_scores_only_the_held_out_articles(run: Run, write: Callable[..., str]) -> None:
    held_out = {key: text for key, text in GOLDS.items() if key.startswith(("0-", "5-"))}
    path = write("p.json", held_out)
    code, out, err = run(path, "--holdout", "0.2")
    assert (code, err) == (0, "")
    assert "4 questions" in out
    assert "exact_match 100.00" in out


def test_holdout_is_of_the_training_part(run: Run, write: Callable[..., str]) -> None:
    """As train.py holds it out, where the data has several parts."""
    articles = squad_json()["data"]
    write("train.json", {"data": articles[:5]})
    folder = Path(write("dev.json", {"data": articles[5:]})).parent
    held_out = {key: text for key, text in GOLDS.items() if key.startswith("0-")}
    code, out, _ = run(write("p.json", held_out), "--holdout", "0.2", data=f"{folder}:train")
    assert (code, "2 questions" in out) == (0, True)
    Path(folder, "p.json").rename(folder.parent / "p.json")
    assert run(str(folder.parent / "p.json"), "--holdout", "0.2", data=str(folder))[:2] == (0, out)


def test_missing_predictions_are_noted(run: Run, write: Callable[..., str]) -> None:
    some = {key: text for key, text in GOLDS.items() if not key.startswith("0-")}
    arguments = [write("p.json", some)]
    for name in ("korquad1", "squad2"):
        arguments += ["--metric", name]
    code, out, err = run(*arguments)
    assert code == 0
    assert err.count("\n") == 1
    assert "2 of 12 questions have no prediction (0-0, 0-1)" in err
    assert "as 0 in korquad1 and not in squad2" in err
    assert "exact_match  83.33" in out
    assert "exact 100.00" in out
    assert "of 10" in out


def test_what_does_not_fit_the_questions_is_noted(
    run: Run, write: Callable[..., str], squad_file: Path
) -> None:
    fits = write("fits.json", GOLDS)
    assert run(fits)[2] == ""
    extra = write("extra.json", {**GOLDS, "x": "강", "y": ""})
    assert run(extra)[2] == (
        f"note: {extra}: 2 predictions belong to no question of the data (x, y); they do not"
        " count\n"
    )
    assert run(extra, "--holdout", "0.2")[2] == ""  # predictions on all of the data
    empty = write("empty.json", dict.fromkeys(GOLDS, " "))
    assert run(empty)[2] == f"note: {empty}: all 12 predictions are empty\n"


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda key: unicodedata.normalize("NFD", key),  # macOS
        lambda key: f" {key}",
        lambda key: f"{key}.0",  # pandas
        str.upper,
    ],
)
def test_ids_that_differ_only_in_how_they_are_written_are_named(
    rewritten: Callable[[str], str], run: Run, write: Callable[..., str]
) -> None:
    """They look the same, or nearly so, in the list of those that are missing."""
    rows = [
        {
            "id": key,
            "question": "?",
            "context": "강",
            "answers": [{"text": "강", "answer_start": 0}],
        }
        for key in ("\u00e9강-a1", "7")
    ]
    data = write("d.json", rows)
    key = rewritten("\u00e9강-a1")
    path = write("p.json", {key: "강"})
    code, _, err = run(path, data=data)
    hint = (
        "; the ids of 1 (\u00e9강-a1) differ only in blanks, case, Unicode form or a .0 at the end"
    )
    assert (code, hint in err) == (2, True)
    code, _, err = run(write("p.json", {key: "강", "7": "강"}), data=data)
    assert (code, hint in err) == (0, True)
    assert "differ only" not in run(write("p.json", {"other": "강", "7": "강"}), data=data)[2]


def test_decomposed_hangul_beside_composed_is_noted(
    run: Run, write: Callable[..., str], squad_file: Path
) -> None:
    decomposed = {i: unicodedata.normalize("NFD", text) for i, text in GOLDS.items()}
    nfd = write("nfd.json", decomposed)
    rows = []
    for example in read_examples(str(squad_file)):
        context = unicodedata.normalize("NFD", example.context)
        text = decomposed[example.id]
        answer = {"text": text, "answer_start": context.index(text)}
        rows.append({"id": example.id, "question": "?", "context": context, "answers": [answer]})
    nfd_data = write("d.json", rows)
    note = f"note: {nfd}: of 12 predictions and their gold answers one side is decomposed Hangul"
    code, out, err = run(nfd, "--metric", "korquad1")
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith(f"{note} (NFD) (0-0, 0-1, 1-0, ...)")
    assert err.endswith("--nfc composes both\n")
    assert "exact_match   0.00" in out  # as the official script
    nfc = write("nfc.json", GOLDS)
    assert "one side is decomposed Hangul" in run(nfc, data=nfd_data)[2]
    for path, data in ((nfd, nfd_data), (nfc, str(squad_file))):
        assert run(path, data=data)[2] == ""
    assert run(nfd, "--nfc")[2] == ""
    one = write("one.json", {**GOLDS, "0-0": decomposed["0-0"], "0-1": "1921"})
    assert f"{one}: of 1 predictions" in run(one)[2]


def test_other_programs_rows_are_scored(run: Run, write: Callable[..., str]) -> None:
    rows = [{"id": key, "prediction_text": text} for key, text in GOLDS.items()]
    code, out, err = run(write("p.json", rows), "--metric", "korquad1")
    assert (code, err) == (0, "")
    assert "exact_match 100.00" in out


def test_questions_without_an_answer_have_the_scores_that_know_them(
    run: Run, write: Callable[..., str], unanswerable_file: str
) -> None:
    predictions = write("p.json", {"a": "river", "b": "sea", "c": "", "d": ""})
    code, out, err = run(predictions, data=unanswerable_file)
    assert (code, err) == (0, "")
    (line,) = (line for line in out.splitlines() if line.startswith("SQuAD v2.0"))
    assert "exact 100.00" in " ".join(line.split())


def test_squad2_with_no_answer_probabilities(
    run: Run, write: Callable[..., str], unanswerable_file: str, tmp_path: Path
) -> None:
    predictions = write("p.json", {"a": "river", "b": "mill", "c": "mill", "d": ""})
    odds = write("null_odds.json", {"a": -3, "b": 0.5, "c": 2.5, "d": 4})
    output = tmp_path / "out"
    arguments = [predictions, "--metric", "squad2", "--output-dir", str(output)]
    code, out, err = run(*arguments, "--na-probs", odds, data=unanswerable_file)
    assert (code, err) == (0, "")
    assert "note" not in out
    assert "best_exact 75.00 at -3" in out
    found = read_json(output / "metrics.json")["squad2"]
    assert found == {  # c is left unanswered: 2.5 is above 1
        "exact": 75.0,
        "f1": 75.0,
        "total": 4,
        "HasAns_exact": 50.0,
        "HasAns_f1": 50.0,
        "HasAns_total": 2,
        "NoAns_exact": 100.0,
        "NoAns_f1": 100.0,
        "NoAns_total": 2,
        "best_exact": 75.0,
        "best_exact_thresh": -3,
        "best_f1": 75.0,
        "best_f1_thresh": -3,
    }
    arguments += ["--na-probs", odds, "--na-prob-threshold", "3", "--overwrite"]
    run(*arguments, data=unanswerable_file)
    found = read_json(output / "metrics.json")["squad2"]
    assert found["exact"] == 50.0


def test_a_file_with_a_byte_order_mark(run: Run, write: Callable[..., str]) -> None:
    path = write("p.json", "\ufeff" + json.dumps(GOLDS))
    assert run(path)[0] == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such file"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([], "has no prediction for any of the 12 questions (its ids: none;"),
        ("null", "expected an object {id: text} or a list of rows, but it is null"),
        ({"0-0": 3}, "expected {id: text}, but '0-0' has the number 3"),
        ({"0-0": None}, "'0-0' has null"),
        ({"0-0": True}, "'0-0' has true or false"),
        ({"0-0": ["강", "나루"]}, "'0-0' has a list of texts"),
        ({}, "has no prediction for any of the 12 questions (its ids: none;"),
        ({"x": "강"}, "has no prediction for any of the 12 questions (its ids: x; the data's: 0-0"),
    ],
)
def test_wrong_prediction_files(
    content: Any, expected: str, run: Run, write: Callable[..., str], tmp_path: Path
) -> None:
    path = str(tmp_path / "nowhere.json") if content is None else write("p.json", content)
    code, out, err = run(path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: ")
    assert expected in err
    assert err.count("\n") == 1


def test_a_set_without_answers_is_for_predict(run: Run, write: Callable[..., str]) -> None:
    data = write("d.json", [{"id": "a", "question": "?", "context": "강", "answers": []}])
    code, out, err = run(write("p.json", {"a": "강"}), data=data)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {data}: no question has an answer; expected answers with text and answer_start"
        " (`qa predict --output` needs none)\n"
    )


def test_files_that_are_no_text(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes('{"0-0": "강"}'.encode("euc-kr"))
    assert run(str(path))[2].startswith(f"error: {path}: is not UTF-8")
    assert run(str(tmp_path))[2].startswith(f"error: {tmp_path}: is a directory")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "the following arguments are required: FILE"),
        (["P", "--metric", "korquad3"], "invalid choice: 'korquad3'"),
        (["P"] * 3, "pass one prediction file, or two to compare, not 3"),
        (["P", "--na-probs", "N"], "--na-probs belongs to --metric squad2"),
        (
            ["P", "P", "--na-probs", "N", "--metric", "squad2"],
            "--na-probs needs one for each prediction file: 1 for 2",
        ),
        (["P", "--device", "cpu"], "unknown flag --device"),
        (["P", "--na-prob-threshold", "0.5"], "--na-prob-threshold is a number, and one for"),
        (
            ["P", "--metric", "squad2", "--na-probs", "P", "--na-prob-threshold", "nan"],
            "--na-prob-threshold is a number",
        ),
        (["P", "--holdout", "2"], "holdout must be above 0"),
        (["P", "--output-dir", "/proc/version/out"], "is not a directory"),
        (
            ["P", "--metric", "squad2", "--na-probs", "PARTIAL"],
            "has no number for 11 questions that have a prediction (0-1, 1-0, 1-1, ...)",
        ),
        (
            ["P", "--metric", "squad2", "--na-probs", "P"],
            "expected {id: number}, but '0-0' has a string",
        ),
        (
            ["P", "--metric", "squad2", "--na-probs", "NAN"],
            "expected {id: number}, but '0-0' has the number nan",
        ),
    ],
)
def test_wrong_command_lines(
    arguments: list[str], expected: str, run: Run, write: Callable[..., str]
) -> None:
    files = {
        "P": write("p.json", GOLDS),
        "N": write("n.json", dict.fromkeys(GOLDS, 0.5)),
        "PARTIAL": write("partial.json", {"0-0": 0.5}),
        "NAN": write("nan.json", '{"0-0": NaN}'),
    }
    code, out, err = run(*[files.get(argument, argument) for argument in arguments])
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert expected in err
    assert err.count("\n") == 1


def test_a_runs_own_directory_is_left_alone(
    run: Run, write: Callable[..., str], tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    arguments = [write("p.json", GOLDS), "--output-dir", str(directory)]
    code, _, err = run(*arguments, "--overwrite")
    assert code == 2
    assert "holds a training run" in err
