"""What a decoder writes, against every answer computed the slow way: all at once, without cache."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_models import VOCAB_SIZE
from support.writing import (
    QUESTION,
    Window,
    make_reader,
    make_window,
    next_log_probs,
    read,
    scores,
)

from qa.models.generative.free import FreeAnswers, write_freely
from qa.models.generative.reader import GenerativeReader
from qa.models.generative.search import Candidates, search

pytestmark = [pytest.mark.usefixtures("one_thread")]
# Other shapes of the same products: fp32 rounds at 6e-8, and a sum of logarithms is near 50.
ROUNDING = {"rtol": 1e-4, "atol": 1e-4}
LONGEST = 4
contexts = st.lists(st.integers(8, 12), min_size=1, max_size=7)


@pytest.fixture(scope="module", params=["bert", "roformer", "electra"])
def reader(request: pytest.FixtureRequest) -> GenerativeReader:
    """Packed, padded, and with embeddings narrower than the hidden states."""
    return make_reader(request.param)


@torch.no_grad()
def searched(reader: GenerativeReader, windows: list[Window], beam: int) -> Candidates:
    reading = read(reader, windows)
    places = reading.input_ids, reading.in_context, reading.covers
    return search(reader.writer(reading), *places, 100, LONGEST, beam)


@torch.no_grad()
def written(reader: GenerativeReader, windows: list[Window]) -> FreeAnswers:
    reading = read(reader, windows)
    places = reading.input_ids, reading.in_context, reading.covers
    return write_freely(reader.writer(reading), *places, LONGEST)


@torch.no_grad()
def all_answers(reader: GenerativeReader, window: Window) -> dict[tuple[int, ...], float]:
    """Every piece of the context up to `LONGEST` tokens, and its score."""
    ids = window["input_ids"][QUESTION:].tolist()
    pieces = sorted(
        {
            tuple(ids[start:end])
            for start, end in itertools.combinations(range(len(ids) + 1), 2)
            if end - start <= LONGEST
        }
    )
    return dict(zip(pieces, scores(reader, window, pieces), strict=True))


@torch.no_grad()
def test_probabilities_of_all_that_may_follow_sum_to_one(reader: GenerativeReader) -> None:
    """So each token has its mass once: that of all its places, and that of the vocabulary."""
    window = make_window([8, 9, 8, 10, 9])
    for tokens in ([], [8], [8, 9], [20], [9, 8]):
        total = next_log_probs(reader, window, tokens).double().exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-5)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(ids=contexts, other=contexts)
def test_search_with_room_finds_every_piece(
    reader: GenerativeReader, ids: list[int], other: list[int]
) -> None:
    """Whatever window is beside it, and though keys and values are kept from token to token."""
    found = searched(reader, [make_window(ids), make_window(other)], beam=500)
    expected = all_answers(reader, make_window(ids))
    tokens = make_window(ids)["input_ids"]
    answers = {}
    for score, start, end in zip(*(part[0].tolist() for part in found[:3]), strict=True):
        if score > float("-inf"):
            piece = tuple(tokens[start : end + 1].tolist())
            assert piece not in answers
            answers[piece] = score
    # It stops when what is left is less than 1 % of the best.
    best = max(expected, key=lambda piece: expected[piece])
    assert answers.items() <= {k: pytest.approx(v, abs=1e-3) for k, v in expected.items()}.items()
    assert answers[best] == max(answers.values())
    assert bool(found.is_exact[0])


@settings(max_examples=12, deadline=None, derandomize=True)
@given(ids=contexts, beam=st.integers(1, 3))
def test_what_is_called_exact_is(reader: GenerativeReader, ids: list[int], beam: int) -> None:
    found = searched(reader, [make_window(ids)], beam)
    best = max(all_answers(reader, make_window(ids)).values())
    if bool(found.is_exact[0]):
        assert float(found.scores[0, 0]) == pytest.approx(best, abs=1e-3)
    assert float(found.scores[0, 0]) <= best + 1e-3


@settings(max_examples=3, deadline=None, derandomize=True)
@given(ids=contexts)
def test_free_answers_are_the_likeliest_token_again_and_again(
    reader: GenerativeReader, ids: list[int]
) -> None:
    window = make_window(ids)
    tokens: list[int] = []
    with torch.no_grad():
        while len(tokens) < LONGEST:
            following = next_log_probs(reader, window, tokens)
            if not tokens:  # an answer has one token at least
                following[-1] = float("-inf")
            if int(following.argmax()) == VOCAB_SIZE:
                break
            tokens.append(int(following.argmax()))
        (score,) = scores(reader, window, [tokens])
    found = written(reader, [window, make_window([8, 9])])
    assert [token for token in found.token_ids[0].tolist() if token >= 0] == tokens
    assert float(found.scores[0]) == pytest.approx(score, abs=1e-3)
    start, end = int(found.starts[0]), int(found.ends[0])
    stands = any(ids[i : i + len(tokens)] == tokens for i in range(len(ids)))
    assert (start >= 0) == stands
    if stands:
        assert window["input_ids"][start : end + 1].tolist() == tokens


def test_a_window_without_context_has_no_answer(reader: GenerativeReader) -> None:
    found = searched(reader, [make_window([]), make_window([9])], 8)
    assert bool((found.scores[0] == float("-inf")).all())
    assert float(found.scores[1, 0]) > float("-inf")
