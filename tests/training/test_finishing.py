"""Every run can be finished, and a reader can be had from every checkpoint."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.files import as_flags, read_json, write_squad
from support.runs import Launcher, Run

from qa import Reader
from qa.__main__ import main
from qa.engine.checkpoint import list_checkpoints, load_checkpoint
from qa.engine.json_files import write_json
from qa.models.part_files import HEADS

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("one_thread")]

ALL = ("predictions.json", "nbest_predictions.json", "null_odds.json", "metrics.json", "best")


@pytest.fixture(scope="module")
def flags(encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """8 steps; an evaluation after 3 and 6 and at the end, a checkpoint after each."""
    values = {
        "model": encoder_dir,
        "train-data": write_squad(tmp_path_factory.mktemp("data") / "squad.json"),
        "holdout": 0.33,
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "per-device-train-batch-size": 4,
        "max-steps": 8,
        "learning-rate": 0.003,
        "eval-steps": 3,
        "save-steps": 1,
        "save-total-limit": "none",
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
    return directory


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A copy of that directory."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def stopped_after(step: int, launcher: Launcher, flags: list[str], directory: Path) -> Path:
    """The directory of a run that SIGTERM stopped after a step."""
    prelude = f"""
import os, signal
from qa.training.session import Session
record = Session.record
def record_with_signal(session, out):
    if out.global_step == {step}:
        os.kill(os.getpid(), signal.SIGTERM)
    record(session, out)
Session.record = record_with_signal
"""
    run = launcher.run([*flags, "--output-dir", str(directory)], prelude)
    assert run.code == 128 + signal.SIGTERM, run.stderr
    return directory


STOPPED_AT_8 = """
import os, shutil, signal
from pathlib import Path
from qa.training.session import Session
record = Session.record
def record_with_signal(session, out):
    if out.global_step == 8:
        os.kill(os.getpid(), signal.SIGTERM)
        (session.directory / "best" / "model.safetensors").write_bytes(b"of another course")
    record(session, out)
Session.record = record_with_signal
"""


def resume(launcher: Launcher, directory: Path, *extra: str) -> Run:
    """Resume until the end, which must be a good one."""
    run = launcher.run(["--resume", "--output-dir", str(directory), *extra])
    assert (run.code, run.error_lines) == (0, []), run.stderr
    return run


def steps(directory: Path) -> list[int]:
    """The steps that were evaluated."""
    return [record["step"] for record in read_json(directory / "metrics.json")["history"]]


# Resuming a run that has nothing left to train


@pytest.mark.parametrize("length", [2, 1])
def test_a_run_that_is_cut_short_before_its_first_evaluation_is_scored(
    length: int, launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    """At the checkpoint, and behind it."""
    directory = stopped_after(2, launcher, flags, tmp_path / "run")
    settings = read_json(directory / "config.json")
    run = resume(launcher, directory, "--max-steps", str(length))
    assert "the run has made 2 steps: nothing is left to train" in run.stdout
    assert steps(directory) == [2]
    assert all((directory / name).exists() for name in ALL)
    weights = load_checkpoint(list_checkpoints(directory / "checkpoints")[-1])["run"]["model"]
    best = load_file(directory / "best" / "model.safetensors")
    assert all(torch.equal(weights[f"model.{name}"], value) for name, value in best.items())
    # What was done is what config.json told before, and the run can be gone on with as planned.
    assert read_json(directory / "config.json") == settings
    resume(launcher, directory, "--max-steps", str(length))
    assert steps(directory) == [2]  # not once more
    resume(launcher, directory)
    assert steps(directory) == [2, 3, 6, 8]


def test_a_last_step_that_was_not_scored_is(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    directory = stopped_after(4, launcher, flags, tmp_path / "run")
    resume(launcher, directory, "--max-steps", "4")
    assert steps(directory) == [3, 4]


def test_finishing_a_finished_run_changes_nothing(copied: Path, launcher: Launcher) -> None:
    before = {name: (copied / name).read_bytes() for name in (*ALL[:-1], "config.json")}
    run = resume(launcher, copied, "--max-steps", "5")
    assert "8 steps: nothing is left to train" in run.stdout
    assert "?step/s" not in run.stderr  # no bar for nothing
    assert {name: (copied / name).read_bytes() for name in before} == before


# best/ that was lost


@pytest.mark.parametrize("lost", ["best", "predictions.json"])
def test_a_lost_best_is_made_again_from_its_checkpoint(
    lost: str, copied: Path, whole: Path, launcher: Launcher
) -> None:
    target = copied / lost
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    run = resume(launcher, copied)
    assert f"{copied}/best: is lost; making it again from" in run.stdout
    for name in ("predictions.json", "nbest_predictions.json", "null_odds.json", "metrics.json"):
        assert (copied / name).read_bytes() == (whole / name).read_bytes(), name
    for path in (whole / "best").iterdir():
        expected = path.read_bytes()
        if path.name == "README.md":  # the model is named after its directory
            expected = expected.replace(b"whole", b"run")
        assert (copied / "best" / path.name).read_bytes() == expected, path.name


def test_training_goes_on_after_that_as_if_nothing_had_happened(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    directory = stopped_after(5, launcher, flags, tmp_path / "run")
    shutil.rmtree(directory / "best")
    resume(launcher, directory)
    states = [load_checkpoint(run / "checkpoints" / "step-00000008") for run in (directory, whole)]
    for name, value in states[0]["run"]["model"].items():
        assert torch.equal(value, states[1]["run"]["model"][name]), name
    assert read_json(directory / "metrics.json") == read_json(whole / "metrics.json")


def test_a_best_that_cannot_be_made_again_is_one_line(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    directory = stopped_after(5, launcher, flags, tmp_path / "run")
    shutil.rmtree(directory / "best")
    shutil.rmtree(directory / "checkpoints" / "step-00000003")  # the only one that was scored
    run = launcher.run(["--resume", "--output-dir", str(directory)])
    assert run.code == 2
    assert run.error_lines == [
        f"error: {directory}/best: is missing, though step 3 was the best, and cannot be made again"
        " without a whole checkpoint of that step (nor of a sharded model); put it back, or start"
        " again with --overwrite"
    ]


def test_a_best_that_was_not_the_best_after_all_is_made_again(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    """A kill came behind an evaluation that does not follow again, since --eval-steps changed."""
    directory = stopped_after(5, launcher, flags, tmp_path / "run")
    metrics = read_json(directory / "metrics.json")
    assert metrics["best"]["step"] == 3
    write_json(directory / "metrics.json", {**metrics, "best": {**metrics["best"], "step": 6}})
    for file in (directory / "best" / "model.safetensors", directory / "predictions.json"):
        file.write_bytes(b"of step 6")
    run = resume(launcher, directory, "--eval-steps", "8", "--learning-rate", "0.003")
    assert f"{directory}/best: is not of step 3; making it again from" in run.stdout
    assert_best_is_that_of_the_history(directory)


def test_a_signal_while_best_is_made_again_does_not_make_it_the_best(
    copied: Path, launcher: Launcher
) -> None:
    """The run goes back from step 8, and is stopped before best/ is that of step 3."""
    chosen = copied / "checkpoints" / "step-00000004"
    prelude = """
import os, signal
from qa.training.validation import Validation
answer = Validation._answer
def answer_with_signal(validation, files):
    os.kill(os.getpid(), signal.SIGTERM)
    return answer(validation, files)
Validation._answer = answer_with_signal
"""
    flags = ["--resume", str(chosen), "--max-steps", "5"]
    assert launcher.run(flags, prelude).code == 128 + signal.SIGTERM
    resume(launcher, copied, "--max-steps", "5")
    assert_best_is_that_of_the_history(copied)


def assert_best_is_that_of_the_history(directory: Path) -> None:
    """Its weights are those of the checkpoint of the best step, and no earlier evaluation's."""
    step = read_json(directory / "metrics.json")["best"]["step"]
    path = directory / "checkpoints" / f"step-{step:08d}"
    weights = load_checkpoint(path)["run"]["model"]
    best = load_file(directory / "best" / "model.safetensors")
    assert all(torch.equal(weights[f"model.{name}"], value) for name, value in best.items())
    read_json(directory / "predictions.json")


def test_an_evaluation_that_is_owed_needs_no_curves(
    launcher: Launcher, flags: list[str], whole: Path, tmp_path: Path
) -> None:
    """checkpoints/ is all that --resume needs."""
    directory = stopped_after(3, launcher, flags, tmp_path / "run")
    shutil.rmtree(directory / "tensorboard")
    resume(launcher, directory)
    assert read_json(directory / "metrics.json") == read_json(whole / "metrics.json")


# A chosen checkpoint


def test_resuming_from_a_chosen_checkpoint_gives_the_same_run(
    copied: Path, whole: Path, launcher: Launcher
) -> None:
    chosen = copied / "checkpoints" / "step-00000004"
    run = launcher.run(["--resume", str(chosen)])
    assert (run.code, run.error_lines) == (0, []), run.stderr
    assert f"resuming from {chosen}" in run.stdout
    assert read_json(copied / "metrics.json") == read_json(whole / "metrics.json")
    for name in ("model.safetensors", *HEADS.values(), "reader.json"):
        assert (copied / "best" / name).read_bytes() == (whole / "best" / name).read_bytes()


def test_going_back_is_for_good(copied: Path, whole: Path, launcher: Launcher) -> None:
    """A kill before the next save does not lead back, and best/ is that of the history."""
    chosen = copied / "checkpoints" / "step-00000004"
    prelude = """
import os, signal
from qa.training.session import Session
Session.record = lambda session, out: os.kill(os.getpid(), signal.SIGKILL)
"""
    assert launcher.run(["--resume", str(chosen)], prelude).code == -signal.SIGKILL
    assert list_checkpoints(copied / "checkpoints")[-1] == chosen
    assert read_json(copied / "metrics.json")["best"]["step"] == 3
    weights = load_checkpoint(copied / "checkpoints" / "step-00000003")["run"]["model"]
    best = load_file(copied / "best" / "model.safetensors")
    assert all(torch.equal(weights[f"model.{name}"], value) for name, value in best.items())
    resume(launcher, copied)
    assert read_json(copied / "metrics.json") == read_json(whole / "metrics.json")
    best = load_file(copied / "best" / "model.safetensors")
    expected = load_file(whole / "best" / "model.safetensors")
    assert all(torch.equal(expected[name], value) for name, value in best.items())


def test_a_finished_run_without_held_out_data_owes_nothing(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    index = flags.index("--holdout")
    own = [*flags[:index], *flags[index + 2 :], "--output-dir", str(tmp_path / "run")]
    assert launcher.run(own).code == 0
    path = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    before = (path / "state.pt").stat().st_mtime_ns
    best = tmp_path / "run" / "best"
    for name in ("README.md", "reader.json"):  # what a person wrote, and what was fitted
        text = (best / name).read_text(encoding="utf-8")
        (best / name).write_text(text + "\n", encoding="utf-8")
    kept = {file.name: file.read_bytes() for file in best.iterdir()}
    resume(launcher, tmp_path / "run")
    assert (path / "state.pt").stat().st_mtime_ns == before  # nothing was evaluated or saved
    assert not load_checkpoint(path)["pending_evaluation"]
    assert {file.name: file.read_bytes() for file in best.iterdir()} == kept
    assert launcher.run(["--resume", str(path)]).code == 0  # the last one, by its name
    assert {file.name: file.read_bytes() for file in best.iterdir()} == kept
    shutil.rmtree(best)
    resume(launcher, tmp_path / "run")
    assert (best / "model.safetensors").read_bytes() == kept["model.safetensors"]
    resume(launcher, tmp_path / "run", "--max-steps", "9")  # then it is another model
    assert (best / "model.safetensors").read_bytes() != kept["model.safetensors"]


def test_another_course_to_the_same_step_is_another_model(
    launcher: Launcher, flags: list[str], tmp_path: Path
) -> None:
    """Without held-out data: of a run that went back before its schedule was bent."""
    index = flags.index("--holdout")
    output = ["--output-dir", str(tmp_path / "run")]
    own = [*flags[:index], *flags[index + 2 :], *output]
    assert launcher.run([*own, "--max-steps", "4"]).code == 0
    resume(launcher, tmp_path / "run", "--max-steps", "8")
    first = (tmp_path / "run" / "best" / "model.safetensors").read_bytes()
    chosen = str(tmp_path / "run" / "checkpoints" / "step-00000002")
    assert launcher.run(["--resume", chosen, "--max-steps", "8"]).code == 0
    last = (tmp_path / "run" / "best" / "model.safetensors").read_bytes()
    assert last != first
    # Stopped behind the last step, before best/ is written: then it is written at the resume.
    assert launcher.run(["--resume", chosen, "--max-steps", "8"], STOPPED_AT_8).code == 143
    resume(launcher, tmp_path / "run")
    assert (tmp_path / "run" / "best" / "model.safetensors").read_bytes() == last


@pytest.mark.parametrize("kind", ["absent", "elsewhere", "other run", "directory"])
def test_a_checkpoint_that_cannot_be_chosen_is_one_line(
    kind: str, whole: Path, tmp_path: Path, launcher: Launcher
) -> None:
    paths = {
        "absent": whole / "checkpoints" / "step-00000099",
        "elsewhere": tmp_path,
        "other run": whole / "checkpoints" / "step-00000004",
        "directory": whole,
    }
    flags = ["--output-dir", str(tmp_path)] if kind == "other run" else []
    run = launcher.run(["--resume", str(paths[kind]), *flags])
    assert run.code == 2
    assert len(run.error_lines) == 1
    assert "checkpoint" in run.error_lines[0]
    assert str(paths[kind]) in run.error_lines[0]


# A reader from any checkpoint


@pytest.mark.parametrize("has_best", [True, False])
def test_every_checkpoint_gives_a_reader(
    has_best: bool, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = Reader.from_pretrained(copied / "best", device="cpu")
    fitted = {**read_json(copied / "best" / "reader.json"), "temperature": 0.5}
    write_json(copied / "best" / "reader.json", fitted)  # which is that of its weights
    if not has_best:
        shutil.rmtree(copied / "best")
    question, context = "강나루가 태어난 해는?", "강나루는 1921년 푸른골에서 난 화가이다."
    for path in list_checkpoints(copied / "checkpoints"):
        output = tmp_path / f"reader-{path.name}"
        assert main(["extract", str(path), "--output-dir", str(output)]) == 0
        assert f"output: {output}" in capsys.readouterr().out
        reader = Reader.from_pretrained(output, device="cpu")
        weights = load_checkpoint(path)["run"]["model"]
        assert reader.model.state_dict().keys() == weights.keys()
        assert all(torch.equal(v, weights[n]) for n, v in reader.model.state_dict().items())
        assert reader.windows == best.windows
        assert reader.answerer.options == best.answerer.options
        assert reader.answer(question=question, context=context)


def test_the_best_checkpoint_gives_best(copied: Path, tmp_path: Path) -> None:
    step = read_json(copied / "metrics.json")["best"]["step"]
    path = copied / "checkpoints" / f"step-{step:08d}"
    assert main(["extract", str(path), "--output-dir", str(tmp_path / "reader")]) == 0
    for file in (copied / "best").iterdir():
        if file.name == "README.md":  # tells of the whole run
            continue
        assert (tmp_path / "reader" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("kind", ["no checkpoint", "exists", "damaged"])
def test_what_gives_no_reader_is_one_line(
    kind: str, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = copied / "checkpoints" / "step-00000003", tmp_path / "reader"
    if kind == "no checkpoint":
        path = copied / "best"
    elif kind == "exists":
        output.mkdir()
    else:
        (path / "state.pt").write_bytes(b"nonsense")
    assert main(["extract", str(path), "--output-dir", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(output if kind == "exists" else path) in error
    assert kind == "exists" or not output.exists()
