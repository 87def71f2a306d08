"""Operations counted against the formula of a transformer."""

from __future__ import annotations

import pytest
import torch
from support.tiny_models import PACKED_KINDS, PADDED_KINDS, make_model

from qa.models.flops import ModelFlops, count_flops
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

HIDDEN, INNER, LAYERS, EMBEDDING = 16, 32, 2, 8  # of `make_model`
LAYER = 4 * HIDDEN**2 + 2 * HIDDEN * INNER  # query, key, value, output; up, down
HEAD = 2 * HIDDEN
# Factorised embeddings are multiplied up to the hidden size.
ENCODERS = {
    "bert": LAYERS * LAYER,
    "roformer": LAYERS * LAYER,
    "albert": LAYERS * LAYER + EMBEDDING * HIDDEN,
    "electra": LAYERS * LAYER + EMBEDDING * HIDDEN,
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_linear_layers_and_attention(kind: str) -> None:
    """The head sees only the windows' own tokens, so a padded batch counts part of it."""
    flops = count_flops(SpanReader(make_model(kind)))
    weights = ENCODERS[kind]
    assert 2 * weights < flops.per_token <= 2 * (weights + HEAD)
    assert flops.per_pair == 4 * HIDDEN * LAYERS


@pytest.mark.parametrize("kind", [*PACKED_KINDS, *PADDED_KINDS])
def test_every_kind_of_encoder_can_be_counted(kind: str) -> None:
    """DeBERTa multiplies the embeddings of distances too."""
    flops = count_flops(SpanReader(make_model(kind)))
    assert flops.per_token >= 2 * LAYERS * LAYER
    assert flops.per_pair >= 4 * HIDDEN * LAYERS


def test_shared_layers_are_counted_each_time() -> None:
    """ALBERT has one layer's weights and uses them twice."""
    model = make_model("albert")
    own = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    assert count_flops(SpanReader(model)).per_token > 2 * own


def test_boundary_head_is_counted() -> None:
    torch.manual_seed(0)
    with_head = count_flops(SpanReader(make_model("bert"), boundaries=True))
    without = count_flops(SpanReader(make_model("bert")))
    assert with_head.per_token > without.per_token
    assert with_head.per_pair == without.per_pair


def test_pair_head_is_counted() -> None:
    """Two layers for each token, one for each window, a product for each pair of tokens."""
    with_head = count_flops(SpanReader(make_model("bert"), pair_width=5))
    without = count_flops(SpanReader(make_model("bert")))
    assert with_head.per_token > without.per_token
    assert with_head.per_pair > without.per_pair


def test_counting_leaves_the_reader_as_it_was() -> None:
    reader = SpanReader(make_model("bert")).train()
    reader.model.bert.embeddings.eval()
    modes = [each.training for each in reader.modules()]
    before = {name: weight.clone() for name, weight in reader.state_dict().items()}
    state = torch.get_rng_state()
    assert count_flops(reader) == count_flops(reader)
    assert torch.equal(torch.get_rng_state(), state)
    assert [each.training for each in reader.modules()] == modes
    for name, weight in reader.state_dict().items():
        assert torch.equal(weight, before[name])


def test_training_is_forward_and_twice_as_much_backward() -> None:
    assert ModelFlops(10.0, 3.0).training(7, 20) == 3 * (10 * 7 + 3 * 20)
    assert ModelFlops(10.0, 3.0).training(0, 0) == 0
