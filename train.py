"""Train a reader: python train.py [--recipe NAME | --model M --train-data F ...]

Command line -> build -> a loop you can see. Heavy imports come late, so that --help is quick.
"""

from __future__ import annotations

import sys
import time

from qa.cli.parser import run_command
from qa.cli.startup import no_collection, prepare_hub
from qa.cli.train_flags import Command, parse_arguments
from qa.engine.console import print_main
from qa.outputs.directory import check_output
from qa.recipes import RECIPES


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(lambda: start(sys.argv[1:] if arguments is None else arguments))


def start(arguments: list[str]) -> None:
    """List the recipes or train."""
    command = parse_arguments(arguments)
    if command is not None:
        train(command)
        return
    for name, (line, _) in RECIPES.items():
        print(f"{name:<24}{line}")


def train(command: Command) -> None:
    """Build everything, then train, log, evaluate and save."""
    started = time.perf_counter()
    config = command.config
    description = RECIPES[config.recipe][0] if config.recipe in RECIPES else "your own settings"
    print_main(f"qa: recipe {config.recipe}: {description}")

    check_output(config.output.output_dir, command.resume, command.overwrite)
    prepare_hub(config.model.model, config.data.train_data, config.data.eval_data)

    with no_collection():
        from qa.engine.signals import StopSignals
        from qa.training.build import build_job
        from qa.training.session import Session

        job = build_job(config, report=print_main)
    # The session is the output directory with its curves, checkpoints and best model.
    with StopSignals() as signals, Session(job, command, signals) as session:
        session.catch_up()
        # A resumed run may have come to its end already: then only the last files are written.
        for out in job.run.steps() if not session.is_finished else ():
            if out.global_step == session.first_step:
                session.say(f"first step after {time.perf_counter() - started:.1f} s")
            session.take(out)
            if out.is_due(config.output.logging_steps) or out.is_last:
                session.log.write(out)
            if out.is_due(config.evaluation.eval_steps) or out.is_last:
                session.evaluate()
            if out.is_due(config.output.save_steps) or out.is_last or session.is_ending:
                session.save()
            if session.is_ending:
                break
        session.finish()


if __name__ == "__main__":
    sys.exit(main())
