"""Output that nobody reads any more, or that its console has no letters for. As processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import ROOT

from qa.cli.parser import run_command

COMMAND = """
import sys
from qa.cli.parser import run_command
def command():
    for number in range(int(sys.argv[2])):
        print("\\ub2f5", number, flush=True)
        print("note", number, file=sys.stderr)
    open(sys.argv[3], "w").close()
before = sys.stdout, sys.stderr
code = run_command(command, needs_output=sys.argv[1] == "needed")
assert (sys.stdout, sys.stderr) == before
sys.exit(code)
"""
PRINTS = COMMAND.replace(", flush=True", "")  # into a buffer, written at the end only


def start(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        stdout=options.get("stdout", subprocess.PIPE),  # type: ignore[call-overload]
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "", "PYTHONIOENCODING": "utf-8"}
        | options.get("env", {}),  # type: ignore[operator]
        encoding="utf-8",
    )
    return process


@pytest.mark.parametrize(("needed", "expected"), [("needed", 141), ("not needed", 0)])
@pytest.mark.parametrize("code", [COMMAND, PRINTS], ids=["at once", "buffered"])
def test_a_reader_that_leaves(needed: str, expected: int, code: str, tmp_path: Path) -> None:
    """A command ends without a word, as Unix tools do; a training goes on to its end."""
    process = start(code, needed, "20000", str(tmp_path / "done"))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == expected, errors
    assert all(line.startswith("note") for line in errors.splitlines())
    assert (tmp_path / "done").exists() == (expected == 0)


@pytest.mark.parametrize("needed", ["needed", "not needed"])
def test_nobody_reads_the_notes(needed: str, tmp_path: Path) -> None:
    process = start(COMMAND, needed, "200", str(tmp_path / "done"))
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    assert len(process.communicate(timeout=60)[0].splitlines()) == 200
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("code", [COMMAND, PRINTS], ids=["at once", "buffered"])
def test_a_full_disk_under_the_output_of_a_command_is_told(code: str, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        process = start(code, "needed", "3", str(tmp_path / "done"), stdout=full)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "error: No space left on device: stdout"


@pytest.mark.parametrize(
    ("environment", "printed"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "\\ub2f5 0"),
        ({"PYTHONIOENCODING": "latin-1"}, "\\ub2f5 0"),
        ({"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"}, "\\ub2f5 0"),
        (
            {
                "PYTHONIOENCODING": "",
                "LC_ALL": "POSIX",
                "PYTHONCOERCECLOCALE": "0",
                "PYTHONUTF8": "0",
            },
            "\\ub2f5 0",
        ),
        ({"PYTHONIOENCODING": "utf-8"}, "답 0"),
    ],
    ids=["ascii", "latin-1", "unbuffered", "POSIX", "utf-8"],
)
def test_a_console_without_korean(
    environment: dict[str, str], printed: str, tmp_path: Path
) -> None:
    process = start(COMMAND, "needed", "1", str(tmp_path / "done"), env=environment)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output == printed + "\n"


def test_ctrl_c_is_one_line_and_130(capsys: pytest.CaptureFixture[str]) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    assert run_command(stopped) == 130
    assert capsys.readouterr().err == "interrupted\n"
