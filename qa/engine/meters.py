"""Means and rates of a running training. Only `compute` waits for the device; `add` never does."""

from __future__ import annotations

import time

import torch


class Mean:
    """The mean of the scalars added since the last `compute`.

    With `skip_nonfinite` infinite and nan values are left out; otherwise one of them makes the mean
    infinite or nan.
    """

    def __init__(self, skip_nonfinite: bool = False) -> None:
        self.skip_nonfinite = skip_nonfinite
        self.total: torch.Tensor | float = 0.0
        self.count: torch.Tensor | float = 0.0

    def add(self, value: torch.Tensor) -> None:
        """Add one scalar tensor, which stays on its device."""
        value = value.detach().float()  # a sum in bf16 would stop growing after 256 steps
        if not self.skip_nonfinite:
            self.total, self.count = self.total + value, self.count + 1
            return
        is_finite = torch.isfinite(value)
        self.total = self.total + torch.where(is_finite, value, 0.0)
        self.count = self.count + is_finite

    def compute(self) -> float:
        """Return the mean and start afresh; nan if nothing was added. This is a host sync."""
        total, count = float(self.total), float(self.count)
        self.total, self.count = 0.0, 0.0
        return total / count if count else float("nan")

    def state_dict(self) -> dict[str, torch.Tensor | float]:
        """Return the sum and the count, so that a resumed run logs the same mean."""
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, torch.Tensor | float]) -> None:
        """Go on from a saved sum and count."""
        self.total, self.count = state["total"], state["count"]


class Rates:
    """Counts and the time they took; `pause` and `resume` leave an evaluation out of the time."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.seconds = 0.0
        self._since: float | None = time.perf_counter()

    def add(self, counts: dict[str, int]) -> None:
        """Add the counts of one step."""
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def pause(self) -> None:
        """Stop the clock; do nothing if it stands."""
        if self._since is not None:
            self.seconds += time.perf_counter() - self._since
            self._since = None

    def resume(self) -> None:
        """Start the clock again; do nothing if it runs."""
        if self._since is None:
            self._since = time.perf_counter()

    def compute(self) -> tuple[dict[str, int], float]:
        """Return (counts, seconds) since the last call, and start afresh."""
        self.pause()
        counts, seconds = self.counts, self.seconds
        self.counts, self.seconds = {}, 0.0
        self.resume()
        return counts, seconds


def memory_bytes(device: torch.device) -> dict[str, int]:
    """Return the most bytes held so far: "peak" by tensors on a GPU, otherwise by this process.

    For a GPU there is "reserved", too: what torch took of it, with what lies between tensors.
    """
    if device.type != "cuda":
        return {"peak": peak_process_bytes()}
    return {
        "peak": torch.cuda.max_memory_allocated(device),
        "reserved": torch.cuda.max_memory_reserved(device),
    }


def peak_process_bytes() -> int:
    """Return the most bytes that this process held; 0 on Windows, which cannot be asked."""
    try:
        import resource
    except ImportError:  # Windows has no such module
        return 0
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
