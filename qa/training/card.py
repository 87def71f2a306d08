"""What the model card of a run tells, gathered from the run and the files it wrote."""

from __future__ import annotations

import os
import platform
import re
import statistics
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import transformers

import qa
from qa.answering.reader_settings import SETTINGS_FILE, THRESHOLD
from qa.config import EMBEDDED, GENERATIVE, SPAN, Config, config_fields
from qa.config.sections import OutputConfig
from qa.engine.atomic_files import replace_file
from qa.engine.best_tracker import BestTracker
from qa.engine.curve_lines import read_lines
from qa.engine.json_files import read_json
from qa.evaluation.null_threshold import main_score
from qa.evaluation.texts import score_texts
from qa.metrics import METRICS
from qa.models.generative.seq2seq import Seq2SeqReader
from qa.outputs.card_facts import SPAN_CLASS, CardFacts, ScoreFacts
from qa.outputs.directory import BEST, CURVES_FILE
from qa.outputs.model_card import CARD_FILE, MAIN_METRICS, model_card
from qa.training.build import Job
from qa.training.data_facts import hub_ids
from qa.training.final_report import read_predictions, scores_by_metric
from qa.training.parts import HELD_OUT, TRAINING

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
TOLD = ("train_data", "eval_data", "model")  # elsewhere in the card, without folders
SPEED = "speed/windows_per_second"


def write_card(job: Job, directory: Path, tracker: BestTracker) -> None:
    """Write best/README.md of a finished run, unless there is one: people add to it.

    A new best model takes the place of all of best/, and so gets a new card.
    """
    path = directory / BEST / CARD_FILE
    if not path.exists():
        with replace_file(path) as file:
            file.write(model_card(card_facts(job, directory, tracker)))


def card_facts(job: Job, directory: Path, tracker: BestTracker) -> CardFacts:
    """Return what is known of a finished run in this directory."""
    config, best = job.config, tracker.best or {}
    is_seq2seq = isinstance(job.reader.model, Seq2SeqReader)
    base, is_on_hub = _base(config)
    by_metric = scores_by_metric(best)
    main = main_score(by_metric)
    sources = [s for s in (config.data.train_data, config.data.eval_data) if s is not None]
    return CardFacts(
        name=directory.resolve().name,
        base=base,
        base_is_on_hub=is_on_hub,
        is_korean=job.is_korean,
        has_boundary_head=config.model.character_boundaries and not is_seq2seq,
        has_pair_head=config.model.pair_head and config.model.reader == SPAN,
        # From there, since it may have been tuned by the process that this one goes on for.
        threshold=read_json(directory / BEST / SETTINGS_FILE, "settings").get(THRESHOLD),
        training=job.data[TRAINING],
        held_out=job.data.get(HELD_OUT),
        hub_data=tuple(dict.fromkeys(name for source in sources for name in hub_ids(source))),
        main={name: best[name] for name in MAIN_METRICS if name in best},
        main_title=METRICS[main].title,
        scores=_scores(job, directory, by_metric),
        history=_history(job, directory, tracker),
        settings=changed_settings(config),
        about=_about(job),
        writes=config.model.reader == GENERATIVE,
        auto_class="AutoModelForSeq2SeqLM" if is_seq2seq else SPAN_CLASS,
    )


def _base(config: Config) -> tuple[str, bool]:
    """Return what the weights started from, without its folder, and whether that is a hub id."""
    model = config.model.model
    if model == EMBEDDED:
        return "a small BERT made on the spot", False
    if HUB_ID.fullmatch(model) and not os.path.exists(model):
        return model, True
    return Path(model).resolve().name, False


def changed_settings(config: Config) -> dict[str, Any]:
    """Return the settings of data, windows, model and loop that are not the defaults."""
    defaults = {name: field.default for name, field in config_fields().items()}
    left_out = {"recipe", *TOLD, *(field.name for field in fields(OutputConfig))}
    return {
        name: value
        for name, value in config.flat().items()
        if name not in left_out and value != defaults[name]
    }


def _scores(
    job: Job, directory: Path, by_metric: dict[str, dict[str, float]]
) -> tuple[ScoreFacts, ...]:
    """Return the best evaluation's scores, with the intervals of its prediction file."""
    if not by_metric:
        return ()
    predictions = read_predictions(directory)
    scores = {name: score_texts(name, predictions, job.eval_examples) for name in by_metric}
    return tuple(
        ScoreFacts(METRICS[name].title, values, scores[name].intervals())
        for name, values in by_metric.items()
    )


def _history(job: Job, directory: Path, tracker: BestTracker) -> tuple[str, ...]:
    """Return lines on how the model was trained."""
    run = job.run
    lines = [f"started from: {_base(job.config)[0]}"]
    if tracker.best is None:
        lines.append(f"steps: {run.global_step:,}, of which this is the last")
    else:
        step = int(tracker.best["step"])
        lines.append(f"steps: {run.global_step:,}; the best by {tracker.metric} was {step:,}")
    speeds = [each[SPEED] for each in read_lines(directory / CURVES_FILE) if each.get(SPEED)]
    if speeds:
        lines.append(f"speed: {statistics.median(speeds):,.1f} windows/s (median of the run)")
    return tuple(lines)


def _about(job: Job) -> dict[str, str]:
    """Return machine and versions, by what they are; no names of hosts."""
    run = job.run
    if run.device.type == "cuda":
        machine = torch.cuda.get_device_name(run.device)
    else:
        machine = f"{run.device.type}, {platform.machine()}, {torch.get_num_threads()} threads"
    if run.world.size > 1:
        machine += f", {run.world.size} processes"
    versions = {"qa": qa, "torch": torch, "transformers": transformers}
    named = ", ".join(f"{name} {module.__version__}" for name, module in versions.items())
    return {
        "machine": f"{machine}, {run.precision.name}",
        "versions": f"{named}, Python {platform.python_version()}",
    }
