"""Signals that stop a run after its step, and one run at a time in a directory."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.files import no_file_larger_than
from support.runs import ROOT

from qa.engine import UserError
from qa.engine.distributed import World
from qa.engine.lock import LOCK_FILE, LOCKS, RunLock
from qa.engine.signals import STOP_SIGNALS, StopSignals

NAMES = ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"]


@contextmanager
def child(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a Python process that runs `code` and has printed its first line, "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


# Signals


def test_the_signals_are_those_of_shells_and_slurm() -> None:
    assert [number.name for number in STOP_SIGNALS] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_first_signal_is_only_noted_and_the_handlers_come_back(name: str) -> None:
    number = getattr(signal, name)
    before = [signal.getsignal(each) for each in STOP_SIGNALS]
    with StopSignals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        deadline = time.monotonic() + 10
        while signals.received is None and time.monotonic() < deadline:
            time.sleep(0.001)
        assert signals.received is number
        assert signals.received.name == name
        # The next one, whichever it is, ends the process.
        others = [each for each in STOP_SIGNALS if each != signal.SIGHUP]
        assert {signal.getsignal(each) for each in others} == {signal.SIG_DFL}
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_that_is_ignored_stays_ignored(name: str) -> None:
    """As nohup has it for SIGHUP, and a shell's script for SIGINT of what runs behind it."""
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_IGN)
    other = signal.SIGTERM if name != "SIGTERM" else signal.SIGINT
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), number)
            assert signals.received is None
            os.kill(os.getpid(), other)
            assert signals.received is other
            assert signal.getsignal(number) == signal.SIG_IGN  # also for a second signal
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def enter_and_fail(before: list[Any]) -> None:
    with StopSignals():
        assert [signal.getsignal(each) for each in STOP_SIGNALS] != before
        raise RuntimeError


def test_the_handlers_come_back_after_an_exception_too() -> None:
    before = [signal.getsignal(each) for each in STOP_SIGNALS]
    with pytest.raises(RuntimeError):
        enter_and_fail(before)
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before


TAKE_TWO = """
import sys, time
from qa.engine.distributed import World
from qa.engine.signals import StopSignals
with StopSignals() as signals:
    print("ready", flush=True)
    while signals.received is None:
        time.sleep(0.001)
    print("noted", signals.received.name, flush=True)
    time.sleep(50)
"""


@pytest.mark.e2e
def test_a_lost_terminal_may_say_so_twice() -> None:
    """The shell sends SIGHUP, and so does the system; the step is to end all the same."""
    with child(TAKE_TWO) as process:
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stdout.readline() == "noted SIGHUP\n"
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


@pytest.mark.e2e
@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGUSR1", "SIGINT")])
def test_a_second_signal_ends_the_process(first: str, second: str) -> None:
    with child(TAKE_TWO) as process:
        process.send_signal(getattr(signal, first))
        assert process.stdout is not None
        assert process.stdout.readline() == f"noted {first}\n"
        process.send_signal(getattr(signal, second))
        assert process.wait(10) == -getattr(signal, second)


@pytest.mark.parametrize(
    "received",
    [
        (signal.SIGTERM, None),
        (None, signal.SIGUSR1),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGINT),  # 15 and 2: their mean is 8, SIGFPE
        (signal.SIGUSR1, signal.SIGTERM),  # 10 and 15: their mean is 12, SIGUSR2
    ],
)
def test_processes_that_got_different_signals_agree_on_one_of_them(
    received: tuple[signal.Signals | None, ...],
) -> None:
    """Stands in for two processes: their messages are added up here."""
    messages: list[list[int]] = []

    def note(values: list[int]) -> list[int]:
        messages.append(values)
        return values

    def total(values: list[int]) -> list[int]:
        return [sum(column) for column in zip(*messages, strict=True)]

    for number in received:  # what each tells the others
        with_received(number).agree(world_that(note))
    agreed = []
    for number in received:
        signals = with_received(number)
        assert signals.agree(world_that(total))
        agreed.append(signals.agreed)
    assert agreed[0] == agreed[1]
    assert agreed[0] in [number for number in received if number is not None]


def test_without_a_signal_nobody_stops() -> None:
    signals = StopSignals()
    assert not signals.agree(World())
    assert signals.agreed is None


def with_received(number: signal.Signals | None) -> StopSignals:
    signals = StopSignals()
    signals.received = number
    return signals


def world_that(sum_ints: Any) -> Any:
    return SimpleNamespace(sum_ints=sum_ints, size=2)


# The lock


HOLD = """
import sys
from pathlib import Path
from qa.engine.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    lock.release()
    print("released", flush=True)
"""


def refused(directory: Path) -> str:
    with pytest.raises(UserError) as error:
        RunLock(directory)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_second_run_is_refused_by_host_and_pid_of_the_first(tmp_path: Path) -> None:
    with child(HOLD, str(tmp_path)) as process:
        for _ in range(2):  # being refused changes nothing
            message = refused(tmp_path)
            assert message.startswith(f"{tmp_path}: another run is writing there")
            assert f"host {socket.gethostname()}, pid {process.pid}" in message
            assert "another directory" in message
        RunLock(tmp_path.parent).release()  # another directory is free


def test_the_lock_of_a_killed_run_is_no_obstacle(tmp_path: Path) -> None:
    with child(HOLD, str(tmp_path)) as process:
        refused(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    text = (tmp_path / LOCK_FILE).read_text()
    assert f"pid {process.pid}" in text  # left behind
    lock = RunLock(tmp_path)
    text = (tmp_path / LOCK_FILE).read_text()
    assert text == f"host {socket.gethostname()}, pid {os.getpid()}\n"
    lock.release()


def test_a_released_lock_is_free_while_its_process_lives(tmp_path: Path) -> None:
    with child(HOLD, str(tmp_path)) as process:
        refused(tmp_path)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "released\n"
        assert (tmp_path / LOCK_FILE).read_text() == ""
        lock = RunLock(tmp_path)
        assert process.poll() is None
        lock.release()
        lock.release()  # twice is once


HOLD_AND_FORK = """
import os, sys, time
from pathlib import Path
from qa.engine.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
if os.fork() == 0:
    print("ready", flush=True)  # what is registered for forks has run
    for number in range(3):
        os.close(number)
    time.sleep(5)
    os._exit(0)
time.sleep(50)
"""


def test_a_data_worker_that_outlives_its_killed_run_does_not_hold_the_lock(tmp_path: Path) -> None:
    """A worker notices only after seconds that its parent is gone; --resume need not wait."""
    with child(HOLD_AND_FORK, str(tmp_path)) as process:
        refused(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        RunLock(tmp_path).release()


def test_a_released_lock_is_forgotten(tmp_path: Path) -> None:
    """What is registered for forks stays for good, so it must not hold on to every run's lock."""
    lock = RunLock(tmp_path)
    lock.release()
    left = weakref.ref(lock)
    del lock
    gc.collect()
    assert left() is None


def test_a_lock_is_held_even_if_nobody_keeps_it_and_makes_its_folder(tmp_path: Path) -> None:
    RunLock(tmp_path / "new")
    gc.collect()
    with pytest.raises(UserError, match="this process is writing there already"):
        RunLock(tmp_path / "new")
    for lock in tuple(LOCKS):
        lock.release()
    RunLock(tmp_path / "new").release()


def test_a_lock_that_could_not_be_written_is_not_held(tmp_path: Path) -> None:
    with no_file_larger_than(0), pytest.raises(OSError, match=LOCK_FILE):
        RunLock(tmp_path)
    RunLock(tmp_path).release()


def test_what_the_lock_holds_is_for_people(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    try:
        assert (tmp_path / LOCK_FILE).read_text().endswith(f", pid {os.getpid()}\n")
        with pytest.raises(UserError, match="this process is writing there already"):
            RunLock(tmp_path)  # flock keeps apart even two in one process
    finally:
        lock.release()
    assert (tmp_path / LOCK_FILE).read_text() == ""
