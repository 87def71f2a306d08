"""Train a reader: python train.py [--recipe NAME | --model M --train-data F ...].

From the command line to a configuration, from there to everything a run needs, then the loop.
torch and transformers are imported only after the command line was checked, so that --help and a
wrong flag are answered at once.
"""

from __future__ import annotations

import sys
import time

from qa.cli.parser import run_command
from qa.cli.startup import no_collection, prepare_hub
from qa.cli.train_flags import Command, parse_arguments
from qa.engine.console import is_main_process, print_main
from qa.outputs.directory import BEST, check_output
from qa.outputs.hub import upload
from qa.recipes import RECIPES, describe_recipe


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(lambda: train_or_list(given), needs_output=False)


def train_or_list(arguments: list[str]) -> None:
    """Train, or print the recipes if the command line asks for them."""
    command = parse_arguments(arguments)
    if command is not None:
        train(command)
        return
    for name in RECIPES:
        print(f"{name:<24}{describe_recipe(name)}")


def train(command: Command) -> None:
    """Build everything a run needs, then train, log, evaluate and save."""
    started, config = time.perf_counter(), command.config
    print_main(f"qa: recipe {config.recipe}: {describe_recipe(config.recipe)}")
    sources = config.model.model, config.data.train_data, config.data.eval_data
    check_output(config.output.output_dir, bool(command.resume), command.overwrite, sources)
    prepare_hub(*sources)
    with no_collection():
        from qa.engine.signals import StopSignals
        from qa.training.build import build_job
        from qa.training.session import Session

        job = build_job(config, report=print_main)
    # The session is the output directory with its curves, checkpoints and best model.
    with (
        StopSignals() as signals,
        Session(job, signals, command.resume, command.overwrite, started) as session,
    ):
        session.finish_interrupted_evaluation()
        for out in () if session.is_ending else job.run.steps():  # one optimizer step each
            session.record(out)
            if out.is_due(config.output.logging_steps):
                session.log(out)
            if out.is_due(config.evaluation.eval_steps):
                session.evaluate()
            if out.is_due(config.output.save_steps) or session.is_ending:
                session.save()
            if session.is_ending:
                break
        session.finish()
    if command.push_to_hub is not None and is_main_process():
        best = session.directory / BEST
        print(f"uploaded: {upload(best, command.push_to_hub, command.push_private)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
