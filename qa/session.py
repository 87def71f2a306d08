"""What surrounds the loop of `train.py`: directory, curves, evaluation, checkpoints, report."""

from __future__ import annotations

import json
from typing import Any

import qa
from qa.arguments import Command
from qa.build import Job
from qa.engine.best import BestTracker
from qa.engine.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from qa.engine.errors import require
from qa.engine.files import replace_directory, restore_directory, write_json
from qa.engine.loop import StepOutput
from qa.engine.progress import progress_bar
from qa.engine.tensorboard import TensorBoard
from qa.evaluate import evaluate
from qa.output import BEST, CHECKPOINTS, CONFIG_FILE, METRICS_FILE, TENSORBOARD, make_output
from qa.predictions import PREDICTIONS_FILE, PredictionFiles
from qa.report import final_report, read_predictions, sample_answers, samples_as_markdown
from qa.training_log import TrainingLog


class Session:
    """One run of `train.py` in one output directory."""

    def __init__(self, job: Job, command: Command) -> None:
        self.job = job
        self.config = job.config
        self.run = job.run
        self.evaluates = bool(job.eval_examples)
        evaluation = job.config.evaluation
        self.tracker = BestTracker(
            evaluation.metric_for_best_model, evaluation.early_stopping_patience
        )
        state = self._load_newest() if command.resume else None
        output = job.config.output
        self.directory = make_output(output.output_dir, job.config.recipe, command.overwrite)
        write_json(self.directory / CONFIG_FILE, job.config.flat())
        print(f"output: {self.directory}", flush=True)
        if not self.evaluates:
            print("no --eval-data and no --holdout: best/ will be the last model, not scored")
        self.first_step = self.run.global_step + 1
        self.tensorboard = TensorBoard(self.directory / TENSORBOARD, self.run.global_step)
        self.bar = progress_bar(self.run.total_steps, self.run.global_step)
        self.log = TrainingLog(self.run, self.tensorboard, self.bar)
        if state is None:
            self.tensorboard.text(
                "config", f"```json\n{json.dumps(job.config.flat(), indent=2)}\n```"
            )
        else:
            self.log.load_state_dict(state["log"])

    @property
    def should_stop(self) -> bool:
        """Whether early stopping asks for the end."""
        return self.tracker.should_stop

    @property
    def is_finished(self) -> bool:
        """Whether a resumed run had already come to its end."""
        return self.should_stop or self.run.global_step >= self.run.total_steps

    def say(self, line: str) -> None:
        """Print a line without tearing the progress bar."""
        self.bar.write(line)

    def evaluate(self, out: StepOutput) -> None:
        """Score the held-out part; keep the model and its predictions if it is the best so far."""
        if not self.evaluates:
            return
        self.log.rates.pause()
        job = self.job
        with PredictionFiles(self.directory) as files:
            result = evaluate(job.answerer, job.eval_examples, job.eval_windows, files)
            flat = {f"{n}_{k}": v for n, score in result.scores.items() for k, v in score.items()}
            is_best = self.tracker.update(out.global_step, {**result.metrics, **flat})
            if is_best:
                with replace_directory(self.directory / BEST) as directory:
                    job.save_reader(directory)
                files.commit()
        self.tensorboard.scalars(
            {
                "eval/loss": result.eval_loss,
                **{f"eval/{name}": value for name, value in flat.items()},
            },
            out.global_step,
        )
        main = result.metrics
        share = 100 * result.decode_seconds / result.seconds
        self.say(
            f"step {out.global_step}: EM {main['exact_match']:.2f}  F1 {main['f1']:.2f}"
            f"  eval loss {main['eval_loss']:.4f}{'  (best so far)' if is_best else ''}"
            f"  [{result.seconds:.1f} s, decoding and scoring {share:.1f} %]"
        )
        self._write_metrics()
        self.log.rates.resume()

    def save(self, out: StepOutput) -> None:
        """Write a checkpoint from which `--resume` continues exactly."""
        self.log.rates.pause()
        self.tensorboard.flush()  # a resumed run relies on every point up to here
        state = {
            "run": self.run.state_dict(),
            "tracker": self.tracker.state_dict(),
            "log": self.log.state_dict(),
        }
        summary = {
            "epoch": out.epoch,
            "best": self.tracker.best,
            "qa_version": qa.__version__,
            "config": self.config.flat(),
        }
        checkpoints = self.directory / CHECKPOINTS
        save_checkpoint(checkpoints, out.global_step, state, summary)
        prune_checkpoints(checkpoints, self.config.output.save_total_limit)
        self.log.rates.resume()

    def finish(self) -> None:
        """Write the last files and print the table and the sample answers."""
        if not self.evaluates:
            with replace_directory(self.directory / BEST) as directory:
                self.job.save_reader(directory)
        self._write_metrics()
        samples = []
        if self.evaluates:
            samples = sample_answers(self.job.eval_examples, read_predictions(self.directory))
            self.tensorboard.text("samples", samples_as_markdown(samples), self.run.global_step)
        self.bar.close()
        self.tensorboard.close()
        print(final_report(self.directory, self.config.recipe, self.tracker, samples), flush=True)

    def _load_newest(self) -> dict[str, Any]:
        """Load the newest checkpoint of the output directory into run and tracker."""
        from pathlib import Path

        assert self.config.output.output_dir is not None  # --resume needs it
        directory = Path(self.config.output.output_dir) / CHECKPOINTS
        checkpoints = list_checkpoints(directory)
        require(
            checkpoints, f"{directory}: no checkpoint to resume from; leave out --resume to start"
        )
        state = load_checkpoint(checkpoints[-1])
        self.run.load_state_dict(state["run"])
        self.tracker.load_state_dict(state["tracker"])
        if self.tracker.best is not None:
            restore_directory(directory.parent / BEST)
            for name in (BEST, PREDICTIONS_FILE):
                require(
                    (directory.parent / name).exists(),
                    f"{directory.parent / name}: is missing, though step"
                    f" {self.tracker.best['step']} was the best; put it back, or start again with"
                    " --overwrite",
                )
        print(f"resuming from {checkpoints[-1]}", flush=True)
        return state

    def _write_metrics(self) -> None:
        """metrics.json: the best evaluation and all of them."""
        content = {
            "metric_for_best_model": self.tracker.metric,
            "best": self.tracker.best,
            "history": self.tracker.history,
        }
        write_json(self.directory / METRICS_FILE, content)
