"""Frozen parts, and layers that are computed again: the same gradients, dropout included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny_models import PACKED_KINDS, PADDED_KINDS, make_model, make_windows, packed
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qa.engine.errors import UserError
from qa.models.span_reader import SpanReader
from qa.models.trained_part import freeze

pytestmark = pytest.mark.usefixtures("one_thread")

CANNOT = ("albert", "mpnet")
CHECKPOINTED = sorted({*PACKED_KINDS, *PADDED_KINDS} - {*CANNOT})


def make_reader(kind: str) -> SpanReader:
    reader = SpanReader(make_model(kind), boundaries=True)
    return reader.train()


def gradients(reader: SpanReader, passes: int = 1) -> tuple[float, dict[str, Any]]:
    """The loss of `passes` forward passes in one graph, as R-Drop makes them, and gradients."""
    batch = packed(make_windows([9, 40, 17, 40], seed=4))
    torch.manual_seed(11)
    reader.zero_grad()
    total = torch.zeros(())
    for _ in range(passes):
        start, end, trims, _ = reader(**batch)
        assert trims is not None
        finite = start.isfinite()
        total = total + (start[finite].tanh().sum() + (end[finite] ** 2).sum() + trims.sum())
    total.backward()
    return float(total.detach()), {name: p.grad for name, p in reader.named_parameters()}


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_checkpointed_layers_give_the_same_gradients(kind: str, passes: int) -> None:
    plain, checkpointed = make_reader(kind), make_reader(kind)
    checkpointed.load_state_dict(plain.state_dict())
    checkpointed.checkpoint_layers()
    calls: list[int] = []
    layers = next(m for m in checkpointed.modules() if isinstance(m, torch.nn.ModuleList))
    linear = next(m for m in layers.modules() if isinstance(m, torch.nn.Linear))
    linear.register_forward_pre_hook(lambda *_: calls.append(1))
    for _ in range(2):  # the second time with memory that the first one used
        (loss, expected), (other, found) = (gradients(r, passes) for r in (plain, checkpointed))
        assert other == loss
        assert expected.keys() == found.keys()
        for name, gradient in expected.items():
            assert (gradient is None) == (found[name] is None), name
            if gradient is not None:
                assert torch.equal(found[name], gradient), name
    assert len(calls) == 2 * 2 * passes  # so layers were computed twice
    states = []
    for reader in (plain, checkpointed):
        gradients(reader, passes)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)  # the second pass draws nothing anew


@pytest.mark.parametrize("kind", CANNOT)
def test_a_model_without_checkpointing_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match="gradient_checkpointing: .*ForQuestionAnswering does not"):
        make_reader(kind).checkpoint_layers()


class Memory(TorchDispatchMode):
    """Knows the memory of all tensors that were made in this context."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                self.made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        return out

    @property
    def num_bytes(self) -> int:
        return sum(size for storage, size in self.made.values() if not storage.expired())


def test_layers_keep_their_inputs_and_little_else() -> None:
    """Neither attention's matrices nor dropout's masks, of four windows of 64 tokens."""
    held = []
    for checkpoints in (False, True):
        reader = make_reader("bert")
        if checkpoints:
            reader.checkpoint_layers()
        batch = packed(make_windows([64] * 4))
        reader(**batch)  # makes what later steps use again
        with Memory() as memory:
            scores = reader(**batch)
            held.append(memory.num_bytes)
            del scores
    states = 256 * 16 * 4  # bytes of hidden states (N, F)
    assert held[1] < 12 * states < held[0] / 3


def frozen(model: Any) -> set[str]:
    return {name for name, p in model.named_parameters() if not p.requires_grad}


def test_parts_are_frozen_by_whole_words_of_their_names() -> None:
    import transformers as t

    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    model = t.BertForQuestionAnswering(t.BertConfig(**sizes, vocab_size=9, num_hidden_layers=12))
    assert frozen(model) == set()
    freeze(model, ["embeddings.word_embeddings", "encoder.layer.1"])
    names = [name for name, _ in model.named_parameters()]
    layer = {name for name in names if name.startswith("bert.encoder.layer.1.")}
    assert len(layer) == 16
    assert frozen(model) == {"bert.embeddings.word_embeddings.weight", *layer}


@pytest.mark.parametrize("prefix", ["encoder.layer.9", "bert.embeddings", "embed", ""])
def test_a_prefix_that_fits_nothing_is_refused_with_what_there_is(prefix: str) -> None:
    with pytest.raises(UserError, match="^freeze: ") as error:
        freeze(make_model("bert"), ["embeddings", prefix])
    parts = "embeddings, encoder.layer.0, encoder.layer.1"
    assert str(error.value).endswith(f"begins with {prefix!r}; its parts are {parts}")
