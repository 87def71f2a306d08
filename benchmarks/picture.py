"""A run's curves as a picture, for the README.

    python -m benchmarks.picture runs/quickstart-001 docs/images/training.png

Reads TensorBoard's event files of the run; needs the `bench` extra (matplotlib).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from qa.outputs.directory import TENSORBOARD

# Panel -> its curves: TensorBoard's name, the name in the picture, and whether points are few.
PANELS: dict[str, list[tuple[str, str, bool]]] = {
    "loss": [("train/loss", "training", False), ("eval/loss", "held out", True)],
    "learning rate": [("train/learning_rate", "", False)],
    "held-out score, %": [
        ("eval/korquad1_exact_match", "EM", True),
        ("eval/korquad1_f1", "F1", True),
    ],
}
COLOURS = ("#1f5fa8", "#c8541b")


def main(arguments: list[str]) -> int:
    """Draw the run in the first directory into the second file; returns the exit code."""
    if len(arguments) != 2:
        print("usage: python -m benchmarks.picture RUN PICTURE.png", file=sys.stderr)
        return 2
    run, picture = map(Path, arguments)
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(read_curves(run / TENSORBOARD), picture)
    print(f"{picture}: {picture.stat().st_size / 1024:.0f} KiB")
    return 0


def read_curves(directory: Path) -> dict[str, tuple[list[int], list[float]]]:
    """The steps and values of every curve."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    points = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    return {
        tag: ([e.step for e in found], [e.value for e in found]) for tag, found in points.items()
    }


def draw(curves: dict[str, tuple[list[int], list[float]]], picture: Path) -> None:
    """One panel beside the other, 900 pixels wide."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(9, 2.6), layout="constrained")
    for axis, (title, names) in zip(axes, PANELS.items(), strict=True):
        for (tag, label, is_sparse), colour in zip(names, COLOURS, strict=False):
            steps, values = curves[tag]
            axis.plot(steps, values, "o-" if is_sparse else "-", ms=4, color=colour, label=label)
        finish(axis, title, has_legend=len(names) > 1)
    figure.savefig(picture, dpi=100)


def finish(axis: Any, title: str, has_legend: bool) -> None:
    """Title, grid and legend of a panel."""
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("step", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    axis.yaxis.get_offset_text().set_fontsize(8)
    axis.locator_params(nbins=5)
    axis.set_xlim(left=0)
    axis.grid(color="#dddddd", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    if has_legend:
        axis.legend(fontsize=8, frameon=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
