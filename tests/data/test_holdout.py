"""Holding out whole articles."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.articles import KORQUAD_FILE

from qa.data.examples import Example
from qa.data.formats import read_examples
from qa.data.holdout import split_holdout
from qa.engine.errors import UserError


def make_examples(articles: list[str], *, by_title: bool) -> list[Example]:
    """One question for each entry; equal entries are of one article, in different paragraphs."""
    return [
        Example(
            str(i), "누구?", f"{name} {i}" if by_title else name, title=name if by_title else ""
        )
        for i, name in enumerate(articles)
    ]


@pytest.mark.parametrize("by_title", [True, False])
def test_every_fifth_article_starting_with_the_first(by_title: bool) -> None:
    names = [name for name in "abcdefghijkl" for _ in range(2)]
    training, held_out = split_holdout(make_examples(names, by_title=by_title), 0.2)
    assert [names[int(example.id)] for example in held_out] == list("aaffkk")
    assert [names[int(example.id)] for example in training] == list("bbccddeegghhiijjll")


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        *[(0.5, "acegi"), (0.45, "acegi"), (0.4, "acfh"), (0.34, "acfi"), (0.33, "adgj")],
        *[(0.3, "adg"), (0.25, "aei"), (0.15, "ag"), (0.1, "a"), (1e-9, "a")],
    ],
)
def test_other_shares(fraction: float, expected: str) -> None:
    names = list("abcdefghij")
    _, held_out = split_holdout(make_examples(names, by_title=True), fraction)
    assert "".join(names[int(example.id)] for example in held_out) == expected


@pytest.mark.parametrize("every", [2, 4, 5, 10, 20, 25, 50, 100, 1000])
def test_a_share_of_one_in_k_holds_out_every_kth(every: int) -> None:
    names = [str(i) for i in range(2500)]
    _, held_out = split_holdout(make_examples(names, by_title=True), 1 / every)
    assert [int(e.id) for e in held_out] == list(range(0, 2500, every))


@given(number=st.integers(1, 400), thousandths=st.integers(1, 500), by_title=st.booleans())
@settings(deadline=None, derandomize=True)
def test_share_held_out_is_exact(number: int, thousandths: int, by_title: bool) -> None:
    examples = make_examples([str(i) for i in range(number)], by_title=by_title)
    fraction = thousandths / 1000
    training, held_out = split_holdout(examples, fraction)
    assert len(held_out) == -(-number * thousandths // 1000)  # rounded up, in whole numbers
    assert held_out[0] is examples[0]
    assert len(training) + len(held_out) == number
    assert split_holdout(examples, fraction) == (training, held_out)


def test_article_whose_questions_are_not_together() -> None:
    names = list("abcdefaf")
    training, held_out = split_holdout(make_examples(names, by_title=True), 0.2)
    assert [names[int(example.id)] for example in held_out] == ["a", "f", "a", "f"]
    assert len(training) == 4


@given(
    names=st.lists(st.sampled_from("abcdefghijkl"), max_size=40),
    fraction=st.sampled_from([0.05, 0.1, 0.2, 0.34, 0.45, 0.5]),
    by_title=st.booleans(),
)
@settings(deadline=None, derandomize=True)
def test_nothing_is_lost_or_on_both_sides(
    names: list[str], fraction: float, by_title: bool
) -> None:
    examples = make_examples(names, by_title=by_title)
    training, held_out = split_holdout(examples, fraction)
    assert sorted(int(e.id) for e in (*training, *held_out)) == list(range(len(names)))
    assert not {e.context for e in training} & {e.context for e in held_out}
    assert not {names[int(e.id)] for e in training} & {names[int(e.id)] for e in held_out}
    assert (training, held_out) == split_holdout(examples, fraction)


def test_one_context_under_two_titles_stays_on_one_side() -> None:
    """No context is on both sides, whatever the titles."""
    examples = [Example(t, "누구?", "같은 글" if t in "ab" else t, title=t) for t in "abc"]
    training, held_out = split_holdout(examples, 0.5)
    assert not {e.context for e in training} & {e.context for e in held_out}


@pytest.mark.parametrize("fraction", [0, -0.2, 0.51, 1, float("nan")])
def test_share_out_of_range(fraction: float) -> None:
    with pytest.raises(UserError, match="holdout must be above 0 and at most 0.5"):
        split_holdout([], fraction)


@pytest.mark.korquad
def test_split_of_korquad() -> None:
    training, held_out = split_holdout(read_examples(str(KORQUAD_FILE)), 0.2)
    assert (len({e.title for e in training}), len({e.title for e in held_out})) == (112, 28)
    assert (len(training), len(held_out)) == (4487, 1287)
    assert not {e.context for e in training} & {e.context for e in held_out}
