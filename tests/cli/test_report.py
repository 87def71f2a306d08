"""`python -m qa report`: what it writes and says, and what it refuses."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.articles import article_examples, squad_json
from support.reports import made_up, write_run

import qa.cli.report
import qa.cli.score
from qa.report.predicted import Predicted

Run = Callable[..., tuple[int, str, str]]
PREDICTED = made_up(article_examples())


@pytest.fixture
def run(squad_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command on the small data set: exit code, stdout, stderr."""

    def report(
        *arguments: Any, data: Path = squad_file, output: Path = tmp_path / "report.html"
    ) -> tuple[int, str, str]:
        files = ["--data", str(data), "--output", str(output)]
        code = qa.cli.report.main([*map(str, arguments), *files])
        out, err = capsys.readouterr()
        return code, out, err

    return report


def content_of(tmp_path: Path) -> Any:
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def write_texts(path: Path, texts: Any) -> Path:
    path.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    return path


def test_a_run(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scores are those that `qa score` prints and writes."""
    directory = write_run(tmp_path / "run", PREDICTED)
    code, out, err = run(directory)
    assert (code, err) == (0, "")
    assert out.endswith(f"report: {tmp_path / 'report.html'}\n")
    content = content_of(tmp_path)
    assert (content["count"], content["data"]) == (12, "squad.json")
    arguments = [str(directory / "predictions.json"), "--data", str(tmp_path / "squad.json")]
    assert qa.cli.score.main([*arguments, "--output-dir", str(tmp_path / "score")]) == 0
    official = json.loads((tmp_path / "score" / "metrics.json").read_text(encoding="utf-8"))
    for row in content["scores"][0]:
        assert row["value"] == official[row["name"]][row["key"]]
        assert row["interval"] == official["intervals"][row["name"]][row["key"]]
    assert f"exact_match  {content['exact_match']:.2f}" in out
    worst = next(kind for kind in content["kinds"] if kind["gain"])
    assert f"most is lost by: {worst['title']}, {worst['count']} question" in out
    assert len(content["questions"][0]["candidates"]) == 5


def test_an_nbest_file_and_texts_of_any_program(run: Run, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", PREDICTED)
    assert run(directory / "nbest_predictions.json")[0] == 0
    of_candidates = content_of(tmp_path)
    rows = [{"id": i, "prediction": text} for i, text in PREDICTED.texts.items()]
    assert run(write_texts(tmp_path / "rows.json", rows), "--overwrite")[0] == 0
    of_texts = content_of(tmp_path)
    assert of_candidates["scores"] == of_texts["scores"]
    assert of_candidates["calibration"] is not None
    assert of_texts["calibration"] is None


def test_an_nbest_file_knows_what_its_run_left_unanswered(run: Run, tmp_path: Path) -> None:
    texts = {**PREDICTED.texts, "0-0": ""}
    directory = write_run(tmp_path / "run", replace(PREDICTED, texts=texts))
    assert run(directory)[0] == 0
    of_run = content_of(tmp_path)
    assert run(directory / "nbest_predictions.json", "--overwrite")[0] == 0
    of_file = content_of(tmp_path)
    assert of_file["scores"] == of_run["scores"]
    write_texts(directory / "predictions.json", {**texts, "1-0": "of another reader"})
    assert run(directory / "nbest_predictions.json", "--overwrite")[0] == 0
    assert content_of(tmp_path)["scores"] != of_run["scores"]


def test_what_lies_beside_an_nbest_file_may_be_anything(run: Run, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", PREDICTED)
    (directory / "predictions.json").write_text("not even JSON", encoding="utf-8")
    assert run(directory / "nbest_predictions.json")[0] == 0


def test_the_page_is_no_file_of_the_data(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    data = write_texts(folder / "dev.json", squad_json())
    before = data.read_bytes()
    directory = write_run(tmp_path / "run", PREDICTED)
    code, _, err = run(directory, "--overwrite", data=folder, output=data)
    assert (code, err) == (2, f"error: {data}: the report is HTML; name it so (.html)\n")
    assert data.read_bytes() == before


def test_two_runs(run: Run, tmp_path: Path) -> None:
    first = write_texts(tmp_path / "first.json", PREDICTED.texts)
    golds = {each.id: each.answers[0] for each in article_examples()}
    code, out, _ = run(first, write_texts(tmp_path / "second.json", golds))
    content = content_of(tmp_path)
    assert code == 0
    assert "exact_match 100.00" in out
    assert content["names"] == [str(first), str(tmp_path / "second.json")]
    assert content["comparison"]["flips"]["lost"] == 0
    assert content["comparison"]["flips"]["won"] > 3


@pytest.mark.parametrize("is_run", [True, False])
def test_nfc_composes_questions_and_texts(
    is_run: bool, run: Run, squad_file: Path, tmp_path: Path
) -> None:
    def form(text: str) -> str:
        return unicodedata.normalize("NFD", text)

    data = tmp_path / "decomposed.json"
    data.write_text(form(squad_file.read_text(encoding="utf-8")), encoding="utf-8")
    texts = {i: form(text) for i, text in PREDICTED.texts.items()}
    candidates = {
        i: [each._replace(text=form(each.text)) for each in own]
        for i, own in PREDICTED.candidates.items()
    }
    decomposed = Predicted("run", texts, candidates)
    inputs = []
    for name, each in (("nfd", decomposed), ("nfc", PREDICTED)):
        directory = write_run(tmp_path / name, each)
        inputs.append(directory if is_run else directory / "predictions.json")
    assert run(inputs[0], "--nfc", data=data)[0] == 0
    found = content_of(tmp_path)
    assert run(inputs[1], "--overwrite")[0] == 0
    expected = content_of(tmp_path)
    assert found["questions"] == expected["questions"]
    assert found["ceiling"] == expected["ceiling"]


def test_articles_that_were_held_out(run: Run, tmp_path: Path) -> None:
    """Of a run that knows them, a line says how they alone are counted."""
    texts = {i: text for i, text in PREDICTED.texts.items() if i.startswith(("0-", "3-"))}
    directory = tmp_path / "run"
    candidates = {i: PREDICTED.candidates[i] for i in texts}
    write_run(directory, Predicted("run", texts, candidates))
    write_texts(directory / "config.json", {"holdout": 0.33})
    code, _, err = run(directory)
    assert code == 0
    assert "8 of 12 questions have no prediction" in err
    assert f"{directory}: held out articles: --holdout 0.33 counts only these" in err
    code, _, err = run(directory, "--holdout", 0.33, "--overwrite")
    assert (code, err) == (0, "")
    assert content_of(tmp_path)["count"] == 4


def test_the_output_is_not_replaced_unasked(run: Run, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "p.json", PREDICTED.texts)
    assert run(texts)[0] == 0
    before = (tmp_path / "report.html").read_bytes()
    code, _, err = run(texts)
    assert code == 2
    assert err.endswith("report.html: exists already; pass --overwrite or another --output\n")
    assert run(texts, "--overwrite")[0] == 0
    assert (tmp_path / "report.html").read_bytes() == before  # made of the same, it is the same


@pytest.mark.parametrize("name", ["run/predictions.json", "run/nbest_predictions.json"])
@pytest.mark.parametrize("is_run", [True, False])
def test_what_it_reads_is_never_replaced(
    is_run: bool, name: str, run: Run, squad_file: Path, tmp_path: Path
) -> None:
    directory = write_run(tmp_path / "run", PREDICTED)
    for output in (tmp_path / name, squad_file):
        before = output.read_bytes()
        source = directory if is_run else tmp_path / name
        code, _, err = run(source, "--overwrite", output=output)
        assert code == 2
        assert err == f"error: {output}: is what the report is made of; pass another --output\n"
        assert output.read_bytes() == before


def no_gold(tmp_path: Path) -> Path:
    qas = [{"id": "0-0", "question": "언제?", "answers": []}]
    data = {"data": [{"paragraphs": [{"context": "1921년", "qas": qas}]}]}
    return write_texts(tmp_path / "no_gold.json", data)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("absent", None, "absent: no such run or file"),
        ("empty.json", {}, "empty.json: holds no predictions"),
        ("nbest_predictions.json", {}, "nbest_predictions.json: holds no predictions"),
        ("nbest_predictions.json", {"0-0": ["text"]}, "'0-0': answer 1 is not a text with start"),
        ("torn.json", '{"0-0": "\\ud83d"}', "torn.json: '0-0' holds half a surrogate pair"),
        (
            "nbest_predictions.json",
            {"0-0": [{"text": "1", "start": -1, "end": 4, "score": 1, "probability": 1}]},
            "'0-0': answer 1 is not a text with start, end",
        ),
        ("other.json", {"x-1": "1921년"}, "has no prediction for any of the 12 questions"),
        ("rows.json", [1], "entry 0 is the number 1, not an object"),
    ],
)
def test_files_that_are_no_predictions(
    name: str, content: Any, expected: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif content is not None:
        write_texts(path, content)
    code, out, err = run(path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert expected in err
    assert not (tmp_path / "report.html").exists()


def test_other_mistakes_are_a_line(run: Run, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "p.json", PREDICTED.texts)
    (tmp_path / "folder").mkdir()
    for arguments, data, expected in (
        ([tmp_path / "folder"], None, "folder: holds no nbest_predictions.json; pass a directory"),
        ([texts] * 3, None, "pass one run or file, or two to compare, not 3"),
        ([texts], no_gold(tmp_path), "no_gold.json: no question has an answer"),
        ([texts], tmp_path / "absent.json", "absent.json: no such file"),
        ([texts, "--metric", "korquad"], None, "invalid choice: 'korquad'"),
    ):
        code, _, err = run(*arguments, **({"data": data} if data else {}))
        assert (code, err.count("\n")) == (2, 1), err
        assert expected in err


def test_two_files_without_a_common_question(run: Run, tmp_path: Path) -> None:
    """Under a score that leaves out what has no prediction."""
    ids = list(PREDICTED.texts)
    files = [
        write_texts(tmp_path / f"{ids.index(i)}.json", {i: PREDICTED.texts[i]}) for i in ids[:2]
    ]
    code, _, err = run(*files, "--metric", "klue-mrc")
    assert code == 2
    assert err.endswith(f"error: {files[0]} and {files[1]}: have no question in common\n")


@pytest.mark.parametrize(
    ("output", "expected"),
    [("folder", "is a directory; pass --output"), ("absent/a.html", "absent: no such directory")],
)
def test_places_that_cannot_be_written(
    output: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    arguments = ["p.json", "--data", "d.json", "--output", str(tmp_path / output)]
    assert qa.cli.report.main(arguments) == 2
    assert expected in capsys.readouterr().err
