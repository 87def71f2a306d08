"""`python -m qa serve`: how it starts, and how a signal ends it."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runs import ROOT, Launcher, Run, wait_until
from support.serving import PAIR, read_all, request_bytes

import qa.cli.serve
from qa.engine.errors import UserError
from qa.serving.run import address, bind

BEST = ROOT / "tests" / "outputs" / "golden" / "answerable" / "run" / "best"
FLAGS = ["--port", "0", "--device", "cpu", "--precision", "fp32", "--timeout", "60"]
LONG = {"question": PAIR["question"], "context": "강나루는 1921년에 태어났다. " * 3000}
"""Its reading takes seconds."""


def start(launcher: Launcher, *flags: str) -> tuple[Run, int]:
    """Start the command and return it with its port, once it serves."""
    arguments = [str(BEST), *FLAGS, *flags]
    run = launcher.start([], f"import sys, qa.cli.serve\nsys.exit(qa.cli.serve.main({arguments}))")
    wait_until(lambda: "serving at" in run.stdout or run.stderr, run)
    match = re.fullmatch(r"serving at http://127\.0\.0\.1:(\d+)\n", run.stdout)
    assert match, run.stderr
    return run, int(match[1])


class Client:
    """Sends a request; `wait` returns what came back."""

    def __init__(self, port: int, sent: Any) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.connection.sendall(request_bytes(sent))
        self.content = b""
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        with self.connection:
            try:
                self.content = read_all(self.connection)
            except ConnectionResetError:
                self.content = b""

    def wait(self) -> bytes:
        """Return all that was received."""
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self.content


def counts(port: int, line: str) -> bool:
    """Whether a line is among the server's metrics."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return line in read_all(connection).decode().splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_answer_and_end_with_0(number: signal.Signals, launcher: Launcher) -> None:
    """One request is being read, and one waits."""
    run, port = start(launcher)
    reading = Client(port, LONG)
    wait_until(lambda: counts(port, "qa_queue_seconds_count 1"), run)
    waiting = Client(port, PAIR)
    wait_until(lambda: counts(port, "qa_queue_length 1"), run)
    run.kill(number)
    for client in (reading, waiting):
        content = client.wait()
        assert content.startswith(b"HTTP/1.1 200 "), content[:200]
        assert json.loads(content.partition(b"\r\n\r\n")[2])["answers"]
    assert run.wait() == 0
    assert run.stderr == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_second_signal_ends_it_at_once(launcher: Launcher) -> None:
    run, port = start(launcher, "--no-nfc", "--threads", "1")
    reading = Client(port, LONG)
    wait_until(lambda: counts(port, "qa_queue_seconds_count 1"), run)
    run.kill(signal.SIGTERM)
    # The first signal has been noted when no more connections are taken.
    wait_until(lambda: is_refused(port), run)
    run.kill(signal.SIGTERM)
    assert run.wait() == -signal.SIGTERM
    assert reading.wait() == b""


def is_refused(port: int) -> bool:
    """Whether no connection is taken."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, which must refuse, and return its line."""
    assert qa.cli.serve.main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize("package", ["uvicorn", "starlette.types"])
def test_without_the_extra_it_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith("qa.serving.")]:
        monkeypatch.delitem(sys.modules, name)
    message = error_of([str(BEST), *FLAGS], capsys)
    assert message.startswith("qa serve needs starlette and uvicorn (")
    assert message.endswith(": pip install 'qa[serve]'")


def test_threads_are_set_before_a_reader_takes_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export does so when it is loaded."""
    found = []

    def load(options: Any) -> None:
        found.append(torch.get_num_threads())
        raise UserError("enough")

    before = torch.get_num_threads()
    monkeypatch.setattr(qa.cli.serve, "load_reader", load)
    try:
        for threads in (1, 3):
            assert qa.cli.serve.main([str(BEST), *FLAGS, "--threads", str(threads)]) == 2
    finally:
        torch.set_num_threads(before)
    assert found == [1, 3]


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = error_of([str(tmp_path / "no model"), "--port", str(port)], capsys)
    assert message == (
        f"cannot listen at 127.0.0.1 port {port} (Address already in use); pass another --host or"
        " --port, or --port 0 for any free one"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "70000"], "cannot listen at 127.0.0.1 port 70000 ("),
        (["--host", "no host", "--port", "0"], "cannot listen at no host port 0 ("),
        (["--max-queue", "0"], "max_queue must be at least 1, not 0"),
        (["--max-batch", "0"], "max_batch must be at least 1, not 0"),
        (["--max-context-length", "0"], "max_context_length must be at least 1, not 0"),
        (["--timeout", "0"], "timeout must be above 0 and at most 86400 seconds, not 0.0"),
        (["--timeout", "nan"], "timeout must be above 0 and at most 86400 seconds, not nan"),
        (["--threads", "0"], "--threads must be 1 to 1,024, not 0"),
        (["--threads", "99999999999"], "--threads must be 1 to 1,024, not 99999999999"),
        (["--port", "0"], "no model: "),
    ],
)
def test_what_is_refused(
    flags: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert error_of(["./no model", *flags], capsys).removeprefix("./").startswith(message)


def test_the_address_can_be_typed_into_a_browser() -> None:
    with bind("127.0.0.1", 0) as server:
        assert address(server) == f"http://127.0.0.1:{server.getsockname()[1]}"
    try:
        with bind("::1", 0) as server:
            assert address(server) == f"http://[::1]:{server.getsockname()[1]}"
    except UserError as error:
        pytest.skip(str(error))  # a machine without IPv6
