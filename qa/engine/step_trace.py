"""A trace of a few steps: which operations ran when, for a trace viewer."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

FIRST_STEP, LAST_STEP = 3, 5  # before these, libraries and the profiler warm up


class StepTrace:
    """Writes a trace of the steps 3 to 5 after its start to `path`, once they are made.

    Its folder is made if it is missing.
    The file opens in https://ui.perfetto.dev and chrome://tracing. With the path None nothing is
    traced.
    """

    def __init__(self, path: Path | str | None) -> None:
        self.path = None if path is None else Path(path)
        self._profile: profile | None = None
        self._is_written = False
        if path is None:
            return
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(
            activities=activities,
            schedule=schedule(
                wait=FIRST_STEP - 2, warmup=1, active=LAST_STEP - FIRST_STEP + 1, repeat=1
            ),
            on_trace_ready=self._write,
        )
        self._profile.start()

    def step(self) -> bool:
        """Count a step; return whether it was the one after which the trace was written."""
        if self._profile is None:
            return False
        self._profile.step()
        if self._is_written:
            self.close()
        return self._is_written

    def close(self) -> None:
        """End tracing; a run that ends earlier leaves a trace of the steps it made."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _write(self, finished: profile) -> None:
        """Write the trace file atomically."""
        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.tmp")
        finished.export_chrome_trace(str(partial))
        os.replace(partial, self.path)
        self._is_written = True
