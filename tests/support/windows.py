"""Random questions and contexts, and random ways to cut them into windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from qa.data.examples import Example
from qa.data.windows.options import WindowOptions
from qa.data.windows.template import make_template

PIECES = [
    *["강나루", "푸른골에서", "1921년", "년", "은", "다리이다", ".", "《먼 불빛》", "화가"],
    *["\u1100\u1161\u11a8", "\u1112\u1161\u11ab\u1100\u1173\u11af"],  # jamo of 각, 한글
    *["大韓民國", "金", "\uf90a"],  # Hanja, the last a compatibility ideograph
    *["😀", "👨\u200d👩\u200d👧", "👍🏽", "🇰🇷", "❤\ufe0f"],
    *["e\u0301", "a\u0308\u0301", "\u0301", "ﬁ", "㎏", "½", "①"],
    *[" ", "  ", "\u3000", "\u00a0", "\t", "\n", "\r\n", "\u2028", "\u200b", "\ufeff"],
    *["Fox", "THE", "İ", "2024", "7", "3.14", "-", "(", ")", "'", "’", "\x00", "\x07"],
]
texts = st.lists(
    st.one_of(st.sampled_from(PIECES), st.characters(exclude_categories=["Cs"])), max_size=25
).map("".join)
fuzz = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@dataclass
class Case:
    """An example, and how its context is to be cut."""

    example: Example
    capacity: int  # tokens of context in a window, if the question is as long as it may be
    overlap: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A question, a context with a piece of it as answer, and a way to cut it."""
    question = draw(texts.filter(lambda text: bool(text.strip()))).strip()
    context = draw(texts.filter(lambda text: bool(text.strip())))
    start = draw(st.integers(0, len(context) - 1))
    end = draw(st.integers(start + 1, min(len(context), start + 8)))
    capacity = draw(st.integers(1, 14))
    overlap = draw(st.integers(0, capacity - 1))
    example = Example("0", question, context, (context[start:end],), (start,))
    return Case(example, capacity, overlap)


def question_tokens(tokenizer: Any, example: Example) -> int:
    """Tokens of the whole question."""
    return len(tokenizer(example.question, add_special_tokens=False)["input_ids"])


def options_for(tokenizer: Any, case: Case) -> WindowOptions:
    """Options that give the case exactly its capacity."""
    length = question_tokens(tokenizer, case.example)
    special = make_template(tokenizer).num_special
    return WindowOptions(case.capacity + length + special, case.overlap, max(1, length))
