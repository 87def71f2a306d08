"""The report that a run leaves beside its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qa.answering.reader_settings import SETTINGS_FILE, TEMPERATURE, keep_settings
from qa.data.examples import Example
from qa.outputs.directory import BEST, REPORT_FILE
from qa.report.content import Report
from qa.report.page import write_page
from qa.report.predicted import read_predicted
from qa.report.scores import report_scores


def write_report(directory: Path, examples: Sequence[Example], fits_temperature: bool) -> Path:
    """Write the page on the best model's predictions, and return where it is.

    Args:
        directory: The run's output directory.
        examples: The questions that were held out, with gold answers.
        fits_temperature: Keep the temperature, if there is one that helps, with the best model.
    """
    predicted = read_predicted(str(directory))
    report = Report([predicted], examples, report_scores(examples), "the held-out part")
    write_page(directory / REPORT_FILE, report.content())
    if fits_temperature and report.calibration and report.calibration.temperature:
        keep_settings(
            directory / BEST / SETTINGS_FILE, {TEMPERATURE: report.calibration.temperature}
        )
    return directory / REPORT_FILE
