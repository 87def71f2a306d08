"""`python -m benchmarks.data --start`: a training's way to its first step, windows in the cache."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import alternate, material

BATCH_SIZE = 16


def start_warm(options: argparse.Namespace, folder: Path) -> list[dict[str, alternate.Run]]:
    """Start a training whose windows are in the cache."""
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")  # of the runs
    names = [*material.SHARED, "precision"]
    arguments = material.arguments_for_runs(options, names)
    alternate.measure("benchmarks.data", ["start"], arguments)  # fills the cache
    rounds = [
        alternate.measure("benchmarks.data", ["start"], arguments) for _ in range(options.repeats)
    ]
    results = alternate.medians(rounds)
    columns = ["seconds", *(f for f in results["start"] if f.endswith("_s"))]
    print(alternate.table(results, columns))
    print(
        f"to the first step: {results['start']['seconds']:.1f} s; without loading the model and"
        f" without the step itself: {results['start']['own_s']:.1f} s"
    )
    return rounds


def start(options: argparse.Namespace) -> alternate.Run:
    """What `train.py` does up to the end of the first step, with the time of its parts."""
    # What is imported late, too: not to count it as loading the model.
    import datasets  # noqa: F401
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer  # noqa: F401

    from qa.config import Config, DataConfig, ModelConfig, OutputConfig
    from qa.data.windows.options import WindowOptions
    from qa.engine.config import TrainConfig
    from qa.engine.signals import StopSignals
    from qa.training import build
    from qa.training.session import Session

    laps = alternate.Laps()
    laps.end("imports")
    parts = {"read": "read_data", "model": "load_model"}
    parts |= {"fingerprint": "windows_fingerprint", "windows": "cached_windows"}
    within = dict.fromkeys(parts, 0.0)
    for part, name in parts.items():
        setattr(build, name, timed(getattr(build, name), part, within))
    with material.temporary_folder() as folder:
        config = Config(
            data=DataConfig(
                train_data=options.data,
                holdout=options.holdout,
                per_device_train_batch_size=BATCH_SIZE,
            ),
            windows=WindowOptions(options.max_seq_length, options.window_overlap),
            model=ModelConfig(model=options.model),
            train=TrainConfig(device="cpu", precision=options.precision),
            output=OutputConfig(output_dir=str(Path(folder) / "run")),
        )
        job = build.build_job(config, lambda line: None)
        laps.end("rest_of_build")
        laps.seconds["rest_of_build"] -= sum(within.values())
        with StopSignals() as signals, Session(job, signals, False, False, time.perf_counter()):
            laps.end("session")
            next(job.run.steps())
            laps.end("first_step")
    figures = {**laps.seconds, **within}
    seconds = sum(figures.values())
    own = seconds - figures["model"] - figures["first_step"]
    return {"seconds": seconds, "own_s": own, **{f"{k}_s": v for k, v in figures.items()}}


def timed(function: Callable[..., Any], part: str, seconds: alternate.Run) -> Callable[..., Any]:
    """The function, which adds the time of its calls to a part's seconds."""

    def call(*arguments: Any, **options: Any) -> Any:
        started = time.time()
        try:
            return function(*arguments, **options)
        finally:
            seconds[part] += time.time() - started

    return call
