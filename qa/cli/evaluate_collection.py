"""The part of `qa evaluate` that asks a collection."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qa.answering.options import PASSAGE_WEIGHT
from qa.answering.reader import Reader
from qa.answering.reader_settings import SETTINGS_FILE, keep_settings
from qa.data.examples import Example
from qa.engine.errors import notice
from qa.engine.json_files import read_json, write_json
from qa.evaluation.evaluate import Evaluation
from qa.open_domain.figures import Figures, lines
from qa.open_domain.fit import FEWEST, Fitted, fit
from qa.open_domain.measure import measure
from qa.outputs.directory import METRICS_FILE, OPEN_PREDICTIONS_FILE
from qa.retrieval.passage import Search


def evaluate_collection(
    reader: Reader,
    search: Search,
    examples: Sequence[Example],
    given: Evaluation,
    directory: Path,
    options: argparse.Namespace,
) -> None:
    """Answer from the collection, fit, print figures and add them to the files of the directory.

    Args:
        reader: Reads.
        search: Searches the collection.
        examples: The questions, with gold answers.
        given: What the same reader found with the paragraphs given.
        directory: Has metrics.json, which gets the figures; gets open_predictions.json.
        options: Passages to read for a question, whether to keep what is fitted, and where.
    """
    coverage, metric = reader.coverage(), next(iter(given.scores))
    found = measure(reader, search, examples, options.passages, metric, coverage, options.nfc)
    coverage.give_notices()
    answerable = found.is_held & given.has_answer
    if not answerable.any():
        notice(f"{options.index}: holds the paragraph of no question that has an answer")
    fitted = fit(found, examples, answerable)
    if fitted is None:
        notice(
            f"the collection can answer fewer than {FEWEST} questions of a half, by contexts:"
            " nothing is fitted"
        )
    figures = Figures(found, given.answered, answerable, fitted or unfitted(reader, examples))
    content = figures.content()
    for line in lines(content, options.passages, fitted is not None):
        print(line)
    keeps = options.keep and fitted is not None
    own = None if keeps else reader.collection.open_threshold
    own = reader.null_score_diff_threshold if own is None else own
    if figures.fitted.threshold is None and own is not None:
        print(f"all are answered here; `qa ask` leaves out those whose null odds exceed {own:g}")
    metrics = read_json(directory / METRICS_FILE, "metrics")
    write_json(directory / METRICS_FILE, {**metrics, "collection": content})
    ids = [example.id for example in examples]
    write_json(directory / OPEN_PREDICTIONS_FILE, dict(zip(ids, figures.predictions, strict=True)))
    if keeps and fitted is not None:
        kept = {"passage_weight": fitted.weight, "open_threshold": fitted.threshold}
        keep_settings(Path(options.model) / SETTINGS_FILE, kept)
        names = ", ".join(name for name, value in kept.items() if value is not None)
        print(f"kept in {Path(options.model) / SETTINGS_FILE}: {names}")


def unfitted(reader: Reader, examples: Sequence[Example]) -> Fitted:
    """Return the reader's own weight for all questions, each of which is answered."""
    stored = reader.collection.passage_weight
    weight = PASSAGE_WEIGHT if stored is None else stored
    num = len(examples)
    return Fitted(np.full(num, weight), np.full(num, np.inf), weight, None)
