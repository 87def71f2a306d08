"""The text format of Prometheus."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.serving.metrics import Histogram, Requests


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=30))
def test_buckets_count_the_values_up_to_their_bounds(values: list[float]) -> None:
    histogram = Histogram("h", "Help.", (0.5, 1, 10.0))
    for value in values:
        histogram.observe(value)
    head, counts = list(histogram.lines())[:2], list(histogram.lines())[2:]
    assert head == ["# HELP h Help.", "# TYPE h histogram"]
    bounds = [("0.5", 0.5), ("1", 1.0), ("10.0", 10.0), ("+Inf", float("inf"))]
    expected = [
        f'h_bucket{{le="{name}"}} {sum(value <= bound for value in values)}'
        for name, bound in bounds
    ]
    assert counts[:4] == expected
    assert counts[5] == f"h_count {len(values)}"
    assert float(counts[4].removeprefix("h_sum ")) == pytest.approx(sum(values))


def test_responses_are_counted_by_route_and_code() -> None:
    requests = Requests()
    requests.counts["/answer", 200] += 2
    requests.counts["other", 404] += 1
    assert list(requests.lines())[:4] == [
        "# HELP qa_requests_total Responses by route and status code.",
        "# TYPE qa_requests_total counter",
        'qa_requests_total{route="/answer",code="200"} 2',
        'qa_requests_total{route="other",code="404"} 1',
    ]
