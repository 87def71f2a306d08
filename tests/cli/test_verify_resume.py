"""`python -m qa verify-resume` on a tiny run, and what it calls a difference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.files import as_flags, write_squad
from support.runs import Launcher, forking

from qa.__main__ import main
from qa.cli.run_differences import differences
from qa.engine.checkpoint import STATE_FILE, SUMMARY_FILE, fingerprint, list_checkpoints

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def flags(encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    values = {
        "model": encoder_dir,
        "train-data": write_squad(tmp_path_factory.mktemp("data") / "squad.json"),
        "holdout": 0.33,
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "per-device-train-batch-size": 4,
        "max-steps": 6,
        "precision": "fp32",
        "device": "cpu",
    }
    return as_flags(values)


@pytest.fixture(scope="module")
def root(flags: list[str], launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a killed and an uninterrupted run lie that were the same; not to be changed."""
    root = tmp_path_factory.mktemp("verify") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qa.engine.program.subprocess", forking(launcher))
        assert main(["verify-resume", "--kills", "2", *flags, "--output-dir", str(root)]) == 0
    return root


def test_a_killed_and_resumed_run_is_the_same(root: Path) -> None:
    assert list(differences(root / "reference", root / "killed")) == []
    assert len(list_checkpoints(root / "killed" / "checkpoints")) == 6


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("a weight", "tensor step-00000006/run/model/"),
        ("a checkpoint", "checkpoints ["),
        ("a prediction", "the content of predictions.json"),
        ("a score", "the content of metrics.json"),
    ],
)
def test_a_difference_is_found(changed: str, expected: str, root: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(root / "killed", tmp_path / "other"))
    checkpoint = list_checkpoints(other / "checkpoints")[-1]
    if changed == "a weight":
        state = torch.load(checkpoint / STATE_FILE, weights_only=True)
        name = next(iter(state["run"]["model"]))
        value = state["run"]["model"][name].view(-1)
        value[0] = torch.nextafter(value[0], value[0] + 1)  # the smallest change there is
        torch.save(state, checkpoint / STATE_FILE)
        summary = json.loads((checkpoint / SUMMARY_FILE).read_text())
        summary["files"] = {STATE_FILE: fingerprint(checkpoint / STATE_FILE)}
        (checkpoint / SUMMARY_FILE).write_text(json.dumps(summary))
    elif changed == "a checkpoint":
        shutil.rmtree(checkpoint)
    else:
        file = other / {"a prediction": "predictions.json", "a score": "metrics.json"}[changed]
        file.write_text(file.read_text() + " ")
    assert next(differences(root / "reference", other)).startswith(expected)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (["--kills", "0"], "--kills must be at least 1"),
        (["--resume", "--output-dir", "x"], "have no meaning here"),
        (["--push-to-hub", "me/reader"], "--push-to-hub have no meaning here"),
        (["--learning-rate", "-1"], "learning_rate must be above 0"),
    ],
)
def test_wrong_flags_are_one_line(
    wrong: list[str], expected: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify-resume", *flags, *wrong]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
