"""How a `Notice` reaches a person: a line of a command, a warning of a library."""

from __future__ import annotations

import warnings

import pytest

from qa.cli.parser import run_command
from qa.engine.errors import Notice, notice


def speak() -> None:
    for _ in range(2):  # Python's own filter would show the second one no more
        notice("3 questions were cut")
    warnings.warn("of another library", DeprecationWarning, stacklevel=2)


def test_a_command_prints_each_notice_as_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(DeprecationWarning, match="of another library"):
        assert run_command(speak) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["note: 3 questions were cut"] * 2


def test_of_several_processes_only_the_first_prints_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run_command(lambda: notice("3 questions were cut")) == 0
    assert capsys.readouterr().err == ""


def test_a_program_gets_a_warning_that_names_its_own_line() -> None:
    with pytest.warns(Notice, match="3 questions were cut") as given:
        speak()
    assert {warning.filename for warning in given.list[:2]} == {__file__}
