"""The curves of a training: what is measured between two log points, and where it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from qa.engine.loop import TrainingRun
from qa.engine.matrix_rate import matrix_rate
from qa.engine.meters import Mean, Rates, memory_bytes
from qa.engine.nonfinite import NonfiniteCheck
from qa.engine.step_limit import StepLimit
from qa.engine.step_output import StepOutput
from qa.engine.tensorboard import TensorBoard
from qa.models.flops import ModelFlops


class TrainingCurves:
    """Collects the figures of steps; `write` shows their means in TensorBoard and on the bar.

    "Utilisation" compares a step with large matrix products, whose rate on this machine is measured
    at the start: it is the share of that rate which the products for real tokens reach.

    Args:
        run: The run whose steps are recorded.
        tensorboard: Takes the curves.
        bar: The progress bar of the steps.
        flops: What a step of the model costs.
    """

    def __init__(
        self, run: TrainingRun, tensorboard: TensorBoard, bar: tqdm[Any], flops: ModelFlops
    ) -> None:
        self.run = run
        self.tensorboard = tensorboard
        self.bar = bar
        self.loss = Mean()
        # With fp16 a step that overflows is skipped, and its infinite norm is left out of the mean.
        self.grad_norm = Mean(skip_nonfinite=run.precision.name == "fp16")
        self.rates = Rates()
        self.flops = flops
        self.matrix_rate = matrix_rate(run.precision) * run.world.size
        self.limit = StepLimit()
        self.num_steps = 0  # since the last `write`
        self._last: StepOutput | None = None  # the last step of this process
        self.num_recorded = 0  # since this process started
        self.nonfinite = NonfiniteCheck(run.device, scales_loss=run.precision.name == "fp16")

    def record(self, out: StepOutput) -> None:
        """Note a step's figures, without a host sync."""
        self.loss.add(out.loss)
        self.grad_norm.add(out.grad_norm)
        self.nonfinite.record(out.global_step, out.loss, out.grad_norm)
        self.rates.add(out.counts)
        self._last = out
        self.num_steps += 1
        self.num_recorded += 1
        self.bar.update()

    def write(self, out: StepOutput) -> None:
        """Write the means since the last call. This is a host sync."""
        self.nonfinite.check(out.learning_rate)
        values = {
            "train/loss": self.loss.compute(),
            "train/learning_rate": out.learning_rate,
            "train/grad_norm": self.grad_norm.compute(),
            "train/loss_scale": self.run.precision.scaler.get_scale(),
            "train/skipped_steps": int(self.nonfinite.skipped),
            "train/epoch": out.epoch,
            **self._speeds(),
        }
        self.tensorboard.scalars(values, out.global_step)
        self.bar.set_postfix_str(
            f"loss {values['train/loss']:.4f}, lr {out.learning_rate:.2e},"
            f" {values['speed/windows_per_second']:.1f} windows/s,"
            f" {100 * values['speed/utilisation']:.0f} % of matrix rate",
            refresh=False,
        )

    def write_last(self) -> None:
        """Write what is left since the last call, of a run that ends before its last step."""
        if self._last is not None and self.num_steps:
            self.write(self._last)

    def _speeds(self) -> dict[str, float]:
        """Return the speeds since the last call, over all processes."""
        counts, seconds = self.rates.compute()
        # A generative reader's items are the tokens that it is to write.
        windows = "num_windows" if "num_windows" in counts else "num_items"
        names = (windows, "num_tokens", "num_positions", "num_token_pairs")
        sums = self.run.world.sum_ints([counts.get(name, 0) for name in names])
        num_windows, num_tokens, num_positions, num_token_pairs = sums
        operations = self.flops.training(num_tokens, num_token_pairs)
        spent, lag = self.run.clock.compute(), self.run.clock.lag()
        self.limit.add(spent, lag, self.num_steps)
        phases = {f"speed/{phase}_ms": 1000 * spent[phase] / self.num_steps for phase in spent}
        memory = memory_bytes(self.run.device)
        self.num_steps = 0
        return {
            "speed/windows_per_second": num_windows / seconds,
            "speed/tokens_per_second": num_tokens / seconds,
            "speed/padding_share": 1 - num_tokens / num_positions,
            "speed/utilisation": operations / seconds / self.matrix_rate,
            **phases,
            **({} if lag is None else {"speed/device_lag": lag}),
            **{f"speed/{kind}_memory_gib": memory[kind] / 2**30 for kind in memory},
        }

    def begin(self, settings: dict[str, Any], state: dict[str, Any] | None) -> None:
        """Show a new run's settings beside its curves, or go on from a resumed run's `state`."""
        if state is not None:
            self.load_state_dict(state)
            return
        text = json.dumps(settings, indent=2)
        self.tensorboard.text("config", f"```json\n{text}\n```")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what is done in this context, e.g. an evaluation, out of the speeds.

        Raises:
            RunStopped: A loss or a gradient was not finite, so that the model is worth neither an
                evaluation nor a checkpoint.
        """
        self.rates.pause()
        self.nonfinite.check(self.run.learning_rate(self.run.global_step - 1))
        yield
        self.rates.resume()

    def state_dict(self) -> dict[str, Any]:
        """Return the means in progress, so that a resumed run writes the same points."""
        return {
            "loss": self.loss.state_dict(),
            "grad_norm": self.grad_norm.state_dict(),
            "sickness": self.nonfinite.state_dict(),  # an old name that checkpoints have
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved means."""
        self.loss.load_state_dict(state["loss"])
        self.grad_norm.load_state_dict(state["grad_norm"])
        self.nonfinite.load_state_dict(state["sickness"])
