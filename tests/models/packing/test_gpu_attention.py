"""What a GPU runs, on a CPU: the kernel's call, the filler, and the choice by trying.

The kernel itself is a stand-in with its arguments (`support.flash`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flash import flash_forward
from support.tiny_models import MAX_LENGTH, PACKED_KINDS, logits_of, make_model, make_windows

from qa.data.batches.collate import Collator
from qa.engine.errors import Notice, UserError
from qa.engine.precision import Precision
from qa.models.loss import reader_loss
from qa.models.model_io import model_inputs
from qa.models.packing import device_trial, gpu_attention
from qa.models.packing.byte_dropout import ByteDropout
from qa.models.packing.compiled import compile_layers
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.gpu_attention import attend_flash, attend_padded
from qa.models.packing.segments import Attend, Scratch, Segments
from qa.models.span_reader import SpanReader
from qa.models.trained_part import freeze

pytestmark = pytest.mark.usefixtures("one_thread", "kernel")

CPU = Precision("fp32", torch.device("cpu"))
HEADS, WIDTH, SCALING = 2, 4, 0.6
LENGTHS = [40, 7, 1, 33]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-in where torch's kernel is called."""
    monkeypatch.setattr(gpu_attention, "flash_forward", flash_forward)


def make_segments(lengths: list[int], filler: int) -> Segments:
    width = max(*lengths, filler) + 1
    slots = [row * width + column for row, n in enumerate(lengths) for column in range(n)]
    slots += [len(lengths) * width + column for column in range(filler)]
    edges = torch.tensor([0, *lengths, filler]).cumsum(0).int()
    shape = len(lengths), width
    return Segments(torch.tensor(slots), shape, Scratch(), attend_flash, lengths, edges)


def run(
    attend: Attend, lengths: list[int], filler: int, sliding_window: int | None
) -> list[torch.Tensor]:
    """Output of the windows' tokens, and the gradients of query, key and value."""
    total = sum(lengths)
    stacked = torch.randn(3, total + filler, HEADS, WIDTH, dtype=torch.float64)
    inputs = [x.transpose(0, 1).requires_grad_() for x in stacked]  # (H, N, D)
    segments = make_segments(lengths, filler)
    out = attend(*inputs, segments, SCALING, 0.0, sliding_window)
    assert out.shape == (total + filler, HEADS, WIDTH)
    gradient = torch.randn(total, HEADS, WIDTH, dtype=torch.float64)
    gradients = torch.autograd.grad(out[:total], inputs, gradient)
    assert not any(gradient[:, total:].any() for gradient in gradients)  # the filler's
    return [out[:total].detach(), *gradients]


@pytest.mark.parametrize("attend", [attend_flash, attend_padded])
@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    filler=st.integers(0, 9),
    sliding_window=st.none() | st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_equals_attention_on_a_cpu(
    attend: Attend, lengths: list[int], filler: int, sliding_window: int | None, seed: int
) -> None:
    """Outputs and gradients, local layers and windows of one token included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_attention, "flash_forward", flash_forward)
        torch.manual_seed(seed)
        expected = run(attend_on_cpu, lengths, filler, sliding_window)
        torch.manual_seed(seed)
        actual = run(attend, lengths, filler, sliding_window)
    for a, b in zip(actual, expected, strict=True):
        # One of attend_on_cpu's terms is summed in fp32.
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_kernel_exists_in_this_torch_with_these_arguments() -> None:
    """Its call is refused for want of a GPU, not for its arguments."""
    query = torch.randn(5, HEADS, 8, dtype=torch.bfloat16)
    bounds = torch.tensor([0, 3, 5], dtype=torch.int32)
    for reach in ({}, {"window_size_left": 2, "window_size_right": 2}):
        with pytest.raises(NotImplementedError, match="_flash_attention_forward"):
            torch.ops.aten._flash_attention_forward(
                *(query, query, query, bounds, bounds, 3, 3, 0.1, False, False),
                scale=0.5,
                **reach,
            )


# The filler


def make_reader(kind: str, attend: Attend) -> SpanReader:
    """A reader without dropout whose windows attend in this way."""
    reader = SpanReader(make_model(kind), boundaries=True, pair_width=5)
    assert reader.pair_head is not None
    torch.nn.init.normal_(reader.pair_head.last.weight, std=0.3)
    for module in reader.modules():
        if isinstance(module, ByteDropout):
            module.p = 0.0
    reader.attend["cpu"] = attend
    return reader.train()


def make_batch(filler: int) -> dict[str, Any]:
    """Four windows and a filler."""
    windows = [
        {
            **{name: value.numpy() for name, value in window.items()},
            "length": n,
            "offset_starts": torch.arange(n).numpy(),
            "offset_ends": torch.arange(n).numpy() + 3,
            "start_position": n // 2,
            "end_position": n - 1,
            "start_trim": 1,
            "end_trim": 0,
        }
        for window, n in zip(make_windows(LENGTHS), LENGTHS, strict=True)
    ]
    return Collator(MAX_LENGTH, round_total=lambda number: number + filler)(windows)


@pytest.mark.parametrize("attend", [attend_on_cpu, attend_flash, attend_padded])
@pytest.mark.parametrize("filler", [1, 19, 90])
def test_filler_changes_no_score_and_no_gradient(attend: Attend, filler: int) -> None:
    """Even one that is longer than the longest window and wraps around in its row."""
    torch.manual_seed(0)
    reader = make_reader("bert", attend)
    found = []
    for batch in (make_batch(0), make_batch(filler)):
        reader.zero_grad()
        scores = reader(**model_inputs(batch))
        assert scores.start_logits.shape == batch["shape"] == (4, 40)
        reader_loss(reader, batch).backward()
        gradients = {n: p.grad for n, p in reader.named_parameters() if p.grad is not None}
        found.append((scores, gradients))
    (plain, expected), (filled, actual) = found
    for a, b in zip(filled, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert actual.keys() == expected.keys()
    for name, gradient in actual.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attend", [attend_on_cpu, attend_flash, attend_padded])
def test_nothing_of_the_filler_reaches_a_window(attend: Attend) -> None:
    """Bit for bit, whatever its tokens are."""
    reader = make_reader("bert", attend).eval()
    batch = make_batch(19)
    first = reader(**model_inputs(batch))
    batch["input_ids"][-19:] = 7
    for a, b in zip(first, reader(**model_inputs(batch)), strict=True):
        assert torch.equal(a, b)


# The choice


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> list[Attend]:
    """The functions that a device has to offer; a CPU is taken for one."""
    offered: list[Attend] = []
    monkeypatch.setattr(device_trial, "candidates", lambda _: offered)
    return offered


def attend_across(query: Any, key: Any, value: Any, segments: Any, scaling: float, *_: Any) -> Any:
    """A kernel whose windows see a little of each other, as at an edge that is not covered."""
    return attend_flash(query, key, value, segments, scaling, 0.0) + 1e-4 * value.mean(1)


def attend_wrongly(query: Any, key: Any, value: Any, segments: Any, scaling: float, *_: Any) -> Any:
    """A kernel that scales scores twice."""
    return attend_flash(query, key, value, segments, scaling**2, 0.0)


def attend_to_nan(query: Any, *_: Any) -> Any:
    return torch.full_like(query.transpose(0, 1), float("nan"))


def attend_nowhere(*_: Any) -> Any:
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")


BROKEN: dict[Attend, str] = {
    attend_across: "a window's scores change with the window behind it",
    attend_wrongly: "its scores are not those of padded windows",
    attend_to_nan: "a window's scores change",  # nan is not equal to itself
    attend_nowhere: "FlashAttention only supports Ampere GPUs or newer.",
}


@pytest.mark.parametrize("kind", PACKED_KINDS)
def test_kernel_that_is_exact_is_taken(kind: str, offers: list[Attend]) -> None:
    model = make_model(kind)
    reader = SpanReader(copy.deepcopy(model)).eval()
    offers += [attend_flash, attend_padded]
    assert reader.prepare(CPU) == "flash attention on packed windows"
    assert reader.attend["cpu"] is attend_flash
    windows = make_windows(LENGTHS)
    batch = make_batch(11)
    with torch.no_grad():
        actual = torch.stack(reader(**model_inputs(batch))[:2])
        torch.testing.assert_close(actual, logits_of(model, windows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("broken", BROKEN)
def test_kernel_that_is_not_exact_is_left_with_a_note(
    broken: Attend, offers: list[Attend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(device_trial.DESCRIPTIONS, broken, "the broken kernel")
    reader = SpanReader(make_model("bert"))
    offers += [broken, attend_padded]
    with pytest.warns(Notice, match="the broken kernel cannot be used") as told:
        how = reader.prepare(CPU)
    assert BROKEN[broken] in str(told[0].message)
    assert how == "attention on padded windows, all else packed"
    assert reader.is_packed


def test_without_any_exact_kernel_windows_are_padded(
    offers: list[Attend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(device_trial.DESCRIPTIONS, attend_across, "the broken kernel")
    model = make_model("bert")
    reader = SpanReader(copy.deepcopy(model)).eval()
    offers.append(attend_across)
    with pytest.warns(Notice, match="the broken kernel"):
        assert reader.prepare(CPU) == "padded windows"
    assert reader.batch_form(CPU.device, MAX_LENGTH, trains=True).pads
    windows = make_windows(LENGTHS)
    with torch.no_grad():
        assert torch.equal(logits_of(reader, windows), logits_of(model, windows))


def test_trial_leaves_the_reader_as_it_was(offers: list[Attend]) -> None:
    reader = SpanReader(make_model("bert")).train()
    before = copy.deepcopy(reader.state_dict())
    offers += [attend_flash]
    state = torch.get_rng_state()
    reader.prepare(CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert reader.training
    assert all(torch.equal(w, before[name]) for name, w in reader.state_dict().items())
    assert all(parameter.grad is None for parameter in reader.parameters())


def test_what_a_device_has_to_offer() -> None:
    cuda = torch.device("cuda")
    assert device_trial.candidates(CPU) == []
    assert device_trial.candidates(Precision("bf16", cuda)) == [attend_flash, attend_padded]
    assert device_trial.candidates(Precision("fp16", cuda)) == [attend_flash, attend_padded]
    assert device_trial.candidates(Precision("fp32", cuda)) == [attend_padded]
    assert device_trial.candidates(Precision("fp32", torch.device("mps"))) == [attend_padded]


# Compiling


class Programs:
    """A backend of torch.compile that counts what it is given, and runs it as it is."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        self.count += 1
        return graph.forward


@pytest.mark.parametrize("kind", ["bert", "albert", "distilbert"])  # layers of three makes
def test_compiled_layers_are_few_programs_for_any_number_of_tokens(kind: str) -> None:
    """And compute the same; without fullgraph a break would make more programs."""
    torch.compiler.reset()
    reader = SpanReader(make_model(kind)).eval()
    reader.attend["cpu"] = attend_flash
    batches = [model_inputs(make_batch(filler)) for filler in (0, 3, 19, 90, 7)]
    with torch.no_grad():
        expected = [reader(**batch) for batch in batches]
        names = list(reader.state_dict())
        programs = Programs()
        compile_layers(reader.model.base_model, attend_flash, programs)
        assert list(reader.state_dict()) == names
        counts = []
        for batch, (starts, ends, *_) in zip(batches, expected, strict=True):
            actual = reader(**batch)
            torch.testing.assert_close(actual.start_logits, starts, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(actual.end_logits, ends, rtol=1e-5, atol=1e-5)
            counts.append(programs.count)
    torch.compiler.reset()
    assert counts[0] > 0
    assert counts[1] == counts[-1] <= 3


@pytest.mark.slow
def test_layers_of_many_kinds_are_compiled() -> None:
    """Local and global, frozen and trained, evaluated in between: more than torch's own limit."""
    import transformers as t

    torch.compiler.reset()
    config = t.ModernBertConfig(
        vocab_size=60,
        num_hidden_layers=8,
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=2,
        max_position_embeddings=64,
        local_attention=8,
        pad_token_id=0,
        cls_token_id=1,
        bos_token_id=1,
        sep_token_id=2,
        eos_token_id=2,
    )
    reader = SpanReader(t.ModernBertForQuestionAnswering(config), boundaries=True)
    freeze(reader.model, ["embeddings", *(f"layers.{i}" for i in range(4))])
    reader.attend["cpu"] = attend_flash
    programs = Programs()
    compile_layers(reader.model.base_model, attend_flash, programs)
    batch = make_batch(3)
    reader_loss(reader.train(), batch).backward()
    with torch.no_grad():
        reader.eval()(**model_inputs(batch))
    torch.compiler.reset()
    assert programs.count > 8


def test_compiling_is_refused_where_it_cannot_be() -> None:
    reader = SpanReader(make_model("bert"))
    with pytest.raises(UserError, match=r"compile: needs packed windows .*leave --compile out"):
        reader.prepare(CPU, compiles=True)
    assert reader.model.base_model.encoder.layer[0]._compiled_call_impl is None


def test_a_reader_in_bf16_takes_flash_attention_too(offers: list[Attend]) -> None:
    """What is tried of the format knows nothing of bounds, which the kernel needs."""
    offers += [attend_flash, attend_padded]
    reader = SpanReader(make_model("bert")).eval()
    how = reader.prepare(Precision("bf16", torch.device("cpu")))
    assert how == "flash attention on packed windows"
