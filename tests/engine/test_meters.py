"""Meters, the best evaluation, TensorBoard's files and the progress bar."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qa.engine import (
    BestTracker,
    Mean,
    Rates,
    TensorBoard,
    UserError,
    load_checkpoint,
    progress_bar,
    save_checkpoint,
)
from qa.engine.meters import memory_bytes


def mean_of(values: list[float], skip_nonfinite: bool = False) -> float:
    mean = Mean(skip_nonfinite)
    for value in values:
        mean.add(torch.tensor(value))
    return mean.compute()


def test_mean() -> None:
    assert mean_of([1.0, 2.0, 6.0]) == 3.0
    assert mean_of([0.25]) == 0.25
    assert math.isnan(mean_of([]))


def test_mean_starts_afresh_after_compute() -> None:
    mean = Mean()
    mean.add(torch.tensor(5.0))
    mean.compute()
    assert math.isnan(mean.compute())
    mean.add(torch.tensor(1.0))
    assert mean.compute() == 1.0


def test_mean_keeps_no_graph() -> None:
    mean = Mean()
    mean.add(torch.ones((), requires_grad=True) * 2)
    assert isinstance(mean.total, torch.Tensor)
    assert not mean.total.requires_grad


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_mean_leaves_out_what_is_not_finite_if_asked_to(bad: float) -> None:
    assert mean_of([bad, 1.0, bad, 2.0], skip_nonfinite=True) == 1.5
    assert math.isnan(mean_of([bad], skip_nonfinite=True))
    assert not math.isfinite(mean_of([bad, 1.0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("skip_nonfinite", [False, True])
def test_mean_of_many_values_does_not_round_in_their_own_format(
    dtype: torch.dtype, skip_nonfinite: bool
) -> None:
    """bf16 cannot count beyond 256; 100 * 700 exceeds what fp16 can hold."""
    mean = Mean(skip_nonfinite)
    for _ in range(700):
        mean.add(torch.tensor(100.0, dtype=dtype))
    assert mean.compute() == 100.0


@pytest.mark.parametrize("skip_nonfinite", [False, True])
def test_mean_goes_on_from_a_checkpoint(tmp_path: Path, skip_nonfinite: bool) -> None:
    mean, resumed = Mean(skip_nonfinite), Mean(skip_nonfinite)
    mean.add(torch.tensor(1.0))
    mean.add(torch.tensor(2.0))
    path = save_checkpoint(tmp_path, 1, mean.state_dict(), {})
    resumed.load_state_dict(load_checkpoint(path))
    for each in (mean, resumed):
        each.add(torch.tensor(6.0))
    assert resumed.compute() == mean.compute() == 3.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until a test moves it."""
    now = [1000.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_rates_count_per_second_without_pauses(clock: list[float]) -> None:
    rates = Rates()
    clock[0] += 2
    rates.add({"num_items": 16, "num_tokens": 100})
    rates.pause()
    clock[0] += 50
    rates.pause()  # twice is as good as once
    clock[0] += 50
    rates.resume()
    clock[0] += 1
    rates.resume()
    rates.add({"num_items": 4, "num_tokens": 20})
    clock[0] += 1
    assert rates.compute() == ({"num_items": 20, "num_tokens": 120}, 4.0)


def test_rates_start_afresh_after_compute(clock: list[float]) -> None:
    rates = Rates()
    rates.add({"num_items": 16})
    clock[0] += 3
    rates.compute()
    assert rates.compute() == ({}, 0.0)
    rates.add({"num_items": 5})
    clock[0] += 2
    assert rates.compute() == ({"num_items": 5}, 2.0)


def test_memory_of_a_gpu_is_that_of_tensors_and_what_torch_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, size in [("max_memory_allocated", 2), ("max_memory_reserved", 3)]:
        sizes = {torch.device("cuda:1"): size * 2**30}
        monkeypatch.setattr(torch.cuda, name, sizes.__getitem__)
    assert memory_bytes(torch.device("cuda:1")) == {"peak": 2 * 2**30, "reserved": 3 * 2**30}


def test_memory_of_a_process() -> None:
    before = memory_bytes(torch.device("cpu"))
    held = torch.ones(2**26)  # 256 MiB, in touched pages
    after = memory_bytes(torch.device("cpu"))
    assert before.keys() == after.keys() == {"peak"}
    assert held.nbytes <= after["peak"] < 64 * 2**30


def updates(tracker: BestTracker, values: list[float]) -> list[bool]:
    return [tracker.update(i, {tracker.metric: value}) for i, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("metric", "expected", "best_step"),
    [
        ("f1", [True, True, False, False, True], 5),
        ("eval_loss", [True, False, False, True, False], 4),
    ],
)
def test_best_is_high_for_a_score_and_low_for_a_loss(
    metric: str, expected: list[bool], best_step: int
) -> None:
    tracker = BestTracker(metric)
    values = [3.0, 4.0, 4.0, 2.0, 5.0]  # the tie at the third is no improvement
    assert updates(tracker, values) == expected
    assert tracker.best == {"step": best_step, metric: values[best_step - 1]}
    assert tracker.history == [{"step": i, metric: v} for i, v in enumerate(values, 1)]
    assert not tracker.should_stop


def test_a_metric_that_is_missing_is_told_at_once() -> None:
    tracker = BestTracker("f1")
    with pytest.raises(UserError, match="there is no f1 among the metrics: accuracy, loss"):
        tracker.update(1, {"accuracy": 0.5, "loss": 1.0})
    assert tracker.history == []


def test_patience_of_nothing_is_refused() -> None:
    """The run would stop before its first step."""
    with pytest.raises(UserError, match="patience must be at least 1, or None .*, not 0"):
        BestTracker("eval_loss", patience=0)


def test_patience_counts_evaluations_since_the_best() -> None:
    tracker = BestTracker("eval_loss", patience=2)
    stops = []
    for step, loss in enumerate([3.0, 3.5, 2.0, 2.0, 2.1]):
        tracker.update(step, {"eval_loss": loss})
        stops.append(tracker.should_stop)
    assert stops == [False, False, False, False, True]


@pytest.mark.parametrize(("metric", "later"), [("f1", 0.1), ("eval_loss", 9.0)])
def test_a_nan_is_never_best_once_there_is_a_number(metric: str, later: float) -> None:
    """An evaluation that failed must neither stay the best one nor become it."""
    first = BestTracker(metric)
    assert updates(first, [math.nan, later, math.nan])[1:] == [True, False]
    assert first.best == {"step": 2, metric: later}


def test_best_goes_on_from_json() -> None:
    straight, before = BestTracker("f1", patience=2), BestTracker("f1", patience=2)
    values = [1.0, 3.0, 2.0]
    updates(straight, values)
    updates(before, values)
    resumed = BestTracker("f1", patience=2)
    resumed.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert not resumed.should_stop
    for tracker in (straight, resumed):
        assert not tracker.update(4, {"f1": 3.0})
        assert tracker.should_stop
    assert resumed.state_dict() == straight.state_dict()


def read_events(directory: Path) -> EventAccumulator:
    events = EventAccumulator(str(directory))
    events.Reload()
    return events


def test_tensorboard_can_be_read_back(tmp_path: Path) -> None:
    tensorboard = TensorBoard(tmp_path)
    for step in (1, 2, 3):
        tensorboard.scalars({"train/loss": 1 / 4**step, "eval/f1": 10.0 * step}, step)
    tensorboard.text("config", "한국어 `x`")
    tensorboard.close()
    events = read_events(tmp_path)
    assert sorted(events.Tags()["scalars"]) == ["eval/f1", "train/loss"]
    loss = [(e.step, e.value) for e in events.Scalars("train/loss")]
    assert loss == [(1, 0.25), (2, 0.0625), (3, 0.015625)]
    (text,) = events.Tensors("config/text_summary")
    assert text.tensor_proto.string_val[0].decode() == "한국어 `x`"


def test_what_was_flushed_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    tensorboard = TensorBoard(tmp_path)
    tensorboard.scalars({"x": 1.0}, 1)
    tensorboard.flush()
    assert [e.step for e in read_events(tmp_path).Scalars("x")] == [1]
    tensorboard.close()


@pytest.mark.parametrize("resumed_at", [0, 1, 4, 10])  # 0: killed before its first checkpoint
def test_a_resumed_run_drops_the_later_points_of_the_interrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumed_at: int
) -> None:
    write_curve(TensorBoard(tmp_path), range(1, 11), 1.0)
    an_hour_later = time.time() + 3600  # event files are read in the order of their times
    monkeypatch.setattr(time, "time", lambda: an_hour_later)
    write_curve(TensorBoard(tmp_path, resumed_at), range(resumed_at + 1, 13), 2.0)
    points = read_events(tmp_path).Scalars("x")
    assert [e.step for e in points] == list(range(1, 13))
    assert [e.value for e in points] == [1.0] * resumed_at + [2.0] * (12 - resumed_at)


def test_a_run_resumed_twice_has_no_doubled_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.time()
    for number, (resumed_at, last) in enumerate([(0, 6), (4, 8), (2, 9)]):
        monkeypatch.setattr(time, "time", lambda now=start + 3600 * number: now)
        write_curve(TensorBoard(tmp_path, resumed_at), range(resumed_at + 1, last + 1), number)
    points = [(e.step, e.value) for e in read_events(tmp_path).Scalars("x")]
    assert points == [(1, 0.0), (2, 0.0)] + [(step, 2.0) for step in range(3, 10)]


def write_curve(tensorboard: TensorBoard, steps: range, value: float) -> None:
    for step in steps:
        tensorboard.scalars({"x": value}, step)
    tensorboard.close()


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What an application's own `threading.excepthook` was told."""
    told: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(str(args.exc_value)))
    return told


def fail_in_a_thread(message: str) -> None:
    def fail() -> None:
        raise ValueError(message)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


@pytest.mark.parametrize("order", [[0], [0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_the_hook_for_failing_threads_is_used_and_put_back(
    tmp_path: Path, reports: list[str], order: list[int]
) -> None:
    hook = threading.excepthook
    boards = [TensorBoard(tmp_path / str(number)) for number in range(len(order))]
    for number in order:
        fail_in_a_thread(f"before {number}")
        boards[number].close()
        boards[number].close()  # twice is once
    assert threading.excepthook is hook
    assert reports == [f"before {number}" for number in order]


def test_processes_that_write_nothing_leave_the_hook_alone(reports: list[str]) -> None:
    hook = threading.excepthook
    tensorboard = TensorBoard(None)
    assert threading.excepthook is hook
    tensorboard.close()
    assert threading.excepthook is hook


def test_a_hook_that_came_later_stays(
    tmp_path: Path, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = TensorBoard(tmp_path / "0")
    before = threading.excepthook

    def later(args: threading.ExceptHookArgs) -> None:
        reports.append("later")
        before(args)

    monkeypatch.setattr(threading, "excepthook", later)
    first.close()
    assert threading.excepthook is later
    second = TensorBoard(tmp_path / "1")
    fail_in_a_thread("x")
    second.close()
    assert threading.excepthook is later
    assert reports == ["later", "x"]


def test_a_folder_that_cannot_be_written_leaves_the_hook_alone(
    tmp_path: Path, reports: list[str]
) -> None:
    hook = threading.excepthook
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        TensorBoard(tmp_path / "file")
    assert threading.excepthook is hook


def test_the_writing_thread_fails_in_silence_and_the_failure_is_raised(
    tmp_path: Path, reports: list[str], break_writes: Callable[[], None]
) -> None:
    """If this fails, TensorBoard may have renamed the class of its writing thread."""
    hook = threading.excepthook
    tensorboard = TensorBoard(tmp_path)
    break_writes()
    tensorboard.scalars({"x": 1.0}, 1)
    with pytest.raises(OSError, match="No space left"):
        tensorboard.close()
    assert threading.excepthook is hook
    assert reports == []


@pytest.fixture
def break_writes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the disk full for TensorBoard."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    def write(writer: RecordWriter, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda: monkeypatch.setattr(RecordWriter, "write", write)


def test_a_progress_bar_in_a_file_writes_few_lines_and_no_carriage_return(
    capfd: pytest.CaptureFixture[str],
) -> None:
    bar = progress_bar(total=2000, initial=500, unit="step")
    for _ in range(1500):
        bar.update()
    bar.set_postfix_str("loss 1.25")
    bar.close()
    error = capfd.readouterr().err
    lines = error.splitlines()
    assert "\r" not in error
    assert "\x1b" not in error
    assert error.endswith("\n")
    assert all(line.strip() for line in lines)
    assert "500/2000" in lines[0]
    assert "2000/2000" in lines[-1]
    assert "loss 1.25" in lines[-1]
    assert len(lines) <= 4  # one at most every 10 seconds, one at the start, one or two at the end


def test_a_line_beside_the_bar_is_not_torn(capfd: pytest.CaptureFixture[str]) -> None:
    bar = progress_bar(total=3)
    bar.write("step 1: F1 50.00")
    bar.update(3)
    bar.close()
    captured = capfd.readouterr()
    assert captured.out == "step 1: F1 50.00\n"
    assert all("3 [" in line for line in captured.err.splitlines())


@pytest.mark.parametrize(("smaller", "expected"), [(True, [3, 1]), (False, [3, 5]), (None, [3, 5])])
def test_which_way_is_better_can_be_said(smaller: bool | None, expected: list[float]) -> None:
    """Of a metric whose name does not end in loss."""
    tracker = BestTracker("perplexity", smaller_is_better=smaller)
    values = [3.0, 5.0, 1.0]
    found = updates(tracker, values)
    assert [value for value, is_best in zip(values, found, strict=True) if is_best] == expected


def test_a_run_that_is_killed_and_resumed_within_a_second_loses_no_point(tmp_path: Path) -> None:
    """Files of one second are read in the order of process numbers, as texts."""
    for number in range(3):
        first = TensorBoard(tmp_path, resumed_at=number)
        first.scalars({"x": number + 1}, number + 1)
        first.close()
        (file,) = tmp_path.glob(f"*.{os.getpid()}.*")
        file.rename(file.with_name(re.sub(r"\.\d+\.\d+$", f".{9 - number}.0", file.name)))
    assert [event.step for event in read_events(tmp_path).Scalars("x")] == [1, 2, 3]
