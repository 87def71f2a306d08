"""Accuracy of settings of train.py, over seeds: the mean, the spread and the difference.

    python -m benchmarks.accuracy --seeds 42,1,2 [--together 4] \
        --settings "--model DIR --train-data FILE --holdout 0.2 --num-train-epochs 2" \
        --variant "whole tokens: --no-character-boundaries" --variant "r-drop: --r-drop 1"

Every variant is `--settings` with its own flags behind them; the first one, "settings", has none.
Each is trained with every seed by `train.py` and scored on its held-out part after the last step,
under the score that steers the run. The differences are from "settings", seed by seed. --together:
how many to train side by side, for a GPU that one of them does not fill.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks import alternate, material

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
BASE = "settings"


class Trained(NamedTuple):
    """What a run reached, in %."""

    exact_match: float
    f1: float


def main() -> None:
    """Train all and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("--settings", required=True, help="flags of train.py for all, quoted")
    parser.add_argument(
        "--variant", action="append", default=[], metavar="NAME: FLAGS", help="may be repeated"
    )
    parser.add_argument("--seeds", default="42,1,2")
    parser.add_argument("--together", type=int, default=1, help="runs side by side (default 1)")
    parser.add_argument("--json", metavar="FILE", help="write every run's figures")
    options = parser.parse_args()
    variants = {BASE: options.settings}
    for text in options.variant:
        name, separator, flags = text.partition(":")
        if not separator or not name.strip() or name.strip() in variants:
            parser.error(f"--variant {text!r}: must be 'NAME: FLAGS', with a name of its own")
        variants[name.strip()] = f"{options.settings} {flags}"
    if not all(seed.isdigit() for seed in options.seeds.split(",")):
        parser.error(f"--seeds {options.seeds}: must be numbers with commas")
    if options.together < 1:
        parser.error("--together: must be at least 1")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    # All variants of a seed before the next seed, so that a table can be read early.
    runs = [(name, seed) for seed in seeds for name in variants]
    with ThreadPoolExecutor(options.together) as pool:
        outcomes = list(pool.map(lambda run: train(variants[run[0]], *run), runs))
    results = {
        name: [outcome for run, outcome in zip(runs, outcomes, strict=True) if run[0] == name]
        for name in variants
    }
    print(table(results))
    if options.json:
        content = {"variants": variants, "seeds": seeds, "results": results}
        Path(options.json).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def train(flags: str, name: str, seed: int) -> Trained:
    """Train once in a temporary directory; the scores of the last evaluation."""
    with material.temporary_folder() as folder:
        command = [sys.executable, str(TRAIN), *shlex.split(flags)]
        command += ["--seed", str(seed), "--output-dir", f"{folder}/run"]
        done = subprocess.run(
            command, capture_output=True, text=True, env=alternate.quiet_environment()
        )
        if done.returncode != 0:
            sys.exit(f"{shlex.join(command)} failed:\n{done.stderr[-2000:]}")
        metrics = json.loads(Path(folder, "run", "metrics.json").read_text(encoding="utf-8"))
    if not metrics["history"]:
        sys.exit("error: nothing is held out; add --holdout or --eval-data to --settings")
    last = metrics["history"][-1]
    trained = Trained(last["exact_match"], last["f1"])
    print(
        f"{name}, seed {seed}: EM {trained.exact_match:.2f} F1 {trained.f1:.2f}",
        file=sys.stderr,
        flush=True,
    )
    return trained


def table(results: dict[str, list[Trained]]) -> str:
    """A line for each variant: mean and standard deviation, and the mean difference."""
    width = max(map(len, results))
    lines = [f"{'':<{width}}  {'EM':>13}  {'F1':>13}  {'EM':>7}  {'F1':>7}"]
    for name, runs in results.items():
        cells = [describe([run[i] for run in runs]) for i in range(2)]
        for i in range(2):
            differences = [a[i] - b[i] for a, b in zip(runs, results[BASE], strict=True)]
            cells.append("" if name == BASE else f"{statistics.mean(differences):+.2f}")
        first, second, third, fourth = cells
        lines.append(f"{name:<{width}}  {first:>13}  {second:>13}  {third:>7}  {fourth:>7}")
    return "\n".join(lines)


def describe(values: list[float]) -> str:
    """Mean and spread."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} ± {spread:.2f}"


if __name__ == "__main__":
    main()
