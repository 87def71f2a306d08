"""The boundary head: its probabilities, its loss, its gradients, and its file."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support import tiny_models
from support.tiny_models import PACKED_KINDS, PADDED_KINDS, make_model, make_windows, packed
from torch.nn import functional as F

from qa.data.windows.cut import NO_TRIM
from qa.engine.errors import UserError
from qa.models.boundary_head import IGNORE_TRIM, NUM_CHOICES, BoundaryHead, boundary_loss
from qa.models.loss import IGNORE_POSITION, span_loss, window_loss
from qa.models.model_io import SpanScores
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.segments import Scratch, Segments
from qa.models.part_files import BOUNDARY_FILE
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = [9, 4]
HIDDEN_SIZE = 16
# Of the windows of `make_batch`: first and last token, and the characters to drop there.
LABELS = tuple(torch.tensor(label) for label in ([3, 2], [6, 3], [1, 0], [2, 1]))


def make_reader(kind: str = "bert", seed: int = 0) -> SpanReader:
    """A reader with a head whose choices are far from alike."""
    torch.manual_seed(seed)
    reader = SpanReader(make_model(kind), boundaries=True).eval()
    assert reader.boundary_head is not None
    with torch.no_grad():
        reader.boundary_head.linear.weight.mul_(10)
    return reader


def make_batch(lengths: list[int] | None = None) -> dict[str, Any]:
    """Two windows; their first tokens are not context, the others cover 0 to 10 characters."""
    batch = packed(make_windows(lengths or LENGTHS))
    positions = Segments(
        batch["slots"], batch["shape"], Scratch(), attend_on_cpu, batch["lengths"]
    ).positions
    characters = torch.arange(len(positions)) * 7 % 11
    return {**batch, "num_characters": torch.where(positions < 2, 0, characters)}


def segments_of(batch: dict[str, Any]) -> Segments:
    return Segments(batch["slots"], batch["shape"], Scratch(), attend_on_cpu, batch["lengths"])


def trims_of(reader: SpanReader, batch: dict[str, Any]) -> torch.Tensor:
    trims: torch.Tensor | None = reader(**batch).trims
    assert trims is not None
    return trims


# Probabilities


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    characters=st.lists(st.integers(0, 12), min_size=1, max_size=9),
    choices=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_log_probabilities_are_the_softmax_over_what_leaves_a_character(
    characters: list[int], choices: int, seed: int
) -> None:
    """Compared token by token in fp64; a token without characters has only one choice."""
    torch.manual_seed(seed)
    head = BoundaryHead(5, 3, choices)
    torch.nn.init.normal_(head.linear.weight)
    hidden, embeddings = torch.randn(len(characters), 5), torch.randn(len(characters), 3) * 0.01
    found = head(hidden, embeddings, torch.tensor(characters))
    assert found.shape == (len(characters), 2, choices)
    assert found.dtype == torch.float32
    weight, bias = head.linear.weight.double(), head.linear.bias.double()
    for row, count in enumerate(characters):
        e = embeddings[row].double()
        normed = (e - e.mean()) / (e.var(unbiased=False) + 1e-5).sqrt()
        logits = (weight @ torch.cat((hidden[row].double(), normed)) + bias).view(2, choices)
        allowed = min(max(1, count), choices)
        expected = logits[:, :allowed].log_softmax(1)
        torch.testing.assert_close(found[row, :, :allowed].double(), expected, rtol=0, atol=1e-5)
        assert found[row, :, allowed:].exp().eq(0).all()
        totals = found[row].double().exp().sum(1)
        torch.testing.assert_close(totals, torch.ones_like(totals), rtol=0, atol=1e-6)


def test_8_choices_from_0_to_7_characters() -> None:
    assert BoundaryHead(4, 4).choices == NUM_CHOICES == 8
    assert IGNORE_TRIM == NO_TRIM  # what windows without the answer are labelled with


@pytest.mark.parametrize("kind", [*PACKED_KINDS, *PADDED_KINDS])
def test_reader_gives_the_head_each_tokens_state_and_word_embedding(kind: str) -> None:
    """ELECTRA's and ALBERT's embeddings are narrower than their hidden states."""
    reader, batch = make_reader(kind), make_batch()
    head = reader.boundary_head
    assert head is not None
    table = reader.model.get_input_embeddings().weight
    assert head.linear.in_features == HIDDEN_SIZE + table.shape[1]
    with torch.no_grad():
        trims = trims_of(reader, batch)
        hidden = reader.encode(batch["input_ids"], segments_of(batch), None)
        expected = head(hidden, table[batch["input_ids"]], batch["num_characters"])
    assert trims.shape == (*batch["shape"], 2, NUM_CHOICES)
    torch.testing.assert_close(segments_of(batch).from_rows(trims), expected, rtol=0, atol=1e-5)
    assert trims[1, LENGTHS[1] :].eq(0).all()  # behind a window's end: finite, and never looked at


def test_each_window_as_if_it_were_alone() -> None:
    reader = make_reader()
    batch = make_batch([7, 12, 3])
    with torch.no_grad():
        together = trims_of(reader, batch)
        first = 0
        for row, n in enumerate(batch["lengths"]):
            alone = packed([{"input_ids": batch["input_ids"][first : first + n]}])
            alone["num_characters"] = batch["num_characters"][first : first + n]
            torch.testing.assert_close(
                together[row, :n], trims_of(reader, alone)[0], rtol=1e-4, atol=1e-4
            )
            first += n


def test_head_does_not_change_the_span_scores() -> None:
    model, batch = make_model("bert"), make_batch()
    plain = SpanReader(copy.deepcopy(model)).eval()
    with_head = SpanReader(model, boundaries=True).eval()
    with torch.no_grad():
        expected, found = plain(**batch), with_head(**batch)
    assert expected.trims is None
    assert torch.equal(found.start_logits, expected.start_logits)
    assert torch.equal(found.end_logits, expected.end_logits)


def test_new_head_is_drawn_last_and_only_if_wanted(encoder_dir: Path) -> None:
    """A run without the head must be what it was before there was such a head."""
    found = []
    for boundaries in (False, True, True, None):
        torch.manual_seed(7)
        reader = SpanReader.from_pretrained(str(encoder_dir), boundaries=boundaries)
        found.append((reader.state_dict(), torch.get_rng_state()))
    (plain, state), (with_head, _), (again, _), (default, default_state) = found
    head = {"boundary_head.linear.weight", "boundary_head.linear.bias"}
    assert with_head.keys() - plain.keys() == head
    assert all(torch.equal(with_head[name], plain[name]) for name in plain)
    assert all(torch.equal(with_head[name], again[name]) for name in with_head)
    assert default.keys() == plain.keys()  # nothing saved, nothing asked for
    assert torch.equal(state, default_state)


def test_head_is_fp32_under_autocast() -> None:
    reader, batch = make_reader(), make_batch()
    head = reader.boundary_head
    assert head is not None
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            trims = trims_of(reader, batch)
            hidden = reader.encode(batch["input_ids"], segments_of(batch), None)
        table = reader.model.get_input_embeddings().weight
        exact = head(hidden.float(), table[batch["input_ids"]], batch["num_characters"])
    assert trims.dtype == torch.float32
    torch.testing.assert_close(segments_of(batch).from_rows(trims), exact, rtol=0, atol=1e-5)
    finite = exact[exact.isfinite()]
    assert float((finite - finite.bfloat16().float()).abs().max()) > 1e-3  # what bf16 would lose


# Loss


class Labelled:
    """Scores of the choices, before the softmax, with labels of a batch."""

    def __init__(self, seed: int, choices: int = 4) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.batch_size, self.num_tokens, self.choices = 6, 5, choices
        size = (self.batch_size, self.num_tokens, 2, choices)
        self.logits = torch.randn(size, generator=generator) * 3
        tokens = torch.randint(0, self.num_tokens, (2, self.batch_size), generator=generator)
        self.positions = tokens
        self.wanted = torch.randint(0, choices, tokens.shape, generator=generator)

    @property
    def trims(self) -> torch.Tensor:
        return self.logits.log_softmax(3)

    def loss(self) -> torch.Tensor:
        return boundary_loss(self.trims, *self.positions, *self.wanted)

    def expected(self) -> float:
        """Window by window and side by side, with torch's own cross-entropy in fp64."""
        total = 0.0
        for window in range(self.batch_size):
            for side in (0, 1):
                token, wanted = (int(x[side, window]) for x in (self.positions, self.wanted))
                if token >= 0 and 0 <= wanted < self.choices:
                    logits = self.logits[window, token, side].double()
                    total += float(F.cross_entropy(logits, torch.tensor(wanted)))
        return total / 2


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    seed=st.integers(0, 999),
    choices=st.integers(1, 8),
    ignored=st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, 5), st.sampled_from([IGNORE_TRIM, -1, 8, 9, 500])
        ),
        max_size=8,
    ),
    without=st.lists(st.integers(0, 5), max_size=3),
)
def test_loss_is_the_cross_entropy_of_each_window(
    seed: int, choices: int, ignored: list[tuple[int, int, int]], without: list[int]
) -> None:
    """Also with trims that are ignored or too long, and with windows that do not count."""
    labelled = Labelled(seed, choices)
    for side, window, trim in ignored:
        labelled.wanted[side, window] = trim
    labelled.positions[:, without] = IGNORE_POSITION
    assert float(labelled.loss()) == pytest.approx(labelled.expected(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("trim", [IGNORE_TRIM, 4, 400])
def test_what_does_not_count_costs_nothing_and_moves_nothing(trim: int) -> None:
    labelled = Labelled(0)
    labelled.wanted[:] = trim
    labelled.logits.requires_grad_()
    loss = labelled.loss()
    loss.backward()
    assert float(loss.detach()) == 0
    assert labelled.logits.grad is not None
    assert not labelled.logits.grad.any()


def test_one_side_can_count_without_the_other() -> None:
    labelled = Labelled(1)
    both = float(labelled.loss())
    starts, ends = (copy.deepcopy(labelled) for _ in range(2))
    starts.wanted[1], ends.wanted[0] = labelled.choices, IGNORE_TRIM
    assert 0 < float(starts.loss()) < both
    assert float(starts.loss()) + float(ends.loss()) == pytest.approx(both, rel=1e-6)


def test_choices_of_probability_0_give_finite_gradients() -> None:
    """Tokens of one character have one choice only, which costs nothing."""
    labelled = Labelled(2)
    labelled.logits[:, :, :, 1:] = -math.inf
    labelled.wanted[:] = 0
    labelled.logits.requires_grad_()
    loss = labelled.loss()
    loss.backward()
    assert float(loss.detach()) == 0
    assert labelled.logits.grad is not None
    assert not labelled.logits.grad.any()


def test_windows_loss_is_that_of_the_span_and_of_its_trims() -> None:
    batch = {
        "start_positions": torch.tensor([3, 0]),
        "end_positions": torch.tensor([5, 0]),
        "start_trims": torch.tensor([1, NO_TRIM]),
        "end_trims": torch.tensor([0, NO_TRIM]),
    }
    with torch.no_grad():
        scores: SpanScores = make_reader()(**make_batch())
    assert scores.trims is not None
    positions = batch["start_positions"], batch["end_positions"]
    of_span = span_loss(scores.start_logits, scores.end_logits, *positions)
    of_trims = -(scores.trims[0, 3, 0, 1] + scores.trims[0, 5, 1, 0]) / 2
    assert float(of_trims) > 0
    assert float(window_loss(scores, batch)) == pytest.approx(float(of_span + of_trims), rel=1e-6)
    assert torch.equal(window_loss(scores._replace(trims=None), batch), of_span)


# Gradients


def trim_gradients(
    reader: SpanReader, batch: dict[str, Any], trims: Callable[[], torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Gradients of the loss of trims alone."""
    assert batch["num_characters"][[3, 6]].gt(2).all()
    reader.zero_grad()
    boundary_loss(trims(), *LABELS).backward()
    return {n: p.grad.clone() for n, p in reader.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["bert", "electra", "roformer"])
def test_gradient_reaches_head_and_encoder_but_not_the_table_by_the_look_up(kind: str) -> None:
    reader, batch = make_reader(kind), make_batch()
    head = reader.boundary_head
    assert head is not None
    table = reader.model.get_input_embeddings().weight
    (table_name,) = (name for name, p in reader.named_parameters() if p is table)

    def looked_up(embeddings: torch.Tensor) -> Callable[[], torch.Tensor]:
        def trims() -> torch.Tensor:
            hidden = reader.encode(batch["input_ids"], segments_of(batch), None)
            rows = head(hidden, embeddings, batch["num_characters"])
            return segments_of(batch).to_rows(rows, 0.0)

        return trims

    found = trim_gradients(reader, batch, lambda: trims_of(reader, batch))
    constant = table[batch["input_ids"]].detach()
    without = trim_gradients(reader, batch, looked_up(constant))
    through = trim_gradients(reader, batch, looked_up(F.embedding(batch["input_ids"], table)))
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, without[name], rtol=1e-4, atol=1e-6)
    difference = (through[table_name] - found[table_name]).abs().max()
    assert float(difference) > 1e-3  # what the look-up would add
    moved = {name for name, gradient in found.items() if gradient.abs().max() > 1e-6}
    assert {"boundary_head.linear.weight", "boundary_head.linear.bias", table_name} <= moved
    assert any("layer.0" in name for name in moved)
    assert not any("qa_outputs" in name for name in moved)


def test_steps_on_the_head_learn_the_trims() -> None:
    """The same trims every time, in the end nearly sure."""
    reader, batch = make_reader(), make_batch()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = boundary_loss(trims_of(reader, batch), *LABELS)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 < losses[0]


# Its file


def logits_and_trims(reader: SpanReader) -> list[torch.Tensor]:
    with torch.no_grad():
        scores: SpanScores = reader(**make_batch())
    assert scores.trims is not None
    return [scores.start_logits, scores.end_logits, scores.trims]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The directory of a reader with a head."""
    make_reader().save_pretrained(tmp_path / "reader")
    return tmp_path / "reader"


@pytest.mark.parametrize("boundaries", [None, True])
def test_head_is_saved_and_loaded(boundaries: bool | None, saved: Path) -> None:
    reader = SpanReader.from_pretrained(str(saved), boundaries=boundaries, require_head=True).eval()
    for found, expected in zip(
        logits_and_trims(reader), logits_and_trims(make_reader()), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", [*PACKED_KINDS, *PADDED_KINDS])
def test_transformers_loads_the_directory_as_if_there_were_no_head(
    kind: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForQuestionAnswering

    reader = make_reader(kind)
    reader.save_pretrained(tmp_path / "with")
    SpanReader(make_model(kind)).save_pretrained(tmp_path / "without")
    model, loading = AutoModelForQuestionAnswering.from_pretrained(
        tmp_path / "with", output_loading_info=True
    )
    assert not any(loading.values())
    with torch.no_grad():
        windows = make_windows(LENGTHS)
        theirs, ours = (tiny_models.logits_of(m, windows) for m in (model.eval(), reader))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    names = [{path.name for path in (tmp_path / d).iterdir()} for d in ("with", "without")]
    assert names[0] - names[1] == {BOUNDARY_FILE}
    assert names[1] < names[0]
    for name in names[1]:
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()


def test_file_holds_the_weights_of_the_head_alone(saved: Path) -> None:
    head = make_reader().boundary_head
    assert head is not None
    weights = load_file(saved / BOUNDARY_FILE)
    assert weights.keys() == {"linear.weight", "linear.bias"}
    assert all(torch.equal(weights[name], w) for name, w in head.state_dict().items())


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_whoever_may_read_the_configuration_may_read_the_weights(
    umask: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        make_reader().save_pretrained(tmp_path / "reader")
    finally:
        os.umask(before)
    rights = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "reader").iterdir()}
    assert {"model.safetensors", BOUNDARY_FILE} <= rights.keys()
    assert set(rights.values()) == {0o666 & ~umask}


def test_given_weights_are_saved_instead_of_its_own(saved: Path, tmp_path: Path) -> None:
    """A run whose processes each hold a part of the weights passes them in."""
    make_reader(seed=1).save_pretrained(tmp_path / "other", make_reader().state_dict())
    for name in (BOUNDARY_FILE, "model.safetensors"):
        assert (tmp_path / "other" / name).read_bytes() == (saved / name).read_bytes()


def test_without_the_file_there_is_no_head(saved: Path) -> None:
    (saved / BOUNDARY_FILE).unlink()
    reader = SpanReader.from_pretrained(str(saved), require_head=True).eval()
    assert reader.boundary_head is None
    assert reader(**make_batch()).trims is None


def test_without_boundaries_the_file_is_ignored(saved: Path) -> None:
    (saved / BOUNDARY_FILE).write_bytes(b"no matter what")
    reader = SpanReader.from_pretrained(str(saved), boundaries=False).eval()
    assert reader.boundary_head is None
    assert reader(**make_batch()).trims is None


def test_head_that_is_wanted_but_not_saved_is_new(saved: Path) -> None:
    (saved / BOUNDARY_FILE).unlink()
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        reader = SpanReader.from_pretrained(str(saved), boundaries=True)
        assert reader.boundary_head is not None
        heads.append(reader.boundary_head.linear.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_new_weights_are_those_that_were_not_saved(saved: Path, encoder_dir: Path) -> None:
    """The names are how the optimizer is told to give them a rate of their own."""

    def new(directory: Path, boundaries: bool | None) -> set[str]:
        reader = SpanReader.from_pretrained(str(directory), boundaries=boundaries)
        names = dict(reader.named_parameters())
        return {name for name in names if name.startswith(tuple(reader.new_weights))}

    span = {"model.qa_outputs.weight", "model.qa_outputs.bias"}
    boundary = {"boundary_head.linear.weight", "boundary_head.linear.bias"}
    assert new(saved, None) == set()
    assert new(encoder_dir, True) == span | boundary
    assert new(encoder_dir, None) == span
    (saved / BOUNDARY_FILE).unlink()
    assert new(saved, True) == boundary


def test_reader_saved_without_a_head_leaves_no_other_ones_there(saved: Path) -> None:
    """Otherwise it would answer with a head that was trained with another encoder."""
    reader = SpanReader.from_pretrained(str(saved), boundaries=False)
    reader.save_pretrained(saved)
    assert SpanReader.from_pretrained(str(saved)).boundary_head is None


def cut_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty_file(path: Path) -> None:
    path.write_bytes(b"")


def other_content(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\n" * 3)


def other_shape(path: Path) -> None:
    """Replace the head by one of a wider encoder."""
    save_file(BoundaryHead(HIDDEN_SIZE * 2, HIDDEN_SIZE).state_dict(), path)


def other_choices(path: Path) -> None:
    save_file(BoundaryHead(HIDDEN_SIZE, HIDDEN_SIZE, 5).state_dict(), path)


def lose_bias(path: Path) -> None:
    weights = load_file(path)
    save_file({"linear.weight": weights["linear.weight"]}, path)


def other_names(path: Path) -> None:
    save_file({f"boundary_head.{name}": w for name, w in load_file(path).items()}, path)


DAMAGES = [
    cut_file,
    empty_file,
    other_content,
    other_shape,
    other_choices,
    lose_bias,
    other_names,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_refused_in_one_line_by_its_name(
    damage: Callable[[Path], None], saved: Path
) -> None:
    damage(saved / BOUNDARY_FILE)
    with pytest.raises(UserError) as caught:
        SpanReader.from_pretrained(str(saved))
    message = str(caught.value)
    assert message.startswith(str(saved))
    assert "\n" not in message
    assert BOUNDARY_FILE in message, message  # which of the files it is, so that one can mend it
