"""What a resumed run must share with its checkpoint."""

from __future__ import annotations

import pytest

from qa.engine.errors import UserError
from qa.training.resume import ADDED_SETTINGS, require_same_run

IDENTITY = {"model": "a1", "learning_rate": 1e-3, "character_boundaries": True}
DEFAULTS: dict[str, object] = {
    "warmup_steps": None,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
}
DEFAULTS |= {"freeze": None, "compile": False, "deterministic": False}
DEFAULTS |= {"reader": "span", "decoder_layers": 2, "span_loss_weight": 0.0, "decoding": None}
DEFAULTS |= {"hard_negatives": False}


def test_the_same_run_goes_on() -> None:
    require_same_run({**IDENTITY, "something of a newer qa": 1}, IDENTITY)


def test_a_difference_is_named_with_both_values() -> None:
    with pytest.raises(UserError, match=r"learning_rate +0\.002 +0\.001"):
        require_same_run({**IDENTITY, "learning_rate": 2e-3}, IDENTITY)


def test_a_checkpoint_without_a_newer_setting_has_its_default() -> None:
    for name in ADDED_SETTINGS:
        require_same_run(IDENTITY, {**IDENTITY, name: DEFAULTS[name]})
        with pytest.raises(UserError, match=rf"{name} +{DEFAULTS[name]} +7"):
            require_same_run(IDENTITY, {**IDENTITY, name: 7})


def test_a_checkpoint_of_before_there_was_a_pair_head_has_none() -> None:
    require_same_run(IDENTITY, {**IDENTITY, "pair_head": False})
    with pytest.raises(UserError, match="pair_head +False +True"):
        require_same_run(IDENTITY, {**IDENTITY, "pair_head": True})


def test_a_checkpoint_of_an_older_qa_is_refused_in_one_line() -> None:
    saved = {k: v for k, v in IDENTITY.items() if k != "character_boundaries"}
    with pytest.raises(UserError, match="older qa") as caught:
        require_same_run(saved, IDENTITY)
    assert "\n" not in str(caught.value)
