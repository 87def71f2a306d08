"""`python -m qa ask` and `python -m qa evaluate --index`: collections on the command line."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from support.articles import article_examples
from support.collection import WordSearch, article_passages
from support.files import read_json
from support.runs import ROOT

import qa.cli.ask
import qa.cli.evaluate
import qa.cli.evaluate_collection  # before a test changes what it imports
from qa.answering.reader import Reader
from qa.engine.json_files import write_json
from qa.open_domain import fit
from qa.open_domain.answers import OpenAnswer
from qa.open_domain.measure import measure
from qa.open_domain.reader import OpenReader
from qa.retrieval.index import Index

pytestmark = pytest.mark.usefixtures("one_thread")

Run = Callable[..., tuple[int, str, str]]

BEST = ROOT / "tests" / "outputs" / "golden" / "answerable" / "run" / "best"
CPU = ["--device", "cpu", "--precision", "fp32"]
QUESTION = article_examples()[0].question


@pytest.fixture(autouse=True)
def collection(monkeypatch: pytest.MonkeyPatch) -> WordSearch:
    """What every index holds here."""
    search = WordSearch(article_passages())
    monkeypatch.setattr(Index, "open", lambda directory: search)
    return search


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command: exit code, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = qa.cli.ask.main([str(BEST), "--index", "my.index", *CPU, *arguments])
        return (code, *capsys.readouterr())

    return run


def test_an_answer_is_printed_with_its_place(ask: Run, tiny_reader: Reader) -> None:
    (answer,) = OpenReader(tiny_reader, WordSearch(article_passages())).answer(QUESTION)
    code, out, err = ask(QUESTION)
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    place = f"{answer.document}, characters {answer.start}-{answer.end}"
    assert first == f"{answer.text}\t{answer.probability:.3f}\t{place}"
    assert second.strip().startswith(f"{answer.title}: ")
    assert f"[[{answer.text}]]" in second
    assert re.sub(r"\[\[|\]\]", "", second.split(": ", 1)[1]) == answer.passage.strip()


def test_an_answer_over_two_lines_is_printed_on_one(capsys: pytest.CaptureFixture[str]) -> None:
    answer = OpenAnswer("가\r\n나", "a.txt", "", 2, 6, 1.0, 0.5, "앞 가\r\n나 뒤", 2, 6)
    qa.cli.ask.print_answers("?", [answer], as_json=False, names_question=False)
    assert capsys.readouterr().out == "가 나\t0.500\ta.txt, characters 2-6\n    앞 [[가 나]] 뒤\n"


def test_words_without_quotes_are_one_question(ask: Run, collection: WordSearch) -> None:
    assert ask(*QUESTION.split(), "--top-k", "2")[0] == 0
    assert len(QUESTION.split()) > 1
    assert collection.asked == [(QUESTION, 5)]


def test_json_has_all_of_an_answer(ask: Run, tiny_reader: Reader) -> None:
    expected = OpenReader(tiny_reader, WordSearch(article_passages()), k=2).answer(
        QUESTION, top_k=3
    )
    code, out, _ = ask(QUESTION, "--json", "--top-k", "3", "--passages", "2")
    row = json.loads(out)
    assert (code, row["question"], len(row["answers"])) == (0, QUESTION, 3)
    for found, answer in zip(row["answers"], expected, strict=True):
        for name, value in asdict(answer).items():
            assert found[name] == (
                pytest.approx(value, abs=1e-3) if name in ("score", "probability") else value
            )


def test_each_line_of_stdin_is_a_question(
    ask: Run, monkeypatch: pytest.MonkeyPatch, collection: WordSearch
) -> None:
    lines = [f"\ufeff{QUESTION}", "", "\u3000", "  xyz?  ", QUESTION]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    code, out, _ = ask()
    assert code == 0
    assert [question for question, _ in collection.asked] == [QUESTION, "xyz?", QUESTION]
    printed = out.splitlines()
    assert printed[0] == printed[5] == QUESTION
    assert printed[3:5] == ["xyz?", "(no answer in the collection)"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert ask() == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([" "], "the question is empty"),
        (["가\ud83d"], "the question holds half a surrogate pair"),
        (["가?", "--top-k", "0"], "top_k must be at least 1, not 0"),
        (["가?", "--passages", "0"], "--passages must be at least 1, not 0"),
    ],
)
def test_what_is_wrong_is_a_line(arguments: list[str], message: str, ask: Run) -> None:
    code, out, err = ask(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")


def test_bytes_that_are_no_text_are_a_line(ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO("가?\n".encode() + b"\xff\xfe\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    code, _, err = ask()
    assert (code, err) == (2, "error: stdin: is not utf-8 text, after line 0\n")


def test_an_empty_collection_is_a_line(ask: Run, collection: WordSearch) -> None:
    collection.passages = []
    assert ask("가?") == (2, "", "error: my.index: holds no documents; `qa index` adds some\n")


# qa evaluate --index


@pytest.fixture
def evaluate(
    squad_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command on the articles' questions, with a copy of the reader."""

    def run(*arguments: str) -> tuple[int, str, str]:
        model = tmp_path / "model"
        if not model.exists():
            shutil.copytree(BEST, model)
        output = ["--output-dir", str(tmp_path / "out"), "--overwrite"]
        given = [str(model), "--data", str(squad_file), *CPU, *output, *arguments]
        return (qa.cli.evaluate.main(given), *capsys.readouterr())

    return run


def test_a_collection_is_evaluated_beside_the_paragraphs(
    evaluate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collection: WordSearch
) -> None:
    """Each half is judged by what the other fits; what all fit is kept if that is asked for."""
    monkeypatch.setattr(fit, "FEWEST", 3)
    every = collection.passages
    collection.passages = [p for p in every if p.title != "강나루"]
    code, out, _ = evaluate("--index", "my.index", "--passages", "3")
    assert code == 0
    settings = read_json(tmp_path / "model" / "reader.json")
    assert "passage_weight" not in settings
    metrics = read_json(tmp_path / "out" / "metrics.json")
    content = metrics["collection"]
    assert (content["questions"], content["answerable"]) == (12, 10)
    assert f"all together fit {content['passage_weight']:g}" in out
    predictions = read_json(tmp_path / "out" / "open_predictions.json")
    assert list(predictions) == [e.id for e in article_examples()]
    assert evaluate("--index", "my.index", "--passages", "3", "--keep")[0] == 0
    kept = read_json(tmp_path / "model" / "reader.json")
    assert kept == settings | {
        "passage_weight": content["passage_weight"],
        "open_threshold": content["open_threshold"],
    }
    loaded = Reader.from_pretrained(tmp_path / "model", "cpu", "fp32")
    reader = OpenReader(loaded, collection, k=3)
    answers = reader.answer_many([e.question for e in article_examples()])
    found = measure(loaded, collection, article_examples(), 3, "korquad1", loaded.coverage(), False)
    by_halves = fit.fit(found, article_examples(), found.is_held)
    assert by_halves is not None
    chosen = found.choose(by_halves.weight)
    is_answered = chosen.odds <= by_halves.threshold
    assert [each[0].text if each else "" for each in answers] == [
        text if each else "" for text, each in zip(chosen.texts, is_answered, strict=True)
    ]
    chosen = found.choose(by_halves.weights)
    is_answered = chosen.odds <= by_halves.thresholds
    assert list(predictions.values()) == [
        text if each else "" for text, each in zip(chosen.texts, is_answered, strict=True)
    ]
    collection.passages = every  # calls for no threshold, and the one that is kept would not fit
    assert evaluate("--index", "my.index", "--passages", "3", "--keep")[0] == 0
    assert "open_threshold" not in read_json(tmp_path / "model" / "reader.json")
    # What is there of an earlier evaluation would be taken for that of this one.
    assert evaluate()[0] == 0
    assert not (tmp_path / "out" / "open_predictions.json").exists()


def test_few_questions_fit_nothing(evaluate: Run, tmp_path: Path) -> None:
    code, out, err = evaluate("--index", "my.index", "--keep")
    assert code == 0
    assert "can answer fewer than 50 questions of a half, by contexts: nothing is fitted" in err
    assert "the weight is the reader's own" in out
    content: dict[str, Any] = read_json(tmp_path / "out" / "metrics.json")["collection"]
    assert (content["passage_weight"], content["open_threshold"]) == (0.5, None)
    assert read_json(tmp_path / "model" / "reader.json") == read_json(BEST / "reader.json")
    assert "`qa ask` leaves out" not in out
    # A threshold that the reader has is not applied here, but is by those who ask.
    settings = {**read_json(BEST / "reader.json"), "null_score_diff_threshold": 1.5}
    write_json(tmp_path / "model" / "reader.json", settings)
    _, out, _ = evaluate("--index", "my.index", "--keep")
    assert "`qa ask` leaves out those whose null odds exceed 1.5\n" in out


def test_what_is_compared_answers_every_question(evaluate: Run, tmp_path: Path) -> None:
    """With a threshold the reader leaves out all of them where the paragraphs are given."""
    evaluate("--index", "my.index")
    expected = read_json(tmp_path / "out" / "metrics.json")
    evaluate("--index", "my.index", "--null-score-diff-threshold", "-1000")
    found = read_json(tmp_path / "out" / "metrics.json")
    assert found["korquad1"]["exact_match"] == 0 < expected["korquad1"]["exact_match"]
    assert found["collection"]["given"] == expected["collection"]["given"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep"], "--keep keeps what --index fits; pass one"),
        (["--passages", "3"], "--passages are those of --index; pass one"),
        (["--index", "my.index", "--passages", "0"], "--passages must be at least 1, not 0"),
    ],
)
def test_flags_that_do_not_fit(arguments: list[str], message: str, evaluate: Run) -> None:
    code, out, err = evaluate(*arguments)
    assert (code, out, err) == (2, "", f"error: {message}\n")


def test_without_a_question_and_without_stdin(ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As daemons start a command."""
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = ask()
    assert (code, out) == (2, "")
    assert err == "error: there is no question, and stdin is closed; pass one\n"


def test_more_passages_than_can_be_read(ask: Run) -> None:
    code, _, err = ask("?", "--passages", "99999999999999999999")
    assert (code, err.count("\n")) == (2, 1)
    assert "--passages must be at most 10,000" in err
