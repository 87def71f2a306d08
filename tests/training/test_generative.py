"""`train.py --reader generative`: a whole run, killed and resumed, and what it leaves."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from support.files import as_flags, read_curves, read_json, write_squad
from support.indexes import fill
from support.runs import ROOT, Launcher, as_rank, die_at_step, free_port

import train
from qa import Reader
from qa.cli.evaluate import main as evaluate
from qa.cli.predict import main as predict
from qa.cli.run_differences import differences
from qa.engine.errors import UserError
from qa.models.part_files import DECODER_FILE
from qa.open_domain.reader import OpenReader
from qa.retrieval.passage import Hit

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("one_thread")]
CONTEXT = "강나루는 1921년에 푸른골에서 태어난 화가이다."
QUESTION = "강나루가 태어난 해는?"


@pytest.fixture(scope="module")
def flags(encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """6 steps of 3 micro-batches with dropout; an evaluation, and 3 steps later another one."""
    values = {
        "reader": "generative",
        "decoder-layers": 1,
        "span-loss-weight": 0.5,
        "model": encoder_dir,
        "train-data": write_squad(tmp_path_factory.mktemp("data") / "squad.json"),
        "holdout": 0.33,
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "max-answer-length": 4,
        "per-device-train-batch-size": 2,
        "gradient-accumulation-steps": 3,
        "max-steps": 6,
        "num-train-epochs": 99,
        "learning-rate": 0.003,
        "logging-steps": 2,
        "eval-steps": 3,
        "save-steps": 2,
        "precision": "fp32",
        "device": "cpu",
    }
    return as_flags(values)


@pytest.fixture(scope="module")
def whole(launcher: Launcher, flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of an uninterrupted run; not to be changed."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    run = launcher.run([*flags, "--output-dir", str(directory)])
    assert run.code == 0, run.stderr
    assert "outside the context" in run.stdout
    return directory


def test_killed_and_resumed_run_equals_the_whole_one(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "killed"
    killed = launcher.run([*flags, "--output-dir", str(directory)], die_at_step(5))
    assert killed.code == -signal.SIGKILL
    resumed = launcher.run(["--resume", "--output-dir", str(directory)])
    assert resumed.code == 0, resumed.stderr
    assert "step-00000004" in resumed.stdout
    assert list(differences(directory, whole)) == []
    (directory / "best" / DECODER_FILE).write_bytes(b"another")
    assert list(differences(directory, whole)) == [f"the content of best/{DECODER_FILE}"]


def test_two_processes_train_as_one(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """Without dropout, of which each process draws its own; 4 micro-batches a step."""
    common = [*flags, "--hidden-dropout", "0", "--attention-dropout", "0", "--max-steps", "3"]
    one, two = ([*common, "--output-dir", str(tmp_path / name)] for name in ("one", "two"))
    port = free_port()
    two += ["--gradient-accumulation-steps", "2"]
    runs = [launcher.start(two, as_rank(rank, 2, port)) for rank in range(2)]
    runs.append(launcher.start([*one, "--gradient-accumulation-steps", "4"]))
    assert [run.wait() for run in runs] == [0, 0, 0], [run.stderr for run in runs]
    found, expected = (
        read_json(tmp_path / name / "metrics.json")["best"] for name in ("two", "one")
    )
    assert found == {name: pytest.approx(value, abs=1e-4) for name, value in expected.items()}


def test_its_best_model_answers_and_is_scored(
    whole: Path, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the same figures as in training; every answer is a piece of its context."""
    best = str(whole / "best")
    reader = Reader.from_pretrained(best, device="cpu", precision="fp32")
    answers = reader.answer(question=QUESTION, context=CONTEXT, top_k=9)
    assert all(CONTEXT[answer.start : answer.end] == answer.text != "" for answer in answers)
    assert predict([best, "--context", CONTEXT, "--question", QUESTION]) == 0
    assert capsys.readouterr().out.startswith(f"{answers[0].text}\t")
    data = flags[flags.index("--train-data") + 1]
    arguments = [best, "--data", data, "--holdout", "0.33", "--precision", "fp32"]
    arguments += ["--output-dir", str(tmp_path / "scores")]
    assert evaluate(arguments) == 0
    assert "outside the context" in capsys.readouterr().out
    metrics, trained = (
        read_json(tmp_path / "scores/metrics.json"),
        read_json(whole / "metrics.json"),
    )
    assert metrics["korquad1"]["f1"] == pytest.approx(trained["best"]["korquad1_f1"])
    assert metrics["eval_loss"] == pytest.approx(trained["best"]["eval_loss"], rel=1e-4)
    assert metrics["outside_context"] == trained["best"]["outside_context"]
    points = dict(read_curves(whole)["eval/outside_context"])
    assert points[int(trained["best"]["step"])] == pytest.approx(metrics["outside_context"])


def test_free_answers_say_if_they_are_not_in_the_context(whole: Path) -> None:
    settings = {"device": "cpu", "precision": "fp32", "decoding": "free"}
    reader = Reader.from_pretrained(whole / "best", **settings)  # type: ignore[arg-type]
    answers = reader.answer(question=QUESTION, context=CONTEXT, top_k=9)
    assert len(answers) > 1  # the pieces of the context stand beside it
    for answer in answers:
        if answer.start < 0:
            assert answer.text not in CONTEXT
        else:
            assert CONTEXT[answer.start : answer.end] == answer.text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--reader generative --r-drop 1", "r_drop: of --reader span only"),
        ("--reader generative --cuda-graphs auto", "cuda_graphs: of --reader span only"),
        ("--reader generative --sharding fsdp", "sharding: of --reader span only"),
        ("--decoding free", "decoding: of --reader generative only"),
        ("--span-loss-weight 1", "span_loss_weight: of --reader generative only"),
        ("--reader writer", "reader must be one of span, generative"),
    ],
)
def test_what_does_not_apply_is_refused(
    arguments: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(arguments.split()) == 2
    assert line in capsys.readouterr().err


def test_its_decoder_tells_it_without_settings_too(whole: Path, tmp_path: Path) -> None:
    """A span reader would answer from a head that nobody trained."""
    best = shutil.copytree(whole / "best", tmp_path / "best")
    reader = Reader.from_pretrained(best, device="cpu", precision="fp32")
    (best / "reader.json").unlink()
    cut: dict[str, Any] = {"max_seq_length": 32, "window_overlap": 6, "max_question_length": 16}
    again = Reader.from_pretrained(best, "cpu", "fp32", max_answer_length=4, **cut)
    found, expected = (
        [a.text for a in r.answer(question=QUESTION, context=CONTEXT, top_k=3)]
        for r in (again, reader)
    )
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("", "is a generative reader, whose span head is not trained"),
        ("--reader generative --decoder-layers 3", "its decoder has 1 layers, not 3"),
    ],
)
def test_its_decoder_is_not_lost_in_silence(
    arguments: str, line: str, whole: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither for a span reader of the same directory, nor for a deeper one."""
    data = flags[flags.index("--train-data") + 1]
    given = ["--model", str(whole / "best"), "--train-data", data, "--holdout", "0.33"]
    assert train.main([*given, *arguments.split()]) == 2
    assert line in capsys.readouterr().err


def test_a_collection_needs_answers_with_a_place(whole: Path) -> None:
    settings = {"device": "cpu", "precision": "fp32", "decoding": "free"}
    reader = Reader.from_pretrained(whole / "best", **settings)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="decoding constrained"):
        OpenReader(reader, SearchNothing())


def test_nor_is_a_collection_evaluated_without(
    whole: Path, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be fitted holds for no other answers, and nothing is written."""
    fill(tmp_path / "i")
    data = flags[flags.index("--train-data") + 1]
    output = tmp_path / "scores"
    given = [str(whole / "best"), "--data", data, "--index", str(tmp_path / "i")]
    given += ["--decoding", "free", "--output-dir", str(output), "--device", "cpu"]
    assert evaluate(given) == 2
    assert "decoding constrained" in capsys.readouterr().err
    assert not output.exists()


class SearchNothing:
    """A collection in which nothing is found."""

    def search(self, question: str, k: int) -> list[Hit]:
        return []


def test_a_span_reader_knows_no_decoding() -> None:
    golden = ROOT / "tests/outputs/golden/answerable/run/best"
    with pytest.raises(ValueError, match="no generative reader"):
        Reader.from_pretrained(golden, device="cpu", decoding="free")


def test_a_generative_reader_is_not_exported(
    whole: Path, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from qa.cli.export import main as export

    data = flags[flags.index("--train-data") + 1]
    assert export([str(whole / "best"), "--output", str(tmp_path / "onnx"), "--data", data]) == 2
    assert "generative" in capsys.readouterr().err
