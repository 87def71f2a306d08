"""The report at the end of a run, and the temperature that it keeps with the best model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.files import read_json
from support.reports import made_up, many_examples, write_run

from qa.data.examples import Example
from qa.report.calibration import calibrate
from qa.report.judged import judge
from qa.training.run_report import write_report

SETTINGS = {"max_seq_length": 32, "null_score_diff_threshold": 1.5}


def run_of(directory: Path, examples: list[Example], heat: float) -> Path:
    """A run whose best model is far too sure, or not."""
    write_run(directory, made_up(examples, heat=heat))
    (directory / "best").mkdir()
    (directory / "best" / "reader.json").write_text(json.dumps(SETTINGS))
    return directory


@pytest.mark.parametrize("fits", [True, False])
def test_a_temperature_that_helps_is_kept(fits: bool, tmp_path: Path) -> None:
    examples = many_examples(30)
    run = run_of(tmp_path / "run", examples, heat=6)
    assert write_report(run, examples, fits) == run / "report.html"
    found = calibrate(judge(made_up(examples, heat=6), examples, "korquad1")[0])
    assert found is not None
    assert found.temperature is not None
    kept = {"temperature": found.temperature} if fits else {}
    assert read_json(run / "best" / "reader.json") == SETTINGS | kept
    first = (run / "report.html").read_bytes()
    write_report(run, examples, fits)  # as a run that is finished twice does
    assert (run / "report.html").read_bytes() == first


def test_of_few_questions_none_is_kept(tmp_path: Path) -> None:
    examples = many_examples(5)
    run = run_of(tmp_path / "run", examples, heat=6)
    write_report(run, examples, True)
    assert read_json(run / "best" / "reader.json") == SETTINGS
    assert (run / "report.html").is_file()
