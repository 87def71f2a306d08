"""What a server counts, in the text format of Prometheus.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Histogram:
    """Counts values by size. One thread observes; another may read meanwhile.

    Args:
        name: Of the metric.
        help: What is measured, in which unit.
        bounds: Upper bounds of the buckets, ascending; one more, without a bound, is added.
    """

    def __init__(self, name: str, help: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.help = help
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        counts, total = list(self.counts), 0  # copied at once, so that buckets and count agree
        yield from header(self.name, self.help, "histogram")
        for bound, count in zip([*map(str, self.bounds), "+Inf"], counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{bound}"}} {total}'
        yield f"{self.name}_sum {self.sum}"
        yield f"{self.name}_count {total}"


class Requests:
    """Counts responses by route and status code, and the seconds that they took."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, int]] = Counter()
        self.seconds = Histogram(
            "qa_answer_seconds", "Seconds from a question's arrival to its response.", SECONDS
        )

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text format."""
        yield from header("qa_requests_total", "Responses by route and status code.", "counter")
        for (route, code), count in sorted(self.counts.items()):
            yield f'qa_requests_total{{route="{route}",code="{code}"}} {count}'
        yield from self.seconds.lines()


def header(name: str, help: str, kind: str) -> Iterator[str]:
    """Yield the two lines before the values of a metric."""
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def gauge(name: str, help: str, value: float) -> Iterator[str]:
    """Yield the lines of a single value that goes up and down."""
    yield from header(name, help, "gauge")
    yield f"{name} {value}"
