"""What a model card tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SPAN_CLASS = "AutoModelForQuestionAnswering"
Interval = tuple[float, float]


@dataclass(frozen=True)
class DataFacts:
    """One part of the data, as it was read.

    Args:
        source: Names of the files or hub data sets; no folders, which are the machine's affair.
        questions: How many.
        windows: How many these were cut into.
        fingerprint: Of texts, tokenizer and window options.
        missed: What windows and options miss of them: "3 answers that fit into no window".
    """

    source: str
    questions: int
    windows: int
    fingerprint: str
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreFacts:
    """One official score, in %.

    Args:
        title: Its official name.
        values: Each of its measures, under its official key.
        intervals: The 95 % bootstrap interval of each of them.
    """

    title: str
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]


@dataclass(frozen=True)
class CardFacts:
    """What a model card tells.

    Args:
        name: The model's.
        base: What the weights started from: a hub id, or in words.
        base_is_on_hub: Whether that is a hub id.
        is_korean: Whether most questions it was trained on have Hangul.
        has_boundary_head: Whether it places ends of answers inside tokens.
        has_pair_head: Whether it scores both ends of an answer together.
        threshold: Null odds above which it leaves a question unanswered; None: never.
        training: The data it was trained on.
        held_out: The data it was scored on; None: it was not scored.
        hub_data: The hub ids among the sources of both.
        main: exact_match and f1 by which the model was chosen, of the score `main_title`; empty
            without held-out data.
        main_title: That score's official name.
        scores: All official scores.
        history: Lines on how it was trained.
        settings: Those that differ from qa's defaults.
        about: What it was trained with: machine and versions, by name.
        writes: Whether it is a generative reader.
        auto_class: The class of transformers that loads what it can of it.
    """

    name: str
    base: str
    base_is_on_hub: bool
    is_korean: bool
    has_boundary_head: bool
    has_pair_head: bool
    threshold: float | None
    training: DataFacts
    held_out: DataFacts | None
    hub_data: tuple[str, ...]
    main: Mapping[str, float]
    main_title: str
    scores: tuple[ScoreFacts, ...]
    history: tuple[str, ...]
    settings: Mapping[str, Any]
    about: Mapping[str, str]
    writes: bool = False
    auto_class: str = SPAN_CLASS
