"""Writing the form of a reader that passes the gate, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qa.answering.answerer import Answerer, make_answerer
from qa.answering.blocks import Window
from qa.answering.reader import Reader
from qa.data.examples import Example
from qa.engine.errors import RunStopped, notice
from qa.evaluation.null_threshold import main_score, metrics_for, threshold_on
from qa.export.forms import SMALLER_FORMS
from qa.export.gate import INT8_LOSS, Found, Row, compare, find_answers
from qa.export.onnx_file import write_onnx
from qa.models.onnx_reader import OnnxReader
from qa.models.span_reader import SpanReader

FP32 = "fp32"


class Search:
    """Measures forms of one reader on one data set.

    Args:
        reader: On the CPU, fp32.
        examples: Questions with gold answers, all of which count.
        windows: Their windows.
        report: Is told each row as soon as it is there.
    """

    def __init__(
        self,
        reader: Reader,
        examples: Sequence[Example],
        windows: Sequence[Window],
        report: Callable[[Row], None],
    ) -> None:
        self.reader = reader
        self.examples = examples
        self.windows = windows
        self.report = report
        self.metric = main_score(metrics_for(examples))
        self.threshold = threshold_on(reader.null_score_diff_threshold, examples)
        self.rows: list[Row] = []

    def write_best(self, file: Path, smaller: bool) -> str:
        """Write the form that passes to `file`, beside which others lie for a while.

        Args:
            file: Gets the form.
            smaller: Take the first smaller form that passes; fp32, with a `Notice`, if none does.

        Returns:
            Name of the form.

        Raises:
            RunStopped: The fp32 form does not answer as the reader does; exit code 1.
        """
        model = self.reader.model
        assert isinstance(model, SpanReader)  # `export_reader` refuses others
        write_onnx(model, file, "token_type_ids" in self.windows[0])
        self.reference = self._find(self.reader.answerer)
        num_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
        self._add(compare("torch", self.reference, self.reference, num_bytes))
        if not self._measure(FP32, file).is_same(len(self.examples)):
            raise RunStopped(
                "error: the exported model does not answer as the reader does (last line above);"
                " nothing is written",
                1,
            )
        if not smaller:
            return FP32
        if 100 / len(self.examples) > INT8_LOSS:
            notice(
                f"of {len(self.examples)} questions one alone is {100 / len(self.examples):.1f}"
                " points, so that only a form that loses none can pass; pass the whole held-out"
                " data"
            )
        candidate = file.with_name(f"smaller-{file.name}")
        for form, write in SMALLER_FORMS.items():
            write(file, candidate)
            if self._measure(form, candidate).is_as_good(len(self.examples)):
                candidate.replace(file)
                return form
        candidate.unlink()
        notice("no smaller form keeps the exact match; fp32 is written")
        return FP32

    def _measure(self, form: str, file: Path) -> Row:
        """Return the row of a form."""
        mine = self.reader.answerer
        longest = mine.collator.max_length
        own = mine.options, mine.precision, mine.batch_size
        answerer = make_answerer(OnnxReader(file), longest, *own)
        return self._add(compare(form, self.reference, self._find(answerer), file.stat().st_size))

    def _find(self, answerer: Answerer) -> Found:
        """Return what an answerer finds."""
        return find_answers(answerer, self.examples, self.windows, self.threshold, self.metric)

    def _add(self, row: Row) -> Row:
        """Keep a row, and report it."""
        self.rows.append(row)
        self.report(row)
        return row
