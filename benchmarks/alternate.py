"""Measures contestants in turn, each run in a fresh process, and prints medians and ratios.

Machines are noisy: figures are compared within one call only, in which the contestants alternate.
A fresh process per run gives every contestant its own peak of memory.
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Run = dict[str, float]
STARTED = "QA_BENCHMARK_STARTED"  # environment variable: when a run's process was started


def measure(
    module: str, contestants: Sequence[str], arguments: Sequence[str], goes_on: bool = False
) -> dict[str, Run]:
    """Run every contestant once: `python -m MODULE --contestant NAME ARGUMENTS`.

    The process prints its figures as JSON on its last line; see `report`. One that fails ends it
    all; with `goes_on` it is told in a line and left out.
    """
    results = {}
    for name in contestants:
        command = [sys.executable, "-m", module, "--contestant", name, *arguments]
        print(f"{time.strftime('%H:%M:%S')} {name} ...", file=sys.stderr, flush=True)
        done = subprocess.run(command, capture_output=True, text=True, env=quiet_environment())
        if done.returncode != 0 and goes_on:
            print(f"{name} failed ({done.returncode}): {reason(done.stderr)}", file=sys.stderr)
            continue
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        results[name] = json.loads(done.stdout.strip().splitlines()[-1])
    return results


def reason(errors: str) -> str:
    """The line that names the exception, after which advice may come; else the last line."""
    lines = [line for line in errors.splitlines() if line.strip()] or ["without a word"]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt): ", line)]
    return [*lines, *named][-1][:300]


def quiet_environment() -> dict[str, str]:
    """The environment of a run: local files only, and no progress bars."""
    settings = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    return {**os.environ, **settings, STARTED: str(time.time())}


class Laps:
    """Seconds of a run by part; the first part began with the process, so that imports count."""

    def __init__(self) -> None:
        self.seconds: Run = {}
        self.last = float(os.environ[STARTED])

    def end(self, part: str) -> None:
        """End a part of this name; the next one begins."""
        now = time.time()
        self.seconds[part] = now - self.last
        self.last = now


def report(figures: Run) -> None:
    """Print a run's figures, with the process's peak of memory, as the last line."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**figures, "peak_gib": peak}))


def medians(rounds: Sequence[dict[str, Run]]) -> dict[str, Run]:
    """The median of every figure of every contestant over the rounds."""
    return {
        name: {
            figure: statistics.median(r[name][figure] for r in rounds) for figure in rounds[0][name]
        }
        for name in rounds[0]
    }


def table(results: dict[str, Run], columns: Sequence[str]) -> str:
    """The figures as aligned lines of text, one contestant each."""
    width = max(len(name) for name in results)
    widths = {column: max(len(column), 9) for column in columns}
    lines = [" " * width + "".join(f"  {column:>{widths[column]}}" for column in columns)]
    for name, run in results.items():
        cells = "".join(f"  {run.get(c, float('nan')):>{widths[c]}.3f}" for c in columns)
        lines.append(f"{name:<{width}}{cells}")
    return "\n".join(lines)


def print_ratios(rounds: Sequence[dict[str, Run]], name: str, peer: str, figure: str) -> None:
    """Print a figure of one run divided by that of another."""
    ratios = [r[name][figure] / r[peer][figure] for r in rounds]
    print(
        f"{name} / {peer}: {statistics.median(ratios):.2f} x {figure} ({min(ratios):.2f} to"
        f" {max(ratios):.2f} over {len(ratios)} rounds)"
    )


def write(path: str | None, settings: dict[str, Any], rounds: Sequence[dict[str, Run]]) -> None:
    """Write all runs with what they were made with, if a path is given."""
    if path is None:
        return
    import torch
    import transformers

    content = {
        "settings": settings,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "rounds": list(rounds),
        "medians": medians(rounds),
    }
    Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
