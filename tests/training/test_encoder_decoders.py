"""`train.py --reader generative` with an encoder-decoder: a run, resumed, and its model."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from support.files import as_flags, read_json, write_squad
from support.runs import Launcher, die_at_step

from qa import Reader
from qa.cli.run_differences import differences

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def t5_dir(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved tiny T5 with its tokenizer."""
    from transformers import T5Config, T5ForConditionalGeneration

    directory = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    ids = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": tokenizer.sep_token_id}
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=len(tokenizer), **sizes, **ids)
    T5ForConditionalGeneration(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_it_is_trained_killed_resumed_and_answers(
    launcher: Launcher, t5_dir: Path, tmp_path: Path
) -> None:
    """The killed and resumed run is bit for bit the whole one."""
    from transformers import AutoModelForSeq2SeqLM

    values = {
        "reader": "generative",
        "model": t5_dir,
        "train-data": write_squad(tmp_path / "squad.json"),
        "holdout": 0.33,
        "max-seq-length": 48,
        "window-overlap": 8,
        "max-question-length": 16,
        "max-answer-length": 4,
        "per-device-train-batch-size": 2,
        "gradient-accumulation-steps": 2,
        "max-steps": 4,
        "num-train-epochs": 99,
        "learning-rate": 0.003,
        "hidden-dropout": 0.1,
        "eval-steps": 2,
        "save-steps": 2,
        "precision": "fp32",
        "device": "cpu",
    }
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    runs = [
        launcher.run([*as_flags(values), "--output-dir", str(whole)]),
        launcher.run([*as_flags(values), "--output-dir", str(parts)], die_at_step(3)),
        launcher.run(["--resume", "--output-dir", str(parts)]),
    ]
    assert [run.code for run in runs] == [0, -signal.SIGKILL, 0], [run.stderr for run in runs]
    assert list(differences(whole, parts)) == []
    model, loading = AutoModelForSeq2SeqLM.from_pretrained(whole / "best", output_loading_info=True)
    assert not any(loading.values())
    assert model.config.model_type == "t5"
    card = (whole / "best/README.md").read_text("utf-8")
    assert "`AutoModelForSeq2SeqLM` and `AutoTokenizer` load it" in card
    assert "span head" not in card
    assert "inside tokens" not in card
    assert "answers end at whole tokens" in runs[0].stdout
    context = "강나루는 1921년에 푸른골에서 태어난 화가이다."
    reader = Reader.from_pretrained(whole / "best", device="cpu", precision="fp32")
    answers = reader.answer(question="강나루가 태어난 해는?", context=context, top_k=5)
    assert all(context[a.start : a.end] == a.text != "" for a in answers)
    assert "outside_context" in read_json(whole / "metrics.json")["best"]
