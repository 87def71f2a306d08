"""Masks over places against searching the windows token by token."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.models.generative.places import context_places, end_places, first_of_each_id

ids = st.lists(st.integers(0, 3), min_size=1, max_size=9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(window=ids, text=st.lists(st.integers(-1, 3), max_size=5), data=st.data())
def test_end_places_are_where_each_prefix_ends(
    window: list[int], text: list[int], data: st.DataObject
) -> None:
    allowed = data.draw(st.lists(st.booleans(), min_size=len(window), max_size=len(window)))
    found = end_places(
        torch.tensor([text], dtype=torch.long), torch.tensor([window]), torch.tensor([allowed])
    )
    expected = [
        [
            window[max(0, end - n + 1) : end + 1] == text[:n]
            and all(allowed[end - n + 1 : end + 1])
            for end in range(len(window))
        ]
        for n in range(1, len(text) + 1)
    ]
    assert found[0].tolist() == expected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(window=ids, data=st.data())
def test_first_of_each_id_are_the_first_that_are_allowed(
    window: list[int], data: st.DataObject
) -> None:
    allowed = data.draw(st.lists(st.booleans(), min_size=len(window), max_size=len(window)))
    found = first_of_each_id(torch.tensor([[allowed]]), torch.tensor([window]))
    seen = [i for i, token in enumerate(window) if allowed[i]]
    expected = {
        token: next(i for i in seen if window[i] == token) for token in {window[i] for i in seen}
    }
    assert found[0, 0].nonzero().flatten().tolist() == sorted(expected.values())


def test_blank_tokens_between_others_are_context_too() -> None:
    num_characters = torch.tensor([[0, 0, 2, 0, 1, 0], [0, 0, 0, 0, 0, 0]])
    expected = [[False, False, True, True, True, False], [False] * 6]
    assert context_places(num_characters).tolist() == expected
