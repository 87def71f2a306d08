"""One thread that works off what waits in a bounded queue, many items together.

There is no timer: the thread takes what is there when it is free, so a lone item waits for nothing,
and a batch grows by itself while another is worked on.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from qa.serving.metrics import SECONDS, SIZES, Histogram

Q = TypeVar("Q")
A = TypeVar("A")

LONGEST_RETRY = 60  # seconds
BROKEN = 3  # failures in a row, after which the work itself counts as broken


class QueueFull(Exception):
    """There is no room; in `retry_after` seconds there should be."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Closed(Exception):
    """Nothing is taken any more."""


class Expired(Exception):
    """The deadline passed before the work began."""


class Unwanted(Exception):
    """Nobody waits any more for what is being worked on."""


@dataclass(frozen=True)
class Job(Generic[Q, A]):
    """Items that came together, and are worked on together."""

    items: Sequence[Q]
    weight: int  # what bounds a batch besides the number of items, such as characters
    arrived: float  # time.monotonic()
    deadline: float  # time.monotonic()
    future: Future[list[A]]


class Batcher(Generic[Q, A]):
    """A queue and the thread that empties it.

    Args:
        work: Returns the result of each item; called in the thread. What it is also passed, it
            calls between its steps: that raises Unwanted once all jobs were cancelled.
        max_queue: Items that may wait.
        max_batch: Items that are worked on together. A job of more is a batch of its own.
        max_weight: Summed weight of a batch. A job of more is a batch of its own.
    """

    def __init__(
        self,
        work: Callable[[list[Q], Callable[[], None]], list[A]],
        max_queue: int,
        max_batch: int,
        max_weight: int,
    ) -> None:
        self.max_queue = max_queue
        self.queue_seconds = Histogram(
            "qa_queue_seconds", "Seconds that requests waited for the model.", SECONDS
        )
        self.work_seconds = Histogram(
            "qa_model_seconds", "Seconds that the model took for a batch.", SECONDS
        )
        self.batch_size = Histogram("qa_batch_size", "Questions of a batch.", SIZES)
        self.failures = 0  # in a row
        self._work = work
        self._max_batch = max_batch
        self._max_weight = max_weight
        self._waiting: deque[Job[Q, A]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._seconds_an_item = 0.0  # a moving average
        # A daemon, so that an error elsewhere is not kept from ending the process.
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def is_broken(self) -> bool:
        """Whether nothing worked any more when it was last tried."""
        return self.failures >= BROKEN

    def num_waiting(self) -> int:
        """Return how many items wait."""
        with self._changed:
            return self._count()

    def submit(self, items: Sequence[Q], weight: int, deadline: float) -> Future[list[A]]:
        """Put items into the queue and return the future of their results.

        Cancelling the future takes them out again. Work on them that has begun ends early if no
        other job is worked on with them.

        Args:
            items: At most `max_queue` of them.
            weight: See `Job`.
            deadline: `time.monotonic()` after which work on them shall not begin.

        Raises:
            QueueFull: So many wait already that there is no room for all of these.
            Closed: `close` was called.
        """
        job = Job[Q, A](items, weight, time.monotonic(), deadline, Future())
        with self._changed:
            if self._is_closed:
                raise Closed
            waiting = self._count()
            if waiting + len(items) > self.max_queue:
                seconds = math.ceil(waiting * self._seconds_an_item)
                raise QueueFull(min(max(seconds, 1), LONGEST_RETRY))
            self._waiting.append(job)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Take nothing more, work off what waits, and return when that is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _count(self) -> int:
        """Count the items that wait, after those that were cancelled have left the queue."""
        if any(job.future.cancelled() for job in self._waiting):
            self._waiting = deque(job for job in self._waiting if not job.future.cancelled())
        return sum(len(job.items) for job in self._waiting)

    def _run(self) -> None:
        """Work until the queue is closed and empty."""
        while jobs := self._take():
            started = time.monotonic()
            for job in jobs:
                self.queue_seconds.observe(started - job.arrived)
            self._answer(jobs)

    def _take(self) -> list[Job[Q, A]]:
        """Wait for jobs and return the next batch; [] once the queue is closed and empty."""
        with self._changed:
            while True:
                if jobs := self._next_batch():
                    return jobs
                if self._is_closed:
                    return []
                self._changed.wait()

    def _next_batch(self) -> list[Job[Q, A]]:
        """Return the jobs at the front of the queue that fit together, the expired left out."""
        batch: list[Job[Q, A]] = []
        size = weight = 0
        while self._waiting:
            job = self._waiting[0]
            size, weight = size + len(job.items), weight + job.weight
            if batch and (size > self._max_batch or weight > self._max_weight):
                break
            self._waiting.popleft()
            # The future stays pending, so that it can be cancelled, until its result is there.
            if not job.future.cancelled() and job.deadline > time.monotonic():
                batch.append(job)
                continue
            size, weight = size - len(job.items), weight - job.weight
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(Expired())
        return batch

    def _answer(self, jobs: Sequence[Job[Q, A]]) -> None:
        """Work on the jobs together; if that fails on each alone, so that not all of them fail."""
        items = [item for job in jobs for item in job.items]
        started = time.monotonic()
        try:
            results = self._work(items, partial(require_wanted, jobs))
        except Unwanted:  # the time that it took counts, for those who ask when to come again
            seconds = (time.monotonic() - started) / len(items)
            self._seconds_an_item = max(self._seconds_an_item, seconds)
            return
        except Exception as error:  # whatever it is, those who wait are told, and others served
            if len(jobs) > 1:
                for job in jobs:
                    self._answer([job])
                return
            self.failures += 1
            if jobs[0].future.set_running_or_notify_cancel():
                jobs[0].future.set_exception(error)
            return
        self.failures = 0
        seconds = time.monotonic() - started
        self.work_seconds.observe(seconds)
        self.batch_size.observe(len(items))
        average = self._seconds_an_item or seconds / len(items)
        self._seconds_an_item = 0.8 * average + 0.2 * seconds / len(items)
        first = 0
        for job in jobs:
            if job.future.set_running_or_notify_cancel():
                job.future.set_result(results[first : first + len(job.items)])
            first += len(job.items)


def require_wanted(jobs: Sequence[Job[Any, Any]]) -> None:
    """Raise Unwanted if all of the jobs were cancelled."""
    if all(job.future.cancelled() for job in jobs):
        raise Unwanted
