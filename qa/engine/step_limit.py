"""What limits the steps of a run: the device, the host or the data."""

from __future__ import annotations

LONG_WAIT = 0.1  # share of its time that a GPU waits for data; below, it could hardly do more


class StepLimit:
    """Adds up what a `PhaseClock` measured, and says in words what a faster run needs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.num_steps = 0  # with a known lag, so on a GPU
        self.num_behind = 0.0

    def add(self, seconds: dict[str, float], lag: float | None, num_steps: int) -> None:
        """Add so many steps: what `compute` and `lag` of their clock returned."""
        for phase, spent in seconds.items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + spent
        if lag is not None:
            self.num_steps += num_steps
            self.num_behind += lag * num_steps

    def line(self) -> str:
        """Return the line that says it; "" of a run that computes on a CPU most of its time."""
        device = dict(self.seconds)
        host, host_data = device.pop("host", 0.0), device.pop("host_data", 0.0)
        waited = device.get("data", 0.0) / max(sum(device.values()), 1e-9)
        if not self.num_steps:
            took = f"it takes {100 * waited:.0f} % of the time"
            return f"steps are limited by the data: {took}" if waited > 0.5 else ""
        behind = self.num_behind / self.num_steps
        # A host that is not ahead never waits for the GPU: its own times tell what it needs.
        limit = "data" if host_data > host else "host"
        if behind > 0.5:
            limit = "device" if waited < LONG_WAIT else "data"
        return (
            f"steps are limited by the {limit}: the GPU lags behind the host in"
            f" {100 * behind:.0f} % of them, and waits for data {100 * waited:.0f} % of the time"
        )
