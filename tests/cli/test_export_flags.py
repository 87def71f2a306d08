"""What `qa export` says before it loads anything; none of it needs the extra."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qa.answering.reader import Reader
from qa.cli.export import main
from qa.engine.errors import UserError


def error_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command ends with."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_one_line_says_what_to_install(
    package: str,
    squad_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        # None makes an import fail, whether the package is installed or not.
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)
    arguments = ["best", "--output", str(tmp_path / "x.onnx"), "--data", str(squad_file)]
    error = error_of(arguments, capsys)
    assert package in error
    assert "pip install 'qa[export]'" in error


def test_an_export_without_onnxruntime_says_what_to_install(
    encoder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for name in ("config.json", "export.json", "model.onnx"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=r"onnxruntime.*pip install 'qa\[export\]'"):
        Reader.from_pretrained(tmp_path)


def test_only_an_export_is_replaced_and_only_if_asked(
    squad_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "x.onnx"
    arguments = ["best", "--output", str(output), "--data", str(squad_file)]
    output.mkdir()
    (output / "thesis.txt").write_text("mine")
    assert "no export" in error_of([*arguments, "--overwrite"], capsys)
    (output / "export.json").write_text("{}")
    assert "--overwrite" in error_of(arguments, capsys)
    assert (output / "thesis.txt").read_text() == "mine"
    arguments[2] = str(tmp_path / "missing" / "x.onnx")
    assert "missing: is not a directory" in error_of(arguments, capsys)


def test_a_reader_that_writes_is_refused_before_anything_is_to_be_installed(
    squad_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also one of transformers' own encoder and decoder, which has no file of qa's decoder."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "reader.json").write_text('{"decoding": "free"}')
    output = str(tmp_path / "x.onnx")
    arguments = [str(tmp_path), "--output", output, "--data", str(squad_file)]
    assert "a generative reader cannot be exported" in error_of(arguments, capsys)
