"""`python -m qa predict --output`: answers to a data set as a file, whole or not at all."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.articles import article_examples
from support.files import read_json

import qa.cli.predict
import qa.cli.score
from qa.answering.nbest import Answer
from qa.answering.reader import Reader
from qa.engine.errors import UserError
from qa.outputs.read_predictions import read_prediction_file

pytestmark = pytest.mark.usefixtures("one_thread")

Run = Callable[..., tuple[int, str, str]]

BEST = Path(__file__).parents[1] / "outputs" / "golden" / "answerable" / "run" / "best"
EXAMPLES = article_examples()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Questions without answers, as a test set of a leaderboard has them."""
    path = tmp_path / "test.jsonl"
    rows = [{"id": e.id, "question": e.question, "context": e.context} for e in EXAMPLES]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def run(data: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on the questions: exit code, stdout, stderr."""

    def predict(*arguments: str | Path, model: Path = BEST) -> tuple[int, str, str]:
        given = [str(model), "--data", str(data), "--device", "cpu", "--precision", "fp32"]
        code = qa.cli.predict.main([*given, *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return predict


def answers_of(top_k: int) -> list[list[Answer]]:
    """What the reader answers in Python."""
    reader = Reader.from_pretrained(BEST, device="cpu", precision="fp32")
    return reader.answer_many(EXAMPLES, top_k=top_k)


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".JSON"])
def test_every_form_holds_the_readers_answers(suffix: str, run: Run, tmp_path: Path) -> None:
    expected = {
        example.id: answers[0].text
        for example, answers in zip(EXAMPLES, answers_of(1), strict=True)
    }
    output = tmp_path / f"p{suffix}"
    code, out, err = run("--output", output)
    assert (code, out) == (0, f"12 questions, 0 left unanswered\noutput: {output}\n")
    assert "12/12" in err  # progress
    assert read_prediction_file(str(output)) == expected
    assert list(read_prediction_file(str(output))) == [example.id for example in EXAMPLES]
    if suffix == ".json":
        assert read_json(output) == expected
    if suffix == ".csv":
        with output.open(encoding="utf-8", newline="") as file:
            assert list(csv.reader(file)) == [["id", "prediction"], *map(list, expected.items())]


def test_lines_are_those_of_json(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "p.jsonl"
    assert run("--output", output, "--top-k", "3")[0] == 0
    assert output.read_text(encoding="utf-8") == run("--json", "--top-k", "3")[1]
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    expected = [[vars(answer) for answer in answers] for answers in answers_of(3)]
    assert [row["answers"] for row in rows] == expected


def test_what_was_written_is_scored(
    run: Run, tmp_path: Path, squad_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All forms score alike, as the texts do."""
    printed = set()
    for suffix in (".json", ".jsonl", ".csv"):
        output = tmp_path / f"p{suffix}"
        assert run("--output", output)[0] == 0
        assert qa.cli.score.main([str(output), "--data", str(squad_file)]) == 0
        printed.add(tuple(capsys.readouterr()))
    assert len(printed) == 1
    assert printed.pop()[1] == ""


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_questions_left_unanswered_are_empty(suffix: str, run: Run, tmp_path: Path) -> None:
    model = shutil.copytree(BEST, tmp_path / "model")
    settings = read_json(model / "reader.json") | {"null_score_diff_threshold": -1e9}
    (model / "reader.json").write_text(json.dumps(settings))
    output = tmp_path / f"p{suffix}"
    code, out, _ = run("--output", output, model=model)
    assert (code, out.splitlines()[0]) == (0, "12 questions, 12 left unanswered")
    assert read_prediction_file(str(output)) == {example.id: "" for example in EXAMPLES}


def test_a_file_is_replaced_only_if_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "p.json"
    output.write_text("{}", encoding="utf-8")
    code, out, err = run("--output", output)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {output}: is there already; pass --overwrite to replace it, or another --output\n"
    )
    assert output.read_text() == "{}"
    assert run("--output", output, "--overwrite")[0] == 0
    assert len(read_json(output)) == 12


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    suffix: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of JSON lines either, of which no block was whole."""

    def fails(reader: Reader, examples: Any, **_: Any) -> Any:
        if suffix != ".jsonl":
            yield [(example, [Answer("x", 0, 1, 0.0, 1.0)]) for example in examples]
        raise UserError("the end")

    monkeypatch.setattr(Reader, "stream_answers", fails)
    output = tmp_path / f"p{suffix}"
    for old in (None, "old"):
        if old is not None:
            output.write_text(old)
        before = sorted(tmp_path.iterdir())
        code, out, err = run("--output", output, "--overwrite")
        assert (code, out) == (2, "")
        assert err.endswith("error: the end\n")
        assert sorted(tmp_path.iterdir()) == before
        assert old is None or output.read_text() == old


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--output", "p.txt"], "p.txt: --output takes .json, .jsonl, .csv"),
        (["--output", "p"], "p: --output takes .json, .jsonl, .csv"),
        (["--output", "p.json", "--json"], "--output FILE.jsonl writes the same lines"),
        (["--output", "p.json", "--top-k", "2"], "holds one answer a question; --top-k needs"),
        (["--output", "nowhere/p.json"], "nowhere: is not a directory that can be written to"),
        (["--output", "folder.json"], "folder.json: is a directory"),
        (["--output", "TEST", "--overwrite"], "test.jsonl: is the --data"),
        (["--output", "reader/config.json", "--overwrite"], "config.json: is a file of the reader"),
        (["--data", ".", "--output", "TEST", "--overwrite"], "test.jsonl: is the --data"),
        (["--data", "hub:TEST:cfg:dev", "--output", "TEST", "--overwrite"], "l: is the --data"),
        (["--data", "TEST:dev", "--output", "TEST", "--overwrite"], "test.jsonl: is the --data"),
        (["--overwrite"], "--overwrite replaces the file of --output; pass one"),
        (["--resume"], "--resume goes on with the file of --output; pass one"),
        (["--output", "p.csv", "--resume"], "p.csv: only --output FILE.jsonl can be resumed"),
        (["--output", "p.jsonl", "--resume", "--overwrite"], "--resume or --overwrite, not both"),
    ],
)
def test_outputs_that_are_refused(
    arguments: list[str],
    expected: str,
    run: Run,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At once: no model is looked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "reader").mkdir()
    (tmp_path / "reader" / "config.json").touch()
    before = data.read_bytes()
    given = [argument.replace("TEST", str(data)) for argument in arguments]
    code, out, err = run(*given, model=tmp_path / "reader")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert expected in err
    assert err.count("\n") == 1
    assert data.read_bytes() == before
