"""`qa export` from a reader to answers from onnxruntime, and when nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.articles import article_examples

from qa.answering.reader import Reader
from qa.cli.evaluate import main as evaluate
from qa.cli.export import main
from qa.cli.predict import main as predict
from qa.data.formats import read_examples
from qa.engine.errors import Notice, UserError
from qa.export import search
from qa.export.directory import export_reader
from qa.export.onnx_file import PACKAGES
from qa.models.span_reader import SpanReader
from qa.outputs.partial_lines import PartialLines

for package in PACKAGES:
    pytest.importorskip(package, reason="needs qa[export]")
pytestmark = pytest.mark.usefixtures("one_thread")

Form = Callable[[Path, Path], None]


@pytest.fixture(scope="module")
def best(encoder_dir: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved reader with both heads of its own; untrained, but sure of what it answers."""
    directory = tmp_path_factory.mktemp("best")
    torch.manual_seed(2)
    model = SpanReader.from_pretrained(str(encoder_dir), boundaries=True, pair_width=5)
    assert model.pair_head is not None
    torch.nn.init.normal_(model.pair_head.last.weight, std=0.5)
    torch.nn.init.normal_(model.model.qa_outputs.weight, std=1.0)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    settings = {"max_seq_length": 48, "window_overlap": 8, "max_question_length": 16}
    (directory / "reader.json").write_text(json.dumps(settings))
    return directory


@pytest.fixture(scope="module")
def reader(best: Path) -> Reader:
    return Reader.from_pretrained(best, "cpu", "fp32")


@pytest.fixture(scope="module")
def data(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions of which the reader answers every other one right, since the gold is its answer."""
    lines = []
    for number, example in enumerate(article_examples()):
        found = reader.answer(question=example.question, context=example.context, top_k=2)
        gold = found[number % 2]
        line = {
            "id": example.id,
            "question": example.question,
            "context": example.context,
            "answers": {"text": [gold.text], "answer_start": [gold.start]},
        }
        lines.append(json.dumps(line, ensure_ascii=False))
    path = tmp_path_factory.mktemp("data") / "held-out.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def exported(best: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("exported") / "reader.onnx"
    assert main([str(best), "--output", str(output), "--data", str(data)]) == 0
    return output


def test_the_export_answers_as_the_reader(
    reader: Reader, exported: Path, data: Path, tmp_path: Path
) -> None:
    assert {file.name for file in exported.iterdir()} >= {"model.onnx", "reader.json"}
    other = Reader.from_pretrained(exported)
    assert other.windows == reader.windows
    assert other.answerer.options == reader.answerer.options
    pairs = [(example.question, example.context) for example in article_examples()]
    pairs.append((pairs[0][0], " ".join(context for _, context in pairs)))  # several windows
    for mine, theirs in zip(
        other.answer_many(pairs, top_k=3), reader.answer_many(pairs, top_k=3), strict=True
    ):
        assert [(a.text, a.start) for a in mine] == [(a.text, a.start) for a in theirs]
        assert [a.score for a in mine] == pytest.approx([a.score for a in theirs], abs=1e-4)
    report = json.loads((exported / "export.json").read_text())
    assert (report["form"], report["questions"]) == ("fp32", 12)
    assert [row["form"] for row in report["forms"]] == ["torch", "fp32"]
    # The row of the export is what `qa evaluate` finds.
    scores = tmp_path / "scores"
    assert evaluate([str(exported), "--data", str(data), "--output-dir", str(scores)]) == 0
    found = json.loads((scores / "metrics.json").read_text())["korquad1"]
    assert found["exact_match"] == pytest.approx(report["forms"][1]["exact_match"])
    assert found["f1"] == pytest.approx(report["forms"][1]["f1"])
    assert 0 < found["exact_match"] < 100


def test_an_export_answers_into_a_file_that_another_export_does_not_go_on_with(
    exported: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(lines: PartialLines) -> None:
        raise UserError("stopped before the end")

    output = tmp_path / "answers.jsonl"
    arguments = ["--data", str(data), "--output", str(output)]
    with monkeypatch.context() as patched:
        patched.setattr(PartialLines, "finish", stop)
        assert predict([str(exported), *arguments]) == 2
    other = Path(shutil.copytree(exported, tmp_path / "other"))
    import onnx

    model = onnx.load(other / "model.onnx")
    model.doc_string = "another"
    onnx.save(model, other / "model.onnx")
    capsys.readouterr()
    assert predict([str(other), *arguments, "--resume"]) == 2
    assert "another model" in capsys.readouterr().err
    assert predict([str(exported), *arguments, "--resume"]) == 0
    assert len(output.read_text(encoding="utf-8").splitlines()) == 12


def test_what_an_export_cannot_do_is_said(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="runs on the CPU"):
        Reader.from_pretrained(exported, device="cuda")
    with pytest.raises(UserError, match="runs on the CPU"):
        Reader.from_pretrained(exported, precision="bf16")
    with pytest.raises(UserError, match="cannot be trained or saved"):
        Reader.from_pretrained(exported).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="positions"):
        Reader.from_pretrained(exported, max_seq_length=4000)
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    (copy / "model.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"model\.onnx: cannot be loaded as an export"):
        Reader.from_pretrained(copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(UserError, match=r"model\.onnx: is missing"):
        Reader.from_pretrained(copy)


def test_an_export_that_answers_otherwise_is_not_written(
    best: Path,
    data: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Here the exporter writes another model: the gate, not a check of the graph, finds out."""
    flipped, output = tmp_path / "flipped", tmp_path / "out.onnx"
    model = SpanReader.from_pretrained(str(best))
    with torch.no_grad():
        model.model.qa_outputs.weight.neg_()
    shutil.copytree(best, flipped)
    model.save_pretrained(flipped)
    monkeypatch.setattr(
        search, "write_onnx", lambda model, file, types: shutil.copy(exported / "model.onnx", file)
    )
    arguments = [str(flipped), "--output", str(output), "--data", str(data)]
    assert main(arguments) == 1
    assert "nothing is written" in capsys.readouterr().err
    assert not output.exists()
    shutil.copytree(exported, output)
    before = (output / "export.json").read_text()
    assert main([*arguments, "--overwrite"]) == 1
    assert (output / "export.json").read_text() == before
    assert {path.name for path in tmp_path.iterdir()} == {"flipped", "out.onnx"}


def wrong(source: Path, target: Path) -> None:
    """A form whose start and end heads are swapped."""
    import onnx

    model = onnx.load(source)
    first, second, *_ = model.graph.output
    names = {first.name: second.name, second.name: first.name}
    for node in model.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    onnx.save(model, target)


def right(source: Path, target: Path) -> None:
    """A form that is the source itself."""
    shutil.copy(source, target)


@pytest.mark.parametrize(
    ("forms", "written", "tried"),
    [
        ({"a": right, "b": wrong}, "a", ["torch", "fp32", "a"]),
        ({"a": wrong, "b": right, "c": right}, "b", ["torch", "fp32", "a", "b"]),
        ({"a": wrong}, "fp32", ["torch", "fp32", "a"]),
    ],
)
def test_the_first_smaller_form_that_keeps_the_exact_match_is_written(
    forms: dict[str, Form],
    written: str,
    tried: list[str],
    reader: Reader,
    data: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        search, "write_onnx", lambda model, file, types: shutil.copy(exported / "model.onnx", file)
    )
    monkeypatch.setattr(search, "SMALLER_FORMS", forms)
    examples = read_examples(str(data), split="validation")
    rows: list[str] = []
    with pytest.warns(Notice) as notices:
        form = export_reader(
            reader, tmp_path / "x", examples, smaller=True, report=lambda row: rows.append(row.form)
        )
    assert (form, rows) == (written, tried)
    texts = [str(each.message) for each in notices]
    assert any("one alone is 8.3 points" in text for text in texts)
    assert any("no smaller form keeps" in text for text in texts) is (written == "fp32")
    assert [file.name for file in (tmp_path / "x").glob("*.onnx")] == ["model.onnx"]
    other = Reader.from_pretrained(tmp_path / "x")
    assert [a[0].text for a in other.iterate_answers(examples)] == [
        a[0].text for a in reader.iterate_answers(examples)
    ]
