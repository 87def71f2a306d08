"""How many operations a training step dispatches on a GPU, counted on a CPU with the same branches.

Each is a launch that the host pays for, some microseconds, whatever the size of the tensors: a step
of a small model, or of few windows, takes as long as its launches.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from support import flash
from support.tiny_models import VOCAB_SIZE
from torch.utils._python_dispatch import TorchDispatchMode

from qa.data.batches.collate import Collator
from qa.engine.config import TrainConfig
from qa.engine.optim import adamw
from qa.engine.precision import Precision
from qa.engine.step import train_step
from qa.models.loss import reader_loss
from qa.models.packing import gpu_attention
from qa.models.packing.byte_dropout import ByteDropout
from qa.models.packing.gpu_attention import attend_flash
from qa.models.span_reader import SpanReader

LAYERS = 12


class Count(TorchDispatchMode):
    """Counts the operations that compute something: no views, and nothing that only allocates."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        allocates = name.startswith(("aten.empty", "aten.new_empty"))
        if not (func.is_view or allocates or name == "aten.detach.default"):
            self.calls[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The operations of a bf16 step of 16 windows, dropout 0.1 on hidden states."""
    from transformers import BertConfig

    monkeypatch.setattr(gpu_attention, "flash_forward", flash.flash_forward)
    torch.manual_seed(0)
    reader = SpanReader.from_config(
        BertConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=16,
            num_hidden_layers=LAYERS,
            num_attention_heads=2,
            intermediate_size=32,
            attention_probs_dropout_prob=0.0,
        ),
        boundaries=True,
    )
    for module in reader.modules():  # as on a GPU
        for name, child in module.named_children():
            if isinstance(child, ByteDropout):
                setattr(module, name, torch.nn.Dropout(child.p))
    reader.attend["cpu"] = attend_flash
    lengths = list(range(8, 24))
    windows = [
        {
            "input_ids": torch.arange(n).numpy() % VOCAB_SIZE,
            "offset_starts": torch.arange(n).numpy(),
            "offset_ends": torch.arange(n).numpy() + 2,
            "length": n,
            "start_position": 2,
            "end_position": 4,
            "start_trim": 1,
            "end_trim": 0,
        }
        for n in lengths
    ]
    batch = Collator(32, round_total=lambda _: 512, full_width=True)(windows)
    optimizer = adamw(reader, TrainConfig())
    precision = Precision("bf16", torch.device("cpu"))
    calls: Counter[str] = Counter()
    for _ in range(2):  # the first one also makes the optimizer's state
        count = Count()
        with count:
            step = reader.train(), [batch], reader_loss, [optimizer], precision
            train_step(*step, max_grad_norm=1.0)
        calls = count.calls
    return calls


def test_operations_of_a_step(calls: Counter[str]) -> None:
    """May be fewer; more must be a decision."""
    assert calls["qa_tests.flash.default"] == calls["qa_tests.flash_backward.default"] == LAYERS
    assert sum(calls.values()) <= 1084
