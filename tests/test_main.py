"""The one command, `python -m qa`: it lists its commands and hands on to them."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import pytest
from support.runs import ROOT

import train
from qa.__main__ import COMMANDS, main
from qa.cli.train_flags import parse_arguments


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_with_a_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == list(COMMANDS)
    assert all(len(line.split()) > 3 for line in lines if line.startswith("  "))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["preddict", "--verion", "", "train.py"])
def test_an_unknown_command_is_one_line_that_names_the_others(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert all(command in error for command in COMMANDS)


def test_the_loop_stands_in_one_file_only() -> None:
    """What an installed package runs as `qa train` is train.py, by a link, not a copy of it."""
    link = ROOT / "qa" / "cli" / "train.py"
    assert link.samefile(ROOT / "train.py")
    assert os.readlink(link) == "../../train.py"
    installed = import_module("qa.cli.train")
    assert installed.main.__code__.co_code == train.main.__code__.co_code


def test_qa_train_reads_the_flags_of_train_py(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list-recipes"]) == 0
    by_command = capsys.readouterr().out
    assert train.main(["--list-recipes"]) == 0
    assert capsys.readouterr().out == by_command
    assert main(["train", "--nonsense"]) == 2
    assert parse_arguments(["--list-recipes"]) is None


def test_the_list_is_there_at_once() -> None:
    """As a process, from wherever: no torch, whose import takes a second and more."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "qa", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.split("\n")
    }
    assert "qa" in imported
    assert not {"torch", "numpy", "transformers", "datasets"} & imported
