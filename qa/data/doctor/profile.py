"""What a data set and a tokenizer allow, in numbers: lengths, recurring answers, ceilings, windows.

A ceiling is the mean of the best scores that decoding can give, by whole tokens or by characters;
`qa.data.doctor.ceiling` says which spans those are.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.data.doctor.ceiling import Decoding, ceiling
from qa.data.examples import Example
from qa.data.windows.coverage import Coverage
from qa.data.windows.health import measure_health
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.label import bare_span, label_spans
from qa.data.windows.options import WindowOptions, check_options
from qa.data.windows.tokens import tokenize_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def profile_texts(examples: list[Example]) -> dict[str, Any]:
    """Return counts, and lengths in characters."""
    contexts = list({example.context: None for example in examples})
    answered = [example for example in examples if example.answers]
    pairs = Counter((example.question, example.context) for example in examples)
    recur = sum(e.context.count(e.answers[0]) > 1 for e in answered)
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
    }


def profile_tokens(
    examples: list[Example],
    tokenizer: PreTrainedTokenizerFast,
    options: WindowOptions,
    max_answer_length: int,
    num_trims: int,
) -> dict[str, Any]:
    """Return lengths in tokens, the tokenizer's health, both ceilings, windows and what they miss.

    Args:
        examples: The data.
        tokenizer: A fast one.
        options: How windows are cut.
        max_answer_length: Tokens of the longest answer that decoding gives.
        num_trims: Choices of the head that drops characters at an answer's ends: 0, 1, ...

    Raises:
        UserError: The options do not fit the tokenizer, or qa cannot use the tokenizer.
    """
    check_options(options, tokenizer)
    health = measure_health((example.context for example in examples), tokenizer)
    coverage = Coverage(tokenizer, options, max_answer_length)
    number = with_answer = full = 0
    # Whole tokens, and characters.
    best: tuple[list[tuple[float, float]], ...] = ([], [])
    windows = iterate_windows(examples, tokenizer, options, coverage)
    for index, rows in groupby(windows, key=lambda window: int(window["example_index"])):
        found = list(rows)
        number += len(found)
        with_answer += sum(window["has_answer"] for window in found)
        full += sum(window["length"] == options.max_seq_length for window in found)
        golds = examples[index].gold_answers
        if not golds:
            continue
        offsets = [(window["offset_starts"], window["offset_ends"]) for window in found]
        scores = 0.0, 0.0
        for scores_of, trims in zip(best, (1, num_trims), strict=True):
            if scores != (1.0, 1.0):  # what whole tokens reach, trims reach too
                decoding = Decoding(max_answer_length, trims)
                scores = ceiling(examples[index].context, golds, offsets, decoding)
            scores_of.append(scores)
    return {
        "tokens": token_lengths(examples, tokenizer),
        "tokenizer": health.report(),
        "ceiling_by_tokens": mean_scores(best[0]),
        "ceiling_by_characters": mean_scores(best[1]),
        "windows": {
            "max_seq_length": options.max_seq_length,
            "window_overlap": options.window_overlap,
            "max_question_length": options.max_question_length,
            "max_answer_length": max_answer_length,
            "number": number,
            "with_answer": with_answer,
            "with_answer_percent": percent(with_answer, number),
            "full": full,
            "full_percent": percent(full, number),
            "missed": [finding._asdict() for finding in coverage.findings()],
        },
    }


def token_lengths(
    examples: list[Example], tokenizer: PreTrainedTokenizerFast
) -> dict[str, dict[str, float] | None]:
    """Return the lengths of distinct contexts, of questions and of all answers, in tokens."""
    context_lengths: dict[str, int] = {}
    question_lengths: list[int] = []
    answer_lengths: list[int] = []
    for first, end, questions, contexts in tokenize_blocks(examples, tokenizer, ahead=False):
        context_lengths.update(zip(contexts.number, contexts.count.tolist(), strict=True))
        for example in examples[first:end]:
            question_lengths.append(int(questions.count[questions.number[example.question]]))
            if not example.answers:
                continue
            number = contexts.number[example.context]
            part = slice(contexts.first[number], contexts.first[number] + contexts.count[number])
            spans = np.array(answer_spans(example))
            count = np.full(len(spans), contexts.count[number])  # all tokens, for each answer
            labels = label_spans(
                contexts.offset_starts[part],
                contexts.offset_ends[part],
                np.zeros_like(count),
                count,
                spans,
            )
            answer_lengths += [last - begin + 1 for begin, last in labels.tolist() if begin >= 0]
    return {
        "context": lengths(list(context_lengths.values())),
        "question": lengths(question_lengths),
        "answer": lengths(answer_lengths),
    }


def answer_spans(example: Example) -> list[tuple[int, int]]:
    """Return the (start, end) characters of each answer, without its outer blanks."""
    return [
        bare_span(*answer) for answer in zip(example.answers, example.answer_starts, strict=True)
    ]


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
