"""What differs between two finished runs of train.py, compared bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qa.outputs.directory import BEST, CHECKPOINTS, METRICS_FILE
from qa.outputs.prediction_files import NBEST_FILE, PREDICTIONS_FILE


def differences(first: Path, second: Path) -> Iterator[str]:
    """Yield what differs between the directories of two finished runs, each as a phrase."""
    from qa.engine.run_differences import checkpoint_differences, curve_differences
    from qa.models.part_files import PART_FILES

    yield from checkpoint_differences(first / CHECKPOINTS, second / CHECKPOINTS)
    yield from curve_differences(first, second)
    weights = (f"{BEST}/{name}" for name in ("model.safetensors", *PART_FILES))
    for file in (METRICS_FILE, PREDICTIONS_FILE, NBEST_FILE, *weights):
        contents = [
            (d / file).read_bytes() if (d / file).exists() else b"" for d in (first, second)
        ]
        if contents[0] != contents[1]:
            yield f"the content of {file}"
