"""Which evaluation was the best, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from typing import Any

from qa.engine.errors import first_few, require


class BestTracker:
    """Follows one metric over the evaluations.

    `should_stop` becomes true after `patience` evaluations without improvement; with None it never
    does.

    Args:
        metric: Its name.
        patience: Evaluations, 1 or more.
        smaller_is_better: None: of a metric named `...loss`.
    """

    def __init__(
        self, metric: str, patience: int | None = None, smaller_is_better: bool | None = None
    ) -> None:
        require(
            patience is None or patience >= 1,
            f"patience must be at least 1, or None to go on to the last step, not {patience}",
        )
        self.metric = metric
        by_name = metric.endswith("loss")
        self.smaller_is_better = by_name if smaller_is_better is None else smaller_is_better
        self.patience = patience
        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] | None = None
        self.evaluations_since_best = 0

    def update(self, step: int, metrics: dict[str, float]) -> bool:
        """Record an evaluation at `step`; return whether it is the best so far.

        Of evaluations with the same value the first is best. UserError if the metric is missing.
        """
        require(
            self.metric in metrics,
            f"there is no {self.metric} among the metrics: {first_few(sorted(metrics))}",
        )
        record = {"step": step, **metrics}
        self.history.append(record)
        if self.best is None or self._better(metrics[self.metric], self.best[self.metric]):
            self.best = record
            self.evaluations_since_best = 0
            return True
        self.evaluations_since_best += 1
        return False

    @property
    def should_stop(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.evaluations_since_best >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return the history and the best evaluation, as plain JSON types."""
        return {
            "history": self.history,
            "best": self.best,
            "evaluations_since_best": self.evaluations_since_best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.history = state["history"]
        self.best = state["best"]
        self.evaluations_since_best = state["evaluations_since_best"]

    def _better(self, value: float, best: float) -> bool:
        """Return whether a value beats the best; any number beats nan, and nan beats nothing."""
        if math.isnan(best):
            return not math.isnan(value)
        return value < best if self.smaller_is_better else value > best
