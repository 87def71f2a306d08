"""What a configuration turns into: rates of new heads, and the loss."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from qa.config import config_from_flat
from qa.engine.errors import Notice
from qa.engine.run_differences import state_differences
from qa.models.span_reader import SpanReader
from qa.training.build import Job, build_job
from qa.training.resume import run_identity

pytestmark = pytest.mark.usefixtures("one_thread")

# A constant on all scores of a softmax: its gradient is rounding, or 0. A new pair head multiplies
# its first tokens by 0.
IDLE = ("key.bias", "qa_outputs.bias", "pair_head.first.bias")


def make_job(encoder: Path, squad_file: Path, **values: Any) -> Job:
    flat = {
        "model": str(encoder),
        "train_data": str(squad_file),
        "max_seq_length": 60,
        "window_overlap": 10,
        "max_question_length": 20,
        "learning_rate": 1e-4,
        "warmup_ratio": 0.0,
        "precision": "fp32",
        "device": "cpu",
        "hidden_dropout": 0.3,
    }
    return build_job(config_from_flat({**flat, **values}), lambda line: None)


def moved_by(job: Job) -> dict[str, float]:
    """The farthest that a weight of each part moved in the first step."""
    before = {name: value.clone() for name, value in job.run.model.state_dict().items()}
    next(iter(job.run.steps()))
    moved = {"qa_outputs": 0.0, "boundary_head": 0.0, "pair_head": 0.0, "encoder": 0.0}
    for name, value in job.run.model.state_dict().items():
        part = next((part for part in moved if part in name), "encoder")
        moved[part] = max(moved[part], float((value - before[name]).abs().max()))
    return moved


def test_new_heads_learn_at_their_own_rate(encoder_dir: Path, squad_file: Path) -> None:
    """Adam's first step moves a weight by its rate, whatever the gradient."""
    job = make_job(encoder_dir, squad_file, head_learning_rate=1e-2, weight_decay=0.0)
    moved = moved_by(job)
    assert moved["encoder"] == pytest.approx(1e-4, rel=0.01)
    assert moved["qa_outputs"] == pytest.approx(1e-2, rel=0.01)
    assert moved["boundary_head"] == pytest.approx(1e-2, rel=0.01)
    assert moved["pair_head"] == pytest.approx(1e-2, rel=0.01)


def test_loaded_heads_learn_at_the_rate_of_all(
    encoder_dir: Path, squad_file: Path, tmp_path: Path
) -> None:
    trained = make_job(encoder_dir, squad_file)
    trained.reader.save_pretrained(tmp_path, trained.run.weights())
    job = make_job(tmp_path, squad_file, head_learning_rate=1e-2, weight_decay=0.0)
    for part, moved in moved_by(job).items():
        assert moved == pytest.approx(1e-4, rel=0.01), part


def test_frozen_parts_stay_and_the_rest_learns(encoder_dir: Path, squad_file: Path) -> None:
    job = make_job(encoder_dir, squad_file, freeze="embeddings,encoder.layer.0")
    groups = job.run.optimizers[0].param_groups
    optimized = {id(p) for group in groups for p in group["params"]}
    before = {name: value.detach().clone() for name, value in job.run.model.named_parameters()}
    next(iter(job.run.steps()))
    for name, value in job.run.model.named_parameters():
        stays = name.startswith(("model.bert.embeddings.", "model.bert.encoder.layer.0."))
        assert (id(value) in optimized) == value.requires_grad == (not stays), name
        assert torch.equal(value, before[name]) == stays or name.endswith(IDLE), name


def test_graphs_are_off_for_a_model_that_pads(
    encoder_dir: Path, squad_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is not even asked for them."""
    with pytest.warns(Notice, match="cuda_graphs: off, since the device is cpu"):
        make_job(encoder_dir, squad_file, cuda_graphs="auto")

    def prepare(reader: SpanReader, *_: Any) -> str:
        reader.is_packed = False
        return "padded windows"

    monkeypatch.setattr(SpanReader, "prepare", prepare)
    with pytest.warns(
        Notice, match="cuda_graphs: off, since this model does not read packed"
    ) as told:
        job = make_job(encoder_dir, squad_file, cuda_graphs="auto")
    assert len(told) == 1
    assert job.run.config.cuda_graphs == "off"
    assert job.config.train.cuda_graphs == "auto"  # as the run is described


def test_checkpointed_layers_train_the_same_model(encoder_dir: Path, squad_file: Path) -> None:
    """Bit for bit, with dropout, R-Drop and frozen embeddings."""
    states = []
    for checkpoints in (False, True):
        values = {"gradient_checkpointing": checkpoints, "freeze": "embeddings", "r_drop": 1.0}
        job = make_job(encoder_dir, squad_file, **values, max_steps=3, learning_rate=1e-2)
        assert len(list(job.run.steps())) == 3
        states.append(job.run.state_dict())
        states[-1]["identity"] = run_identity(job)  # so that one goes on where the other stopped
    assert list(state_differences(states[0], states[1], "state")) == []


@pytest.mark.parametrize("weight", [0.0, 4.0])
def test_r_drop_adds_to_the_loss(weight: float, encoder_dir: Path, squad_file: Path) -> None:
    """Two passes differ by dropout. Both runs start with the same heads, so with the same loss."""
    losses = []
    for r_drop in (0.0, weight):
        job = make_job(encoder_dir, squad_file, r_drop=r_drop)
        data = job.run.micro_batches
        assert data.collate_fn is not None
        batch = data.collate_fn([data.dataset[i] for i in range(3)])
        torch.manual_seed(3)
        job.run.model.train()
        with torch.no_grad():
            loss = job.run.loss_fn(job.run.model, batch)
        assert isinstance(loss, torch.Tensor)
        losses.append(float(loss))
    assert (losses[1] > losses[0] + 1e-4) == (weight > 0)


def test_r_drop_of_a_model_without_dropout_is_told(encoder_dir: Path, squad_file: Path) -> None:
    none: dict[str, Any] = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "r_drop": 1.0}
    with pytest.warns(Notice, match="r_drop: the model has no dropout"):
        make_job(encoder_dir, squad_file, **none)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        make_job(encoder_dir, squad_file, **{**none, "attention_dropout": 0.1})
        make_job(encoder_dir, squad_file, **{**none, "hidden_dropout": 0.1})


@pytest.mark.parametrize("freeze", [None, "embeddings"])
def test_all_of_the_model_is_trained_though_it_was_loaded_in_eval_mode(
    freeze: str | None, encoder_dir: Path, squad_file: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Otherwise it would learn without dropout, and without a word."""
    job = make_job(encoder_dir, squad_file, freeze=freeze)
    next(iter(job.run.steps()))
    assert all(module.training for module in job.run.model.modules())
    assert not [each for each in recwarn if "eval mode" in str(each.message)]
