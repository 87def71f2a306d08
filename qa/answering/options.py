"""How answers are chosen. Imports nothing heavy, since `qa.config` imports this file."""

from __future__ import annotations

from dataclasses import dataclass

from qa.engine.config import option, require_at_least, require_choices
from qa.engine.errors import require

CONSTRAINED, FREE = "constrained", "free"
PASSAGE_WEIGHT = 0.5  # of a reader that has none: EM was flat from 0.4 to 1 where it was measured
PASSAGES = 5  # of a collection that are read for a question


MOST = 1_000_000  # candidates, and tokens of an answer


@dataclass(frozen=True)
class DecodeOptions:
    """How answers are chosen among the spans of a context."""

    n_best_size: int = option(20, "candidate answers kept per question", resume="same")
    max_answer_length: int = option(30, "longest answer, in tokens", resume="same")
    null_score_diff_threshold: float | None = option(
        None,
        "leave questions unanswered whose null odds exceed it; tuned on the held-out part if"
        " there are such questions",
        resume="same",
    )
    # Free, since no answer depends on it.
    temperature: float | None = option(
        None,
        "divide scores by it before they become probabilities; fitted at the end of a run, on the"
        " held-out part",
        resume="free",
    )
    decoding: str | None = option(
        None,
        "of a generative reader: constrained writes pieces of the context, free writes anything;"
        " constrained if not given",
        (CONSTRAINED, FREE),
        resume="same",
    )

    def __post_init__(self) -> None:
        if self.decoding is not None:
            require_choices(self)
        for name in ("n_best_size", "max_answer_length"):
            require_at_least(self, name, 1)
            require(getattr(self, name) <= MOST, f"{name} must be at most {MOST:,}")
        threshold = self.null_score_diff_threshold
        require(
            threshold is None or -1e9 <= threshold <= 1e9,
            f"null_score_diff_threshold must be between -1e9 and 1e9, not {threshold}",
        )
        require(
            self.temperature is None or 0.01 <= self.temperature <= 100,
            f"temperature must be between 0.01 and 100, not {self.temperature}",
        )


@dataclass(frozen=True)
class CollectionOptions:
    """How answers are chosen among the passages that a search found; `qa evaluate` fits them.

    Args:
        passage_weight: How much a passage's score in the search counts beside the scores of its
            answers; None for `PASSAGE_WEIGHT`.
        open_threshold: Leave questions unanswered whose null odds over all passages exceed it; None
            for the threshold that holds for one context, if there is one.
    """

    passage_weight: float | None = None
    open_threshold: float | None = None

    def __post_init__(self) -> None:
        weight, threshold = self.passage_weight, self.open_threshold
        require(
            weight is None or 0 <= weight <= 1000,
            f"passage_weight must be between 0 and 1000, not {weight}",
        )
        require(
            threshold is None or -1e9 <= threshold <= 1e9,
            f"open_threshold must be between -1e9 and 1e9, not {threshold}",
        )
