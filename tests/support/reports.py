"""Readers that are made up: questions, and what one answers, for the report."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qa.answering.nbest import rank_answers
from qa.data.examples import Example
from qa.outputs.nbest_file import Candidate
from qa.report.predicted import Predicted
from support.articles import article_examples


def many_examples(copies: int, unanswerable: int = 0) -> list[Example]:
    """The articles `copies` times, in contexts of their own; every n-th question has no answer."""
    examples = [
        replace(each, id=f"{copy}-{each.id}", context=f"{each.context} {copy}.")
        for copy in range(copies)
        for each in article_examples()
    ]
    if unanswerable:
        for i in range(0, len(examples), unanswerable):
            examples[i] = replace(examples[i], answers=(), answer_starts=())
    return examples


def made_up(
    examples: Sequence[Example], seed: int = 0, threshold: float = math.inf, heat: float = 1.0
) -> Predicted:
    """A reader that is right now and then, near by or far off else.

    Args:
        examples: The questions.
        seed: Of what it answers.
        threshold: Null odds above which it leaves a question unanswered.
        heat: Its scores are this many times too large, so that its probabilities are too sure.
    """
    drawn = random.Random(seed)
    candidates: dict[str, list[Candidate]] = {}
    for each in examples:
        length = len(each.context)
        golds = [(s, s + len(t)) for s, t in zip(each.answer_starts, each.answers, strict=True)]
        spans: dict[tuple[int, int], float] = {}
        for gold in golds:
            near = [(gold[0], gold[1] + 1), (max(0, gold[0] - 2), gold[1]), (gold[0], gold[1] - 1)]
            for span in (gold, drawn.choice(near)):
                if span[0] < span[1] <= length:
                    spans[span] = drawn.gauss(1.5, 1)
        while len(spans) < 8:
            start = drawn.randrange(length - 6)
            end = start + drawn.randint(1, 6)
            if each.context[start:end].strip():
                spans.setdefault((start, end), drawn.gauss(0, 1))
        sized = {span: heat * score for span, score in spans.items()}
        answers = rank_answers(each.context, sized, 7)
        candidates[each.id] = [Candidate(**vars(answer)) for answer in answers]
    texts = {i: "" if -own[0].score > threshold else own[0].text for i, own in candidates.items()}
    return Predicted("made-up", texts, candidates)


def write_run(directory: Path, predicted: Predicted) -> Path:
    """Write a reader's prediction files into a directory, and return it."""
    directory.mkdir()
    nbest = {i: [answer._asdict() for answer in own] for i, own in predicted.candidates.items()}
    for name, content in (("predictions", predicted.texts), ("nbest_predictions", nbest)):
        text = json.dumps(content, ensure_ascii=False)
        (directory / f"{name}.json").write_text(text, encoding="utf-8")
    return directory
