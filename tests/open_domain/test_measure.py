"""What an evaluation on a collection counts, and what it fits."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.articles import article_examples
from support.collection import WordSearch, article_passages

from qa.answering.reader import Reader
from qa.data.examples import Example
from qa.data.holdout import every_other_context
from qa.metrics import score_question
from qa.open_domain import fit
from qa.open_domain.figures import Figures, lines
from qa.open_domain.fit import FEWEST, WEIGHTS, Fitted, fit_threshold, fit_weight, halves
from qa.open_domain.measure import Measured, is_right_passage, measure
from qa.open_domain.reader import OpenReader
from qa.retrieval.passage import Passage

pytestmark = pytest.mark.usefixtures("one_thread")

fuzz = settings(max_examples=40, deadline=None)
EXAMPLES = article_examples()


def test_what_is_measured_is_what_is_answered(tiny_reader: Reader) -> None:
    """Under every weight, as `OpenReader` answers it; two articles are not in the collection."""
    held = [p for p in article_passages() if p.title not in ("솔뫼산", "윤가람")]
    found = measure(
        tiny_reader, WordSearch(held), EXAMPLES, 3, "korquad1", tiny_reader.coverage(), nfc=False
    )
    for weight in (0.0, 0.5, 3.0):
        chosen = found.choose(weight)
        reader = OpenReader(tiny_reader, WordSearch(held), k=3, weight=weight)
        answers = reader.answer_many([e.question for e in EXAMPLES])
        for row, (example, best) in enumerate(zip(EXAMPLES, answers, strict=True)):
            if not best:  # the search finds nothing
                assert (chosen.texts[row], chosen.odds[row]) == ("", np.inf)
                continue
            (answer,) = best
            assert chosen.texts[row] == answer.text
            assert -chosen.odds[row] == pytest.approx(answer.score, abs=1e-3)
            expected = score_question("korquad1", answer.text, example.gold_answers)
            assert tuple(chosen.values[row]) == expected
            passage = Passage(answer.document, answer.title, 0, answer.passage)
            assert chosen.is_from_right[row] == is_right_passage(passage, example)


def test_ranks_and_what_the_collection_holds(tiny_reader: Reader) -> None:
    passages = article_passages()
    held = [p for p in passages if p.title not in ("솔뫼산", "윤가람")]
    found = measure(
        tiny_reader, WordSearch(held), EXAMPLES, 2, "korquad1", tiny_reader.coverage(), nfc=False
    )
    assert found.is_held.tolist() == [e.title not in ("솔뫼산", "윤가람") for e in EXAMPLES]
    ranks = []
    for example in EXAMPLES:
        hits = WordSearch(held).search(example.question, len(held))
        right = [
            n
            for n, hit in enumerate(hits, 1)
            if hit.passage.title == example.title and example.answers[0] in hit.passage.text
        ]
        ranks.append(right[0] if right else np.inf)
    assert found.ranks.tolist() == ranks
    assert len(set(ranks)) > 2
    for depth in (1, 5):
        share = [
            rank <= depth for rank, is_held in zip(ranks, found.is_held, strict=True) if is_held
        ]
        assert found.recall(depth) == pytest.approx(100 * sum(share) / len(share))


def test_decomposed_documents_score_as_composed_ones(tiny_reader: Reader) -> None:
    """If the gold answers are composed, as --nfc does it."""
    composed = article_passages()
    decomposed = [replace(p, text=unicodedata.normalize("NFD", p.text)) for p in composed]
    plain, other = (
        measure(
            tiny_reader, WordSearch(each), EXAMPLES, 2, "korquad1", tiny_reader.coverage(), nfc=True
        )
        for each in (composed, decomposed)
    )
    assert other.is_held.all()
    assert other.texts == plain.texts
    for name in ("ranks", "is_right", "values"):
        assert (getattr(other, name) == getattr(plain, name)).all()


CONTEXT = "강나루는 1921년에 태어났다. 그는 한여울로 이사했다."
HERE = Example("1", "언제?", CONTEXT, ("1921년",), (5,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CONTEXT, True),
        (f"\n {CONTEXT} ", True),
        (unicodedata.normalize("NFD", CONTEXT), True),
        (f"앞 문단. {CONTEXT} 뒤 문단.", True),
        (CONTEXT[:17], True),  # the piece that holds the answer
        (CONTEXT[17:], False),  # the other
        ("다른 강나루도 1921년에 태어났다.", False),  # answers it, but is another paragraph
    ],
)
def test_what_a_right_passage_is(text: str, expected: bool) -> None:
    assert is_right_passage(Passage("a", "", 0, text), HERE) is expected
    # Without a gold answer any piece of the paragraph is right.
    unanswered = Example("1", "언제?", CONTEXT)
    assert is_right_passage(Passage("a", "", 0, text), unanswered) is ("다른" not in text)


@st.composite
def measured(draw: st.DrawFn) -> Measured:
    """Figures of a few questions to three passages."""
    num = draw(st.integers(2, 8))
    numbers = st.integers(-40, 40).map(lambda n: n / 4)
    scores = draw(arrays.arrays(np.float64, (num, 3), elements=numbers))
    gaps = -np.abs(draw(arrays.arrays(np.float64, (num, 3), elements=numbers)))
    values = draw(arrays.arrays(np.float64, (num, 3, 2), elements=st.sampled_from([0.0, 0.5, 1.0])))
    booleans = arrays.arrays(np.bool_, (num, 3))
    return Measured(
        ranks=np.full(num, 1.0),
        is_held=np.ones(num, dtype=bool),
        scores=scores,
        gaps=gaps,
        is_right=draw(booleans),
        values=values,
        texts=[[f"{row}{column}" for column in range(3)] for row in range(num)],
    )


def one_by_one(found: Measured, weight: float, row: int) -> int:
    """The passage whose candidate is answered."""
    scores = [found.scores[row, i] + weight * found.gaps[row, i] for i in range(3)]
    return scores.index(max(scores))


@fuzz
@given(measured(), st.data())
def test_no_weight_is_better(found: Measured, data: st.DataObject) -> None:
    num = len(found.ranks)
    part = np.array(data.draw(st.lists(st.booleans(), min_size=num, max_size=num)))

    def total(weight: float) -> float:
        rows = [row for row in range(num) if part[row]]
        return float(sum(found.values[row, one_by_one(found, weight, row)].sum() for row in rows))

    weight = fit_weight(found, part)
    assert total(weight) == max(map(total, WEIGHTS))
    assert all(
        abs(other - 0.5) >= abs(weight - 0.5) for other in WEIGHTS if total(other) == total(weight)
    )


@fuzz
@given(measured(), st.data())
def test_the_figures_are_those_counted_one_by_one(found: Measured, data: st.DataObject) -> None:
    """Each question under its own weight and threshold."""
    num = len(found.ranks)
    answerable = np.array(data.draw(st.lists(st.booleans(), min_size=num, max_size=num)))
    weights = data.draw(st.lists(st.sampled_from(WEIGHTS), min_size=num, max_size=num))
    limits = data.draw(
        st.lists(st.sampled_from([-5.0, 0.0, 5.0, np.inf]), min_size=num, max_size=num)
    )
    fitted = Fitted(np.array(weights), np.array(limits), 0.5, 0.0)
    figures = Figures(found, np.zeros((num, 2)), answerable, fitted)
    content = figures.content()
    picked = [one_by_one(found, weight, row) for row, weight in enumerate(weights)]
    rows = [row for row in range(num) if answerable[row]]
    if rows:
        exact = [found.values[row, picked[row], 0] for row in rows]
        assert content["weighted"]["exact_match"] == pytest.approx(100 * np.mean(exact))
        right = [found.is_right[row, picked[row]] for row in rows]
        assert content["weighted"]["from_right_passage"] == pytest.approx(100 * np.mean(right))
    odds = [
        -(found.scores[row, i] + weights[row] * found.gaps[row, i]) for row, i in enumerate(picked)
    ]
    assert figures.predictions == [
        f"{row}{i}" if odds[row] <= limits[row] else "" for row, i in enumerate(picked)
    ]
    others = [odds[row] <= limits[row] for row in range(num) if not answerable[row]]
    under = content.get("under_threshold")
    assert (under is None) == (np.inf in limits)  # then one half had nothing to fit it on
    if under is not None:
        assert under["unanswerable"] == len(others)
    if under is not None and others:
        assert under["unanswerable_answered"] == pytest.approx(100 * np.mean(others))
    whole = [found.values[row, i, 0] * answerable[row] for row, i in enumerate(picked)]
    assert content["surest"][-1] == {
        "answered": 100,
        "exact_match": pytest.approx(100 * np.mean(whole)),
    }
    told = [line for line in lines(content, 3, is_fitted=True) if "threshold on null odds" in line]
    assert len(told) == 1
    assert ("not judged" in told[0]) == (under is None)


def test_each_half_is_judged_by_what_the_other_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one half the search is always right, in the other never."""
    monkeypatch.setattr(fit, "FEWEST", 2)
    examples = [Example(f"{i}", "?", f"글 {i}", ("가",), (0,)) for i in range(8)]
    first = np.arange(8) % 2 == 0
    assert first.tolist() == every_other_context(examples)
    values = np.zeros((8, 2, 2))
    values[first, 0] = values[~first, 1] = 1.0  # the search puts passage 0 first
    found = Measured(
        ranks=np.ones(8),
        is_held=np.ones(8, dtype=bool),
        scores=np.array([[1.0, 2.0]] * 8),
        gaps=np.array([[0.0, -4.0]] * 8),
        is_right=values[:, :, 0] == 1.0,
        values=values,
        texts=[["가", "나"]] * 8,
    )
    answerable = np.ones(8, dtype=bool)
    fitted = fit.fit(found, examples, answerable)
    assert fitted is not None
    weights = {half: fit_weight(found, part) for half, part in ((True, first), (False, ~first))}
    assert weights[False] < weights[True]
    assert fitted.weights.tolist() == [weights[not each] for each in first]
    assert fitted.weight == fit_weight(found, answerable)
    assert fitted.threshold is None
    assert np.isinf(fitted.thresholds).all()
    content = Figures(found, np.ones((8, 2)), answerable, fitted).content()
    assert content["weighted"]["exact_match"] == 0.0  # what one half fits is wrong for the other
    answerable[:2] = False  # one in each half
    fitted = fit.fit(found, examples, answerable)
    assert fitted is not None
    for half in (first, ~first):
        expected = fit_threshold(found, float(fitted.weights[half][0]), answerable, ~half)
        assert fitted.thresholds[half].tolist() == [expected] * 4


def test_nothing_found_is_no_answer() -> None:
    """A question of which the search finds nothing: none, under any threshold."""
    found = Measured(
        ranks=np.array([np.inf, 1.0]),
        is_held=np.array([False, True]),
        scores=np.array([[-np.inf], [1.0]]),
        gaps=np.zeros((2, 1)),
        is_right=np.array([[False], [True]]),
        values=np.array([[[0.0, 0.0]], [[1.0, 1.0]]]),
        texts=[[""], ["가"]],
    )
    answerable = np.array([False, True])
    threshold = fit_threshold(found, 0.5, answerable, np.ones(2, dtype=bool))
    assert threshold == -1.0
    fitted = Fitted(np.full(2, 0.5), np.full(2, threshold), 0.5, threshold)
    figures = Figures(found, np.ones((2, 2)), answerable, fitted)
    assert figures.predictions == ["", "가"]


def test_halves_share_no_context_and_are_large_enough() -> None:
    examples = [Example(f"{i}", "?", f"글 {i // 3}") for i in range(2 * 3 * FEWEST)]
    every = np.ones(len(examples), dtype=bool)
    split = halves(examples, every)
    assert split is not None
    fits, shows = (
        {e.context for e, each in zip(examples, part, strict=True) if each} for part in split
    )
    assert not fits & shows
    assert len(fits) == len(shows) == FEWEST
    assert halves(examples[: FEWEST + 2], every[: FEWEST + 2]) is None
    assert halves(examples, every & (np.arange(len(examples)) < FEWEST)) is None
    repeated: list[Any] = [examples[0], examples[3], examples[1]]
    assert every_other_context(repeated) == [True, False, True]
