"""`--sharding fsdp` in two gloo processes: the same training as one process, and exact resuming."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.runs import Launcher, as_rank, free_port

import train
from qa.engine.checkpoint import list_checkpoints, load_checkpoint
from qa.engine.run_differences import state_differences
from qa.models.part_files import BOUNDARY_FILE


def flags(squad_file: Path, encoder_dir: Path, dropout: str) -> list[str]:
    line = f"--model {encoder_dir} --train-data {squad_file} --holdout 0.33 --max-seq-length 60"
    line += " --window-overlap 10 --max-question-length 20 --num-train-epochs 2 --save-steps 2"
    line += " --learning-rate 1e-3 --logging-steps 1 --save-total-limit none --precision fp32"
    line += f" --per-device-train-batch-size 2 --hidden-dropout {dropout}"
    return [*line.split(), "--attention-dropout", dropout]


def train_sharded(launcher: Launcher, *arguments: str) -> None:
    port = free_port()
    ranks = [launcher.start(arguments, as_rank(rank, 2, port)) for rank in range(2)]
    assert [rank.wait() for rank in ranks] == [0, 0], [rank.stderr for rank in ranks]


def final_state(directory: Path) -> dict[str, Any]:
    return load_checkpoint(list_checkpoints(directory / "checkpoints")[-1])


@pytest.mark.e2e
@pytest.mark.parametrize(("batch_size", "accumulation"), [(2, 1), (3, 2)])
def test_two_sharded_processes_train_as_one(
    batch_size: int,
    accumulation: int,
    launcher: Launcher,
    squad_file: Path,
    encoder_dir: Path,
    tmp_path: Path,
) -> None:
    """With batches of 3 an epoch has 3 micro-batches: 2 for one process, 1 for the other."""
    common = flags(squad_file, encoder_dir, "0")
    common += ["--per-device-train-batch-size", str(batch_size), "--save-steps", "epoch"]
    two = ["--sharding", "fsdp", "--gradient-accumulation-steps", str(accumulation)]
    train_sharded(launcher, *common, *two, "--output-dir", str(tmp_path / "two"))
    one = [*common, "--gradient-accumulation-steps", str(2 * accumulation)]
    one += ["--output-dir", str(tmp_path / "one")]
    assert train.main(one) == 0
    states = [final_state(tmp_path / name)["run"]["model"] for name in ("one", "two")]
    assert (
        states[0].keys()
        == states[1].keys()
        > {
            "boundary_head.linear.weight",
            "pair_head.first.weight",
        }
    )
    # These add a constant to all logits or to all of a query's scores, which changes no softmax:
    # their gradient is rounding alone, which Adam blows up to whole updates.
    idle = ("qa_outputs.bias", "key.bias", "layer.1.output.LayerNorm.bias")
    for name, value in states[0].items():
        if not name.endswith(idle):
            torch.testing.assert_close(states[1][name], value, rtol=1e-5, atol=1e-6)
    heads = [load_file(tmp_path / name / "best" / BOUNDARY_FILE) for name in ("one", "two")]
    assert heads[0].keys() == heads[1].keys()
    for name, value in heads[0].items():  # each process holds a part, the file the whole
        torch.testing.assert_close(heads[1][name], value, rtol=1e-5, atol=1e-6)
    files = [(tmp_path / name / "predictions.json").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


@pytest.mark.e2e
def test_sharded_run_resumes_exactly(
    launcher: Launcher, squad_file: Path, encoder_dir: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    common = [*flags(squad_file, encoder_dir, "0.1"), "--sharding", "fsdp"]
    train_sharded(launcher, *common, "--output-dir", str(whole))
    shutil.copytree(whole, cut)
    shutil.rmtree(list_checkpoints(cut / "checkpoints")[-1])
    assert len(list_checkpoints(cut / "checkpoints")) == 1
    train_sharded(launcher, "--resume", "--output-dir", str(cut))
    states = final_state(whole)["run"], final_state(cut)["run"]
    assert list(state_differences(*states, where="run")) == []


def test_one_process_cannot_shard(
    squad_file: Path, encoder_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*flags(squad_file, encoder_dir, "0"), "--sharding", "fsdp"]
    assert train.main([*arguments, "--output-dir", str(tmp_path / "out")]) == 2
    assert "torchrun" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.e2e
def test_a_process_that_cannot_read_the_checkpoint_goes_on_from_no_other(
    launcher: Launcher, squad_file: Path, encoder_dir: Path, tmp_path: Path
) -> None:
    """With an older one it would train another model than the main process."""
    common = flags(squad_file, encoder_dir, "0")
    output = ["--output-dir", str(tmp_path / "run")]
    assert train.main([*common, "--max-steps", "4", *output]) == 0
    port = free_port()
    fails = """
from qa.engine import checkpoint
measure, calls = checkpoint.fingerprint, []
def fingerprint(path):
    calls.append(path)
    if len(calls) == 1:
        raise OSError(116, "Stale file handle", str(path))
    return measure(path)
checkpoint.fingerprint = fingerprint
"""
    more = ["--resume", "--max-steps", "6", *output]
    ranks = [
        launcher.start(more, as_rank(rank, 2, port) + (fails if rank else "")) for rank in range(2)
    ]
    assert ranks[1].wait() == 2, ranks[1].stderr
    assert "step-00000004 cannot be read" in ranks[1].stderr
    ranks[0].kill(signal.SIGKILL)
    ranks[0].wait()
