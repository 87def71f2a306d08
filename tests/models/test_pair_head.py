"""The pair head: its scores pair by pair in fp64, its loss, its gradients, and its file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from support import tiny_models
from support.tiny_models import PACKED_KINDS, PADDED_KINDS, make_model, make_windows, packed

from qa.data.windows.cut import NO_ANSWER_POSITION
from qa.engine.errors import UserError
from qa.models import pair_head
from qa.models.generative.reader import GenerativeReader
from qa.models.loss import IGNORE_POSITION, span_loss, window_loss
from qa.models.model_io import NULL_TOKEN, SpanScores
from qa.models.pair_head import PairHead, pair_loss
from qa.models.part_files import PAIR_FILE
from qa.models.span_decode import Offsets, best_spans
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = [9, 4]
WIDTH = 5
fuzz = settings(deadline=None, max_examples=60, derandomize=True)


def strong(head: PairHead) -> PairHead:
    """The head with scores that are far from 0."""
    for part in (head.last, head.lengths):
        torch.nn.init.normal_(part.weight, std=0.5)
        torch.nn.init.normal_(part.bias, std=0.5)
    return head


def make_reader(kind: str = "bert", seed: int = 0) -> SpanReader:
    torch.manual_seed(seed)
    reader = SpanReader(make_model(kind), pair_width=WIDTH).eval()
    assert reader.pair_head is not None
    strong(reader.pair_head)
    return reader


def make_batch(lengths: list[int] | None = None) -> dict[str, Any]:
    """Windows whose first two tokens, and a few others, are not context."""
    lengths = lengths or LENGTHS
    places = torch.cat([torch.arange(n) for n in lengths])
    characters = torch.where(places < 2, 0, places * 7 % 4)
    return {**packed(make_windows(lengths)), "num_characters": characters}


def scores_of(reader: SpanReader, batch: dict[str, Any]) -> SpanScores:
    with torch.no_grad():
        scores: SpanScores = reader(**batch)
    return scores


# Scores


@fuzz
@given(
    num_tokens=st.integers(1, 7),
    width=st.integers(1, 9),
    may_end=st.lists(st.booleans(), min_size=7, max_size=7),
    seed=st.integers(0, 99),
)
def test_scores_are_the_products_and_lengths_above_those_of_no_answer(
    num_tokens: int, width: int, may_end: list[bool], seed: int
) -> None:
    """Compared pair by pair in fp64."""
    torch.manual_seed(seed)
    head = strong(PairHead(6, width, rank=3))
    states = torch.randn(2, num_tokens, 6)
    ends = torch.tensor([may_end[:num_tokens], [True] * num_tokens])
    with torch.no_grad():
        found = head(states, ends)
    assert found.shape == (2, num_tokens, width)
    assert found.dtype == torch.float32
    exact = head.double()
    for window, rows in enumerate(states.double()):

        def score(i: int, j: int, rows: torch.Tensor = rows) -> float:
            with torch.no_grad():
                product = float(exact.first(rows[i]) @ exact.last(rows[j])) / math.sqrt(3)
                return product + float(exact.lengths(rows[0])[j - i])

        for i in range(num_tokens):
            for behind in range(width):
                j = i + behind
                if j < num_tokens and ends[window, i] and ends[window, j]:
                    expected = score(i, j) - score(0, 0)
                    assert float(found[window, i, behind]) == pytest.approx(expected, abs=1e-4)
                else:
                    assert float(found[window, i, behind]) == -math.inf


@pytest.mark.parametrize("num_tokens", [8, 9, 11, 12])
def test_scores_are_the_same_in_blocks(num_tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of windows that are longer than a block; so are the gradients."""
    torch.manual_seed(0)
    head = strong(PairHead(6, WIDTH, rank=3))
    states = torch.randn(2, num_tokens, 6)
    found = []
    for block in (pair_head.BLOCK, 4):
        monkeypatch.setattr(pair_head, "BLOCK", block)
        head.zero_grad()
        scores = head(states, torch.ones(2, num_tokens, dtype=torch.bool))
        scores[scores.isfinite()].square().sum().backward()
        found.append((scores.detach(), head.first.weight.grad, head.last.weight.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_first_token_stands_for_no_answer() -> None:
    assert NULL_TOKEN == NO_ANSWER_POSITION


@pytest.mark.parametrize("kind", [PACKED_KINDS[0], PADDED_KINDS[0]])
def test_reader_gives_the_head_each_windows_states_and_context(kind: str) -> None:
    reader, batch = make_reader(kind), make_batch()
    head = reader.pair_head
    assert head is not None
    pairs = scores_of(reader, batch).pairs
    assert pairs is not None
    first = 0
    for row, n in enumerate(LENGTHS):
        tokens = slice(first, first + n)
        alone = packed([{"input_ids": batch["input_ids"][tokens]}])
        with torch.no_grad():
            hidden, segments = reader.hidden_states(
                alone["input_ids"], alone["slots"], alone["shape"], alone["lengths"]
            )
            states = segments.to_rows(hidden, 0.0)[:, :n]
            expected = head(states, batch["num_characters"][tokens].unsqueeze(0) > 0)
        torch.testing.assert_close(pairs[row, :n], expected[0], rtol=1e-4, atol=1e-4)
        assert pairs[row, n:].eq(-math.inf).all()
        first += n


def test_a_new_head_changes_no_score() -> None:
    """So a trained reader that gets one begins with the answers it had."""
    torch.manual_seed(0)
    plain = SpanReader(make_model("bert")).eval()
    torch.manual_seed(0)
    with_head = SpanReader(make_model("bert"), pair_width=WIDTH).eval()
    batch = make_batch()
    before, after = scores_of(plain, batch), scores_of(with_head, batch)
    assert before.pairs is None
    assert torch.equal(before.start_logits, after.start_logits)
    assert torch.equal(before.end_logits, after.end_logits)
    characters = torch.zeros(2, 9, dtype=torch.long)
    for row, own in enumerate(batch["num_characters"].split(LENGTHS)):
        characters[row, : len(own)] = own
    ends = characters.cumsum(1)
    offsets = Offsets(ends - characters, ends, 0)
    spans = [
        best_spans(s.start_logits, s.end_logits, offsets, 9, WIDTH, None, s.pairs)
        for s in (before, after)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*spans, strict=True))


def test_new_head_is_drawn_last_and_only_if_wanted(encoder_dir: Path) -> None:
    """A run without the head must be what it was before there was such a head."""
    found = []
    for width in (0, WIDTH, WIDTH, None):
        torch.manual_seed(7)
        reader = SpanReader.from_pretrained(str(encoder_dir), boundaries=True, pair_width=width)
        found.append((reader.state_dict(), torch.get_rng_state()))
    (plain, state), (with_head, _), (again, _), (default, default_state) = found
    assert {name.partition(".")[0] for name in with_head.keys() - plain.keys()} == {"pair_head"}
    assert all(torch.equal(with_head[name], plain[name]) for name in plain)
    assert all(torch.equal(with_head[name], again[name]) for name in with_head)
    assert default.keys() == plain.keys()  # nothing saved, nothing asked for
    assert torch.equal(state, default_state)


def test_head_is_fp32_under_autocast() -> None:
    reader, batch = make_reader(), make_batch()
    head = reader.pair_head
    assert head is not None
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        pairs = scores_of(reader, batch).pairs
        hidden, segments = reader.hidden_states(
            *(batch[name] for name in ("input_ids", "slots", "shape", "lengths"))
        )
        states = segments.to_rows(hidden, 0.0)
        may_end = segments.to_rows(batch["num_characters"] > 0, False)
    exact = head(states.float(), may_end).detach()
    assert pairs is not None
    assert pairs.dtype == torch.float32
    torch.testing.assert_close(pairs, exact, rtol=0, atol=1e-5)
    finite = exact[exact.isfinite()]
    assert float((finite - finite.bfloat16().float()).abs().max()) > 1e-3  # what bf16 would lose


# Loss


class Labelled:
    """Random scores of windows of different lengths, and an answer in each."""

    def __init__(self, seed: int, width: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.lengths, self.width, num_tokens = [7, 5, 2, 7], width, 8
        self.logits = torch.randn(2, 4, num_tokens, generator=generator) * 3
        self.scores = torch.randn(4, num_tokens, width, generator=generator) * 3
        for row, n in enumerate(self.lengths):
            self.logits[:, row, n:] = -math.inf
            for i in range(num_tokens):
                for behind in range(width):
                    if i == 0 or i + behind >= n:  # the first token is no context
                        self.scores[row, i, behind] = -math.inf
        self.answers = [(0, 0)]
        for n in self.lengths[1:]:
            ends = torch.randint(1, n, (2,), generator=generator).sort().values.tolist()
            self.answers.append((ends[0], ends[1]))

    def loss(self) -> torch.Tensor:
        starts, ends = torch.tensor(self.answers).T
        return pair_loss(self.scores, self.logits[0], self.logits[1], starts, ends)

    def expected(self) -> float:
        """The cross-entropy of each window over a list of its pairs, or ends, in fp64."""
        total = 0.0
        for row, (n, answer) in enumerate(zip(self.lengths, self.answers, strict=True)):
            pairs = [(0, 0)]
            pairs += [(i, j) for i in range(1, n) for j in range(i, min(n, i + self.width))]
            if answer[0] < 0:
                continue
            start, end = self.logits[:, row].double()
            if answer not in pairs:  # too wide
                total -= float(start.log_softmax(0)[answer[0]] + end.log_softmax(0)[answer[1]])
                continue
            values = [start[0] + end[0]]
            values += [start[i] + end[j] + self.scores[row, i, j - i] for i, j in pairs[1:]]
            total -= float(torch.stack(values).log_softmax(0)[pairs.index(answer)])
        return total


@fuzz
@given(
    seed=st.integers(0, 999),
    width=st.integers(1, 9),
    without=st.lists(st.integers(0, 3), max_size=3),
)
def test_loss_is_the_cross_entropy_over_all_pairs(
    seed: int, width: int, without: list[int]
) -> None:
    """Also with answers wider than the head, and with windows that do not count."""
    labelled = Labelled(seed, width)
    for row in without:
        labelled.answers[row] = (IGNORE_POSITION, IGNORE_POSITION)
    assert float(labelled.loss()) == pytest.approx(labelled.expected(), rel=1e-5, abs=1e-5)


def test_gradients_are_finite_and_reach_no_impossible_pair() -> None:
    labelled = Labelled(3, 4)
    labelled.logits.requires_grad_()
    labelled.scores.requires_grad_()
    labelled.loss().backward()
    gradients = labelled.logits.grad, labelled.scores.grad
    for gradient in gradients:
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.any()
    assert labelled.scores.grad is not None
    assert not labelled.scores.grad[labelled.scores.isinf()].any()


def test_too_wide_an_answer_costs_what_its_ends_do() -> None:
    labelled = Labelled(6, 2)
    labelled.answers = [(2, 5), (1, 4), (IGNORE_POSITION, IGNORE_POSITION), (1, 6)]
    starts, ends = torch.tensor(labelled.answers).T
    batch = {"start_positions": starts, "end_positions": ends}
    scores = SpanScores(labelled.logits[0], labelled.logits[1], None, labelled.scores)
    apart = window_loss(scores._replace(pairs=None), batch)
    assert float(window_loss(scores, batch)) == pytest.approx(float(apart), rel=1e-6)


def test_windows_loss_is_the_mean_of_the_ends_and_of_the_pair() -> None:
    labelled = Labelled(5, 8)
    starts, ends = torch.tensor(labelled.answers).T
    batch = {"start_positions": starts, "end_positions": ends}
    logits = labelled.logits[0], labelled.logits[1]
    scores = SpanScores(*logits, None, labelled.scores)
    of_ends = float(span_loss(*logits, starts, ends))
    expected = (of_ends + labelled.expected() / 2) / 2
    assert float(window_loss(scores, batch)) == pytest.approx(expected, rel=1e-5)
    assert float(window_loss(scores._replace(pairs=None), batch)) == pytest.approx(of_ends)


def test_the_head_learns_what_the_ends_alone_cannot_say() -> None:
    """Two of four pairs are right, (2, 3) and (5, 6): scored apart, (2, 6) is as likely as they.

    The encoder is left as it is; each head of the two readers learns alone.
    """
    right, crossed = [], []
    for width in (0, WIDTH):
        torch.manual_seed(0)
        reader = SpanReader(make_model("bert"), pair_width=width).eval()
        heads = [p for n, p in reader.named_parameters() if "qa_outputs" in n or "pair_head" in n]
        optimizer = torch.optim.AdamW(heads, lr=0.05)
        batch = {**packed(make_windows([9])), "num_characters": torch.ones(9, dtype=torch.long)}
        for _ in range(60):
            optimizer.zero_grad()
            scores = reader(**batch)
            losses = [
                window_loss(
                    scores,
                    {"start_positions": torch.tensor([i]), "end_positions": torch.tensor([j])},
                )
                for i, j in ((2, 3), (5, 6))
            ]
            torch.stack(losses).sum().backward()
            optimizer.step()
        found = scores_of(reader, batch)

        def score(i: int, j: int, found: SpanScores = found) -> float:
            extra = 0.0 if found.pairs is None else float(found.pairs[0, i, j - i])
            return float(found.start_logits[0, i] + found.end_logits[0, j]) + extra

        right.append(min(score(2, 3), score(5, 6)))
        crossed.append(score(2, 6))
    assert right[0] == pytest.approx(crossed[0], abs=0.5)
    assert right[1] > crossed[1] + 2


# Its file


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The directory of a reader with a head."""
    make_reader().save_pretrained(tmp_path / "reader")
    return tmp_path / "reader"


@pytest.mark.parametrize("width", [None, 1, WIDTH])
def test_head_is_saved_and_loaded_with_its_own_width(width: int | None, saved: Path) -> None:
    reader = SpanReader.from_pretrained(str(saved), pair_width=width, require_head=True).eval()
    assert reader.new_weights == []
    expected, found = scores_of(make_reader(), make_batch()), scores_of(reader, make_batch())
    assert expected.pairs is not None
    assert found.pairs is not None
    assert torch.equal(found.pairs, expected.pairs)
    assert torch.equal(found.start_logits, expected.start_logits)


def test_a_saved_head_widens_to_longer_answers(saved: Path, tmp_path: Path) -> None:
    """Their number of tokens counts as the widest that was learned; other scores stay."""
    reader = SpanReader.from_pretrained(str(saved), pair_width=WIDTH + 2).eval()
    narrow, wide = (scores_of(r, make_batch()).pairs for r in (make_reader(), reader))
    assert narrow is not None
    assert wide is not None
    assert wide.shape == (*narrow.shape[:2], WIDTH + 2)
    torch.testing.assert_close(wide[:, :, :WIDTH], narrow, rtol=0, atol=1e-5)
    assert wide[0, 2, WIDTH:].isfinite().any()
    head = reader.pair_head
    assert head is not None
    states = torch.ones(1, WIDTH + 2, 16)  # all alike, so that lengths alone differ
    with torch.no_grad():
        scores = head(states, torch.ones(1, WIDTH + 2, dtype=torch.bool))[0, 0]
    torch.testing.assert_close(scores[WIDTH:], scores[[WIDTH - 1, WIDTH - 1]], rtol=0, atol=1e-5)
    assert scores[WIDTH - 2] != scores[WIDTH - 1]
    reader.save_pretrained(tmp_path / "wide")
    again = SpanReader.from_pretrained(str(tmp_path / "wide")).pair_head
    assert again is not None
    assert again.width == WIDTH + 2


def test_transformers_loads_the_directory_as_if_there_were_no_head(saved: Path) -> None:
    from transformers import AutoModelForQuestionAnswering

    model, loading = AutoModelForQuestionAnswering.from_pretrained(saved, output_loading_info=True)
    assert not any(loading.values())
    with torch.no_grad():
        windows = make_windows(LENGTHS)
        theirs, ours = (tiny_models.logits_of(m, windows) for m in (model.eval(), make_reader()))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_file_holds_the_weights_of_the_head_alone(saved: Path) -> None:
    head = make_reader().pair_head
    assert head is not None
    weights = load_file(saved / PAIR_FILE)
    state = head.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[name], w) for name, w in state.items())


@pytest.mark.parametrize("content", [b"no matter what", b""])
def test_a_damaged_file_is_named_with_what_to_do(content: bytes, saved: Path) -> None:
    (saved / PAIR_FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"pair_head\.safetensors: cannot .* both ends .* apart$"):
        SpanReader.from_pretrained(str(saved))
    without = SpanReader.from_pretrained(str(saved), pair_width=0)
    assert without.pair_head is None
    (saved / PAIR_FILE).unlink()
    assert SpanReader.from_pretrained(str(saved)).pair_head is None


def test_a_head_of_another_model_is_refused(saved: Path, tmp_path: Path) -> None:
    strange = SpanReader(make_model("bert"))
    strange.pair_head = PairHead(8, WIDTH)
    strange.save_pretrained(tmp_path / "strange")
    (tmp_path / "strange" / PAIR_FILE).replace(saved / PAIR_FILE)
    with pytest.raises(UserError, match="cannot be loaded as this model's pair head"):
        SpanReader.from_pretrained(str(saved))


def test_a_reader_without_the_head_removes_the_file_of_one_saved_there(saved: Path) -> None:
    SpanReader(make_model("bert")).save_pretrained(saved)
    assert not (saved / PAIR_FILE).exists()


def test_new_weights_are_those_that_were_not_saved(saved: Path) -> None:
    """The names are how the optimizer is told to give them a rate of their own."""
    assert SpanReader.from_pretrained(str(saved)).new_weights == []
    (saved / PAIR_FILE).unlink()
    reader = SpanReader.from_pretrained(str(saved), pair_width=3)
    assert reader.new_weights == ["pair_head."]
    assert reader.pair_head is not None
    assert reader.pair_head.width == 3


def test_a_generative_reader_leaves_the_head_of_its_span_reader_behind(saved: Path) -> None:
    reader = GenerativeReader.from_pretrained(str(saved))
    assert reader.reader.pair_head is None
