"""`train.py --reader generative` on answers that stand nowhere in their context."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.files import read_json

import train
from qa.cli.evaluate import main as evaluate
from qa.cli.score import main as score
from qa.config import config_from_flat
from qa.data.formats import read_examples
from qa.data.windows.cache import cached_windows
from qa.data.windows.options import WindowOptions
from qa.engine.errors import Notice
from qa.training.load import read_data
from qa.training.text_answers import with_text_targets

pytestmark = pytest.mark.usefixtures("one_thread")
LONG = "강나루는 1921년에 태어난 화가이다. " * 8


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every answer is a word that no context has; one context has several windows."""
    rows = [
        {
            "id": f"q{number}",
            "title": f"{number}",
            "question": "강나루가 태어난 해는?",
            "context": LONG if number == 1 else f"강나루는 {1900 + number}년에 태어난 화가이다.",
            "answer": "바다" if number == 7 else "푸른골",
        }
        for number in range(8)
    ]
    path = tmp_path / "written.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def flags(data: Path, encoder_dir: Path, output: Path) -> list[str]:
    line = f"--model {encoder_dir} --train-data {data} --holdout 0.25 --max-seq-length 48"
    line += " --window-overlap 8 --max-question-length 16 --precision fp32"
    line += " --per-device-train-batch-size 2 --max-steps 30 --num-train-epochs 99"
    line += " --learning-rate 0.01 --head-learning-rate 0.01 --device cpu --output-dir"
    return [*line.split(), str(output)]


def test_a_span_reader_leaves_out_what_only_scores_know(tmp_path: Path) -> None:
    """As MRQA has it where no answer was detected: a span head would learn to refuse it."""
    texts = "강나루는 1921년에 태어난 화가이다."
    rows: list[dict[str, Any]] = [
        {"id": "a", "answers": ["1921년"], "detected_answers": [spot(texts, "1921년")]},
        {"id": "b", "answers": ["푸른골"], "detected_answers": []},
        {"id": "c", "answers": [], "detected_answers": []},
    ]
    path = tmp_path / "mrqa.jsonl"
    lines = [{"question": "언제?", "context": texts, **row} for row in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    config = config_from_flat({"model": "m", "train_data": str(path)})
    with pytest.warns(Notice, match=r"1 questions have no answer with a place .*\(b\)"):
        training, _ = read_data(config)
    assert [example.id for example in training] == ["a", "c"]


def spot(context: str, text: str) -> dict[str, Any]:
    """A detected answer of MRQA, whose ends are inclusive."""
    start = context.index(text)
    return {"text": text, "char_spans": [[start, start + len(text) - 1]]}


def test_they_are_learned_written_and_scored(
    data: Path, encoder_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Constrained answers cannot be right then, free ones are, and lie outside of the context."""
    run = tmp_path / "run"
    given = ["--reader", "generative", "--decoding", "free"]
    assert train.main([*flags(data, encoder_dir, run), *given]) == 0
    printed = capsys.readouterr().out
    assert "training data: 5 answers that stand nowhere are taught by their text" in printed
    assert "training data: 1 answers have characters that the vocabulary does not know" in printed
    assert "training data: 1 questions are left out, whose answer stands nowhere" in printed
    metrics, history = (read_json(run / "metrics.json")[name] for name in ("best", "history"))
    assert metrics["korquad1_exact_match"] == metrics["outside_context"] == 100
    # Texts are learned by heart; had ends been the targets, it would have grown.
    assert history[-1]["eval_loss"] < 0.5
    assert set(read_json(run / "predictions.json").values()) == {"푸른골"}
    assert score([str(run / "predictions.json"), "--data", str(data), "--holdout", "0.25"]) == 0
    assert " 100.00" in capsys.readouterr().out
    again = [str(run / "best"), "--data", str(data), "--holdout", "0.25", "--precision", "fp32"]
    for decoding, exact_match in (("free", 100), ("constrained", 0)):
        directory = tmp_path / decoding
        assert evaluate([*again, "--decoding", decoding, "--output-dir", str(directory)]) == 0
        found = read_json(directory / "metrics.json")
        assert found["korquad1"]["exact_match"] == exact_match
        assert found["eval_loss"] == pytest.approx(metrics["eval_loss"], rel=1e-4)


def test_resuming_on_other_texts_is_refused(
    data: Path, encoder_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the windows are the same."""
    arguments = [*flags(data, encoder_dir, tmp_path / "run"), "--reader", "generative"]
    arguments += ["--max-steps", "2", "--save-steps", "1"]
    assert train.main(arguments) == 0
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    rows[2]["answer"] = "하늘"
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert train.main([*arguments, "--resume", "--max-steps", "4"]) == 2
    assert "training data" in capsys.readouterr().err


def test_a_span_reader_needs_places(
    data: Path, encoder_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(flags(data, encoder_dir, tmp_path / "run")) == 2
    assert "8 answers need an answer_start" in capsys.readouterr().err


def test_nothing_that_can_be_taught_is_an_error(
    data: Path, encoder_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every context has several windows; or every answer is too long."""
    given = [*flags(data, encoder_dir, tmp_path / "run"), "--reader", "generative"]
    rows = [json.loads(line) for line in data.read_text("utf-8").splitlines()]
    for context, answer in ((LONG, "푸른골"), ("", "푸른골 " * 40)):
        lines = [
            json.dumps({**row, "context": row["context"] + context, "answer": answer})
            for row in rows
            if row["id"] != "q1"
        ]
        data.write_text("\n".join(lines), encoding="utf-8")
        assert train.main(given) == 2
        assert "training data: nothing can be taught" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_span_head_learns_nothing_of_them(
    data: Path, encoder_dir: Path, tokenizer: Any, tmp_path: Path
) -> None:
    examples = read_examples(str(data), by_text=True)
    windows = cached_windows(examples, tokenizer, WindowOptions(48, 8, 16), tmp_path)
    lines: list[str] = []
    taught = with_text_targets(windows, examples, tokenizer, 9, lines.append)
    assert len(taught) == 7
    assert set(taught["example_index"][:].tolist()) == {0, 2, 3, 4, 5, 6, 7}
    for row in taught:
        assert bool(row["has_answer"])
        assert row["start_position"] == row["end_position"] == -100
        assert row["text_targets"].tolist()[-1] == -1
    assert len(lines) == 3
