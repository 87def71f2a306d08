"""Runs of train.py, or any Python, as processes forked from one that has all imports done.

A process that imports torch and transformers afresh takes seconds; a fork of one that has done so
is the same program after its imports.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]

SERVER = """
import gc, json, os, signal, sys, time
import torch
torch.set_num_threads(1)
import datasets, torch.utils.tensorboard, transformers.models.bert.modeling_bert
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
import train, qa.engine.matrix_rate, qa.training.build, qa.training.session
qa.engine.matrix_rate.CPU_SHAPE, qa.engine.matrix_rate.SECONDS = (64, 64, 64), 0  # as conftest does
# Patterns for the weights of all families, which transformers compiles once a process: 0.25 s.
get_checkpoint_conversion_mapping("bert")
gc.freeze()  # else each fork, when it ends, looks through all that was imported: 1 s

def start(request):
    pid = os.fork()
    if pid:
        return pid
    os.setsid()  # a process group of its own, as a shell gives a job
    for number, path in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(1 if path == "stdout" else os.open(path, flags), number)
    exec(request["prelude"], {"__name__": "prelude"})
    sys.exit(train.main(request["arguments"]))

def wait(request):
    deadline = time.monotonic() + request["timeout"]
    while True:
        pid, status = os.waitpid(request["pid"], os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.005)

print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps((start if "arguments" in request else wait)(request)), flush=True)
"""


def environment() -> dict[str, str]:
    """The variables of a run that is started afresh: one thread, UTF-8."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


@dataclass
class Launcher:
    """Starts runs and waits for them; what they print goes into files in `folder`."""

    server: subprocess.Popen[str]
    folder: Path
    started: int = 0

    @classmethod
    def open(cls, folder: Path) -> Launcher:
        """Start the process that imports everything."""
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            bufsize=1,
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        return cls(server, folder)

    def close(self) -> None:
        """End the process that imported everything."""
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(timeout=30)

    def start(
        self,
        arguments: Sequence[str],
        prelude: str = "",
        stdout: Path | None = None,
        stderr: Path | None = None,
    ) -> Run:
        """Start `train.py ARGUMENTS`.

        Args:
            arguments: The command line.
            prelude: Is executed before, in the same process.
            stdout: Where it prints to, if that is no new file of the launcher's: a path, which may
                be that of a pipe (`os.mkfifo`).
            stderr: The same; equal to `stdout` for both in one file.
        """
        self.started += 1
        stdout = stdout or self.folder / f"{self.started}.out"
        stderr = stderr or self.folder / f"{self.started}.err"
        request = {
            "arguments": list(arguments),
            "prelude": prelude,
            "stdout": str(stdout),
            "stderr": "stdout" if stderr == stdout else str(stderr),
        }
        return Run(self, self.ask(request), stdout, stderr)

    def run(self, arguments: Sequence[str], prelude: str = "", timeout: float = 120) -> Run:
        """Start a run and wait until it ends."""
        run = self.start(arguments, prelude)
        run.wait(timeout)
        return run

    def python(self, *words: str | Path, prelude: str = "") -> Run:
        """Run `python WORDS`, which name a script or follow `-m`, and wait until it ends."""
        return self.run([], prelude + as_python(words))

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request to the server and return its answer."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        return json.loads(self.server.stdout.readline())


@dataclass
class Run:
    """A run that was started."""

    launcher: Launcher
    pid: int
    stdout_file: Path
    stderr_file: Path
    code: int | None = None  # the exit code, as subprocess has it: -9 after SIGKILL

    def wait(self, timeout: float = 120) -> int:
        """Return the exit code; kill a run that does not end in time, and fail."""
        if self.code is None:
            self.code = self.launcher.ask({"pid": self.pid, "timeout": timeout})
        if self.code is None:
            os.killpg(self.pid, signal.SIGKILL)  # the whole group: its data workers too
            self.code = self.launcher.ask({"pid": self.pid, "timeout": timeout})
            raise AssertionError(f"run did not end in {timeout} s\n{self.stdout}\n{self.stderr}")
        return self.code

    def kill(self, number: int) -> None:
        """Send a signal to the run."""
        os.kill(self.pid, number)

    @property
    def stdout(self) -> str:
        """What the run printed so far."""
        return read(self.stdout_file)

    @property
    def stderr(self) -> str:
        """What the run printed on stderr so far, progress bar included."""
        return read(self.stderr_file)

    @property
    def error_lines(self) -> list[str]:
        """The lines on stderr that are not states of the progress bar."""
        lines = self.stderr.replace("\r", "\n").splitlines()
        return [line for line in lines if line.strip() and not re.match(r" *\d+%\|", line)]


class Forked:
    """A fork that `qa.engine.program` takes for the `subprocess.Popen` of its command."""

    def __init__(
        self,
        launcher: Launcher,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: IO[str],
        stderr: int,
        start_new_session: bool,
    ) -> None:
        python, *words = command
        asked = python, stdin, stderr, start_new_session
        assert asked == (sys.executable, subprocess.DEVNULL, subprocess.STDOUT, True)
        printed = Path(stdout.name)
        self.run = launcher.start([], as_python(words), printed, printed)
        self.pid = self.run.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, None before the end was seen."""
        return self.run.code

    def poll(self) -> int | None:
        """Look whether it has ended."""
        if self.run.code is None:
            self.run.code = self.run.launcher.ask({"pid": self.pid, "timeout": 0})
        return self.run.code

    def wait(self) -> int:
        """Wait until it ends."""
        return self.run.wait()


def forking(launcher: Launcher) -> Any:
    """What replaces the module `subprocess` in `qa.engine.program`, to fork what it starts."""
    names = {"DEVNULL": subprocess.DEVNULL, "STDOUT": subprocess.STDOUT}
    return SimpleNamespace(Popen=partial(Forked, launcher), **names)


def as_python(words: Sequence[str | Path]) -> str:
    """A prelude that does what `python WORDS` does, and ends; the words name a script or `-m`."""
    texts = list(map(str, words))
    what = f"run_path({texts[0]!r}"
    if texts[0] == "-m":
        texts = texts[1:]
        what = f"run_module({texts[0]!r}, alter_sys=True"
    lines = (
        "import runpy, sys",
        f"sys.argv = {texts!r}",
        f"runpy.{what}, run_name='__main__')",
        "sys.exit()",
    )
    return "\n".join(lines)


def read(path: Path) -> str:
    """Return a file's text; "" if the run has not made it yet."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def wait_until(condition: Callable[[], object], run: Run | None = None) -> None:
    """Wait until a condition holds, and fail after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, (run.stdout, run.stderr) if run else ""
        time.sleep(0.005)


def free_port() -> int:
    """Return a free port, at which the processes of a run can meet."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def as_rank(rank: int, size: int, port: int) -> str:
    """Return a prelude that sets what torchrun tells a process."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    values = {name: str(value) for name, value in names.items()}
    return f"import os\nos.environ.update({values | {'MASTER_ADDR': '127.0.0.1'}})\n"


def die_at_step(number: int) -> str:
    """Return a prelude by which a run of train.py is killed when it has made so many steps."""
    return f"""
import os, signal
from qa.training.session import Session
record = Session.record
def record_or_die(session, out):
    if out.global_step == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    record(session, out)
Session.record = record_or_die
"""
