"""What a data set and a tokenizer allow, in numbers: lengths, recurring answers, ceilings, windows.

A ceiling is the mean score of the best answers that can be cut from the contexts, by whole tokens
or by characters; no model of that kind scores higher.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.label import bare_span, label_spans
from qa.data.windows.options import WindowOptions, check_options
from qa.data.windows.template import make_template
from qa.metrics import korquad_exact_match, korquad_f1

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ENDLESS = 2**30
WHOLE = WindowOptions(max_seq_length=2 * ENDLESS, window_overlap=0, max_question_length=ENDLESS)
"""One window that holds the whole question and the whole context."""


def profile_texts(examples: list[Example]) -> dict[str, Any]:
    """Return counts, lengths in characters, and the ceiling of answers cut by characters."""
    contexts = list({example.context: None for example in examples})
    answered = [example for example in examples if example.answers]
    pairs = Counter((example.question, example.context) for example in examples)
    recur = sum(e.context.count(e.answers[0]) > 1 for e in answered)
    cut = [
        best_scores([e.context[start:end] for start, end in answer_spans(e)], e.gold_answers)
        for e in answered
    ]
    return {
        "questions": len(examples),
        "questions_without_answer": len(examples) - len(answered),
        "articles": len({example.title or example.context for example in examples}),
        "contexts": len(contexts),
        "repeated_questions": sum(pairs.values()) - len(pairs),
        "recurring_answers": recur,
        "recurring_answers_percent": percent(recur, len(answered)),
        "characters": {
            "context": lengths([len(context) for context in contexts]),
            "question": lengths([len(example.question) for example in examples]),
            "answer": lengths([len(text) for e in answered for text in e.answers]),
        },
        "ceiling_by_characters": mean_scores(cut),
    }


def profile_tokens(
    examples: list[Example], tokenizer: PreTrainedTokenizerFast, options: WindowOptions
) -> dict[str, Any]:
    """Return lengths in tokens, the ceiling of whole tokens, and what `count_windows` counts.

    Raises UserError if the options do not fit the tokenizer, or qa cannot use the tokenizer.
    """
    check_options(options, tokenizer)
    special = make_template(tokenizer).num_special
    context_lengths: dict[str, int] = {}
    question_lengths, answer_lengths, cut = [], [], []
    for window in iterate_windows(examples, tokenizer, WHOLE):
        example = examples[window["example_index"]]
        starts, ends = window["offset_starts"], window["offset_ends"]  # -1 outside the context
        num_tokens = int((starts >= 0).sum())
        context_lengths[example.context] = num_tokens
        question_lengths.append(window["length"] - special - num_tokens)
        if not example.answers:
            continue
        spans = np.array(answer_spans(example))
        count = np.full(len(spans), window["length"])  # each answer is looked for in all tokens
        labels = label_spans(starts, ends, np.zeros_like(count), count, spans)
        labels = labels[labels[:, 0] >= 0]
        answer_lengths += (labels[:, 1] - labels[:, 0] + 1).tolist()
        texts = [example.context[starts[i] : ends[j]] for i, j in labels]
        cut.append(best_scores(texts, example.gold_answers))
    return {
        "tokens": {
            "context": lengths(list(context_lengths.values())),
            "question": lengths(question_lengths),
            "answer": lengths(answer_lengths),
        },
        "ceiling_by_tokens": mean_scores(cut),
        "windows": count_windows(examples, tokenizer, options),
    }


def count_windows(
    examples: list[Example], tokenizer: PreTrainedTokenizerFast, options: WindowOptions
) -> dict[str, Any]:
    """Count the windows that training would see, and the answers and questions that they miss."""
    number = with_answer = full = 0
    reached, too_long = set(), set()
    for window in iterate_windows(examples, tokenizer, options):
        number += 1
        with_answer += bool(window["has_answer"])
        full += window["length"] == options.max_seq_length
        if window["has_answer"]:
            reached.add(window["example_index"])
        if window["question_was_cut"]:
            too_long.add(window["example_index"])
    lost = [e.id for i, e in enumerate(examples) if e.answers and i not in reached]
    return {
        "max_seq_length": options.max_seq_length,
        "window_overlap": options.window_overlap,
        "max_question_length": options.max_question_length,
        "number": number,
        "with_answer": with_answer,
        "with_answer_percent": percent(with_answer, number),
        "full": int(full),
        "full_percent": percent(int(full), number),
        "answers_in_no_window": len(lost),
        "ids_of_answers_in_no_window": lost,
        "questions_too_long": len(too_long),
        "ids_of_questions_too_long": [examples[i].id for i in sorted(too_long)],
    }


def answer_spans(example: Example) -> list[tuple[int, int]]:
    """Return the (start, end) characters of each answer, without its outer blanks."""
    return [
        bare_span(*answer) for answer in zip(example.answers, example.answer_starts, strict=True)
    ]


def best_scores(texts: Sequence[str], golds: Sequence[str]) -> tuple[float, float]:
    """Return the best KorQuAD 1.0 exact match and the best F1, 0 to 1, of any of these texts."""
    pairs = [(text, gold) for text in texts for gold in golds]
    return (
        max((korquad_exact_match(*pair) for pair in pairs), default=0.0),
        max((korquad_f1(*pair) for pair in pairs), default=0.0),
    )


def mean_scores(scores: list[tuple[float, float]]) -> dict[str, float] | None:
    """Return the means as {"exact_match": percent, "f1": percent}; None for no questions."""
    if not scores:
        return None
    exact_match, f1 = 100 * np.mean(scores, axis=0)
    return {"exact_match": float(exact_match), "f1": float(f1)}


def lengths(values: list[int]) -> dict[str, float] | None:
    """Return mean, median, 95th percentile and maximum; None for no values."""
    if not values:
        return None
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "max": float(max(values)),
    }


def percent(part: int, whole: int) -> float | None:
    """Return a share in percent; None if `whole` is 0."""
    return 100 * part / whole if whole else None
