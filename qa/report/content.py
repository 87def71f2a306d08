"""All that the page shows, as one JSON object; places are in characters (code points)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from qa.data.examples import Example
from qa.engine.errors import require
from qa.evaluation.texts import score_texts
from qa.metrics import METRICS
from qa.metrics.table import score_table
from qa.report.buckets import DIVISIONS, make_buckets
from qa.report.calibration import Calibration, calibrate
from qa.report.comparison import compare_readers, flip_of
from qa.report.excerpts import excerpts
from qa.report.gains import FIRST, ceiling, exact_match, group_gains, is_reachable, kind_gains
from qa.report.judged import Judged, judge
from qa.report.kinds import KINDS, Span
from qa.report.no_answer import count_no_answer, outcome
from qa.report.predicted import Predicted
from qa.report.scores import score_rows
from qa.report.share_answered import share_answered


class Report:
    """What one reader did on a data set, or two: `page.py` writes it.

    Args:
        files: One reader's predictions, or those of two, of which the second is looked at.
        examples: The questions, with gold answers.
        names: Official scores; the first decides what is right.
        data: What the page calls the data.
    """

    def __init__(
        self,
        files: Sequence[Predicted],
        examples: Sequence[Example],
        names: Sequence[str],
        data: str,
    ) -> None:
        self.files, self.examples, self.names, self.data = files, examples, names, data
        judgements = [judge(each, examples, names[0]) for each in files]
        self.main_scores = [score for _, score in judgements]
        both = [{each.example.id: each for each in judged} for judged, _ in judgements]
        common = [i for i in both[-1] if all(i in each for each in both)]
        require(common, f"{' and '.join(each.name for each in files)}: have no question in common")
        self.judged = [both[-1][i] for i in common]
        # Of two readers the scores are each one's own, and all else is of what both have.
        self.is_part = any(len(each) > len(common) for each in both)
        self.before = [both[0][i] for i in common] if len(files) > 1 else None
        self.calibration: Calibration | None = calibrate(self.judged)

    def content(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {
            "data": self.data,
            "names": [each.name for each in self.files],
            "count": len(self.judged),
            "is_part": self.is_part,
            "left_out": len(self.examples) - len(self.judged),
            "measure": f"{METRICS[self.names[0]].title} exact match",
            "overlap": METRICS[self.names[0]].keys[1].upper().replace("_", "-"),
            "exact_match": exact_match(self.judged, lambda each: False),
            "scores": self._scores(),
            "first": FIRST,
            "ceiling": ceiling(self.judged),
            "kinds": [
                asdict(gain) | asdict(KINDS[gain.kinds[0]]) for gain in kind_gains(self.judged)
            ],
            "groups": {name: asdict(gain) for name, gain in group_gains(self.judged).items()},
            "buckets": [
                {
                    "dimension": name,
                    "title": division.title,
                    "rows": [asdict(bucket) for bucket in make_buckets(self.judged, division)],
                }
                for name, division in DIVISIONS.items()
            ],
            "calibration": self.calibration and asdict(self.calibration),
            "share_answered": _as_dict(share_answered(self.judged)),
            "no_answer": _as_dict(count_no_answer(self.judged)),
            "comparison": self._comparison(),
            **self._questions(),
        }

    def lines(self) -> list[str]:
        """Return lines for people: the scores, and what would help most."""
        results = {self.names[0]: self.main_scores[-1].compute()}
        where = f" over the {len(self.judged)} questions that count for both" * self.is_part
        errors = [gain for gain in kind_gains(self.judged) if gain.gain][:1]
        return [
            score_table(results),
            *(
                f"most is lost by: {KINDS[gain.kinds[0]].title},"
                f" {gain.count} question{'s' * (gain.count != 1)};"
                f" mended, exact match{where} would be {gain.exact_match:.2f}"
                for gain in errors
            ),
        ]

    def _scores(self) -> list[list[dict[str, Any]]]:
        """Return each file's official scores with their intervals, in %."""
        tables = []
        for file, main in zip(self.files, self.main_scores, strict=True):
            others = (score_texts(name, file.texts, self.examples) for name in self.names[1:])
            scores = [main, *others]
            tables.append([row for score in scores for row in score_rows(score)])
        return tables

    def _comparison(self) -> dict[str, Any] | None:
        """Return how the second reader differs from the first; None for one reader."""
        if self.before is None:
            return None
        first, second = (score.values for score in self.main_scores)
        found = compare_readers(self.before, self.judged, self.names[0], (first, second))
        kinds = [[*pair, count] for pair, count in found.kinds.items()]
        return asdict(found) | {"kinds": kinds}

    def _questions(self) -> dict[str, Any]:
        """Return the questions, what they can be filtered by, and their contexts."""
        tags: dict[str, int] = {}
        spans: dict[str, list[Span]] = {}
        rows = []
        for number, each in enumerate(self.judged):
            before = self.before[number] if self.before else None
            marked = spans.setdefault(each.example.context, [])
            marked += each.golds
            marked += [judged.span for judged in (each, before) if judged and judged.span]
            own = [tags.setdefault(tag, len(tags)) for tag in tags_of(each, before)]
            row = question_row(each, before)
            rows.append(row | {"tags": own, "context": each.example.context})
        numbers = {context: number for number, context in enumerate(spans)}
        for row in rows:
            row["context"] = numbers[row["context"]]
        return {
            "tags": list(tags),
            "contexts": excerpts(spans, len(rows)),
            "questions": rows,
        }


def tags_of(each: Judged, before: Judged | None) -> list[str]:
    """Return what a question can be filtered by, each "dimension:name"."""
    has_answer = "has answer" if each.example.gold_answers else "no answer"
    tags = [
        f"result:{'right' if each.is_right else 'wrong'}",
        f"kind:{each.kind}",
        f"group:{KINDS[each.kind].group}",
        f"outcome:{has_answer}, {outcome(each)}",
        *(f"{name}:{division.name_of(each.example)}" for name, division in DIVISIONS.items()),
    ]
    if not each.is_right and is_reachable(each):
        tags.append("reach:in the first candidates")
    if before is not None:
        tags += [f"flip:{flip_of(before, each)}", f"change:{before.kind}>{each.kind}"]
    return tags


def question_row(each: Judged, before: Judged | None) -> dict[str, Any]:
    """Return one question as the page shows it."""
    row: dict[str, Any] = {
        "id": each.example.id,
        "question": each.example.question,
        "kind": each.kind,
        "gold": list(dict.fromkeys(each.example.gold_answers)),
        "golds": each.golds,
        "prediction": each.prediction,
        "span": each.span,
        "overlap": round(each.overlap, 4),
        "candidates": [
            [answer.text, round(answer.probability, 4)] for answer in each.candidates[:FIRST]
        ],
        "rank": each.right_rank,
    }
    if before is not None:
        row["before"] = before.prediction
    return row


def _as_dict(figure: Any) -> dict[str, Any] | None:
    """Return a figure's fields; None if there is no figure."""
    return None if figure is None else asdict(figure)
