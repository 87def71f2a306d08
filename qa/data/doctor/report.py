"""The doctor's report as lines and aligned tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from qa.data.overlap import Overlap, overlap_lines
from qa.engine.errors import first_few

Cells: TypeAlias = tuple[str, ...]
LEFT_OUT = "left out"  # a person should look at these


def report_lines(report: dict[str, Any]) -> list[str]:
    """Return the lines that show the report of `qa.cli.doctor.make_report` to people."""
    lines = [shown_path(report["file"]), *findings(report)]
    if "eval_data" in report:
        lines += [shown_path(report["eval_data"]["file"])]
        lines += findings(report["eval_data"], is_written=False)
    if "overlap" in report:
        evaluation = list(report["parts"].values())[-1]
        found = overlap_lines(Overlap(**report["overlap"]), evaluation["questions"])
        lines += found or ["no question to evaluate on stands in the training data"]
    for name, profile in report["parts"].items():
        lines += ["", name, *indented(count_table(profile))]
        lines += ["", *indented(length_table(profile))]
        if "windows" in profile:
            for rows in (
                tokenizer_table(profile["tokenizer"]),
                profile["tokenizer"]["problems"],
                ceiling_table(profile),
                window_table(profile["windows"]),
            ):
                lines += ["", *indented(rows)] if rows else []
    if report["model"] is None:
        lines += ["", "(tokens, ceilings and windows: pass --model)"]
    return lines


def findings(report: dict[str, Any], is_written: bool = True) -> list[str]:
    """Return lines on what is wrong with answers, ids and characters, and how it is mended.

    Args:
        report: What `qa.cli.doctor.mending` returns.
        is_written: Whether --write-fixed writes this data.
    """
    answers, wrong = report["answers"], report["misplaced_answers"]
    if wrong:
        line = f"{answers:,} answers, {wrong:,} of them not at their answer_start"
        if report["answer_start_counts"] is not None:
            line += f", which counts {report['answer_start_counts']}"
        lines = [line]
    else:
        lines = [f"{answers:,} answers, all at their answer_start"]
    rows = [
        (
            done,
            f"{count:,}",
            first_few(report["affected_ids"][done]) if done.startswith(LEFT_OUT) else "",
        )
        for done, count in report["mending"].items()
    ]
    lines += indented(table(rows, align="<><"))
    for key, text in (
        ("questions_left_out", "questions left out, since none of their answers could be mended"),
        ("questions_with_decomposed_hangul", "questions in decomposed Hangul (NFD), composed"),
        ("ids_renamed", "ids that another question has, renamed"),
    ):
        if report[key]:
            lines.append(f"{report[key]:,} {text}")
    if len(lines) > 1:
        how = " (--write-fixed OUT writes it)" if is_written else ""
        lines.append(f"the figures below are those of the mended data{how}")
    return lines


def count_table(profile: dict[str, Any]) -> list[str]:
    """Return the counts as a table."""
    share = f"{format_number(profile['recurring_answers_percent'], 1)} %"
    rows: list[Cells] = [
        ("questions", f"{profile['questions']:,}", ""),
        ("without an answer", f"{profile['questions_without_answer']:,}", ""),
        ("articles", f"{profile['articles']:,}", ""),
        ("contexts", f"{profile['contexts']:,}", ""),
        ("questions asked again about the same context", f"{profile['repeated_questions']:,}", ""),
        ("answers that recur in their context", f"{profile['recurring_answers']:,}", share),
    ]
    return table(rows)


def length_table(profile: dict[str, Any]) -> list[str]:
    """Return the lengths in characters and, with a tokenizer, in tokens as a table."""
    columns = ("mean", "median", "p95", "max")
    rows: list[Cells] = [("length", *columns)]
    for unit in ("characters", "tokens"):
        for text, values in profile.get(unit, {}).items():
            cells = [format_number(values and values[name], name == "mean") for name in columns]
            rows.append((f"{text}, {unit}", *cells))
    return table(rows)


def tokenizer_table(health: dict[str, Any]) -> list[str]:
    """Return what the tokenizer makes of the contexts as a table."""
    rows: list[Cells] = [
        (name, f"{health[key]:,}", f"{format_number(health[f'{key}_percent'], 2)} %")
        for name, key in (
            ("characters that no token covers", "uncovered"),
            ("unknown tokens", "unknown"),
            ("tokens with the offsets of another text", "misplaced"),
        )
    ]
    rows += [
        (f"tokens a {unit}", format_number(health[f"tokens_a_{unit}"], 2), "")
        for unit in ("word", "character")
    ]
    return table(rows)


def ceiling_table(profile: dict[str, Any]) -> list[str]:
    """Return the best scores that answers of whole tokens and of characters can have as a table."""
    rows: list[Cells] = [("ceiling of the KorQuAD 1.0 score", "exact_match", "f1")]
    for key, name in (("tokens", "whole tokens"), ("characters", "characters")):
        scores = profile[f"ceiling_by_{key}"] or {}
        rows.append((name, *(format_number(scores.get(n), 2) for n in ("exact_match", "f1"))))
    return table(rows)


def window_table(windows: dict[str, Any]) -> list[str]:
    """Return the counts of windows and of what they miss as a table."""
    size, overlap = windows["max_seq_length"], windows["window_overlap"]
    rows: list[Cells] = [
        (f"windows of {size} tokens, overlap {overlap}", f"{windows['number']:,}", ""),
        *(
            (name, f"{windows[key]:,}", f"{format_number(windows[f'{key}_percent'], 1)} %")
            for name, key in (("with the answer", "with_answer"), ("full", "full"))
        ),
    ]
    missed: list[Cells] = [
        (
            each["what"],
            f"{len(each['ids']):,}",
            *((first_few(each["ids"]), each["mend"]) if each["ids"] else ("", "")),
        )
        for each in windows["missed"]
    ]
    return table(rows) + table(missed, "<><<")


def table(rows: Sequence[Cells], align: str = "<") -> list[str]:
    """Return rows as lines; `align` has `<` or `>` for each column, and `>` is that of the rest."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    align = align.ljust(len(widths), ">")
    return [
        "  ".join(f"{cell:{align[i]}{widths[i]}}" for i, cell in enumerate(row)).rstrip()
        for row in rows
    ]


def format_number(value: float | None, decimals: int) -> str:
    """Return a number with thousands separated; a dash for None."""
    return "-" if value is None else f"{value:,.{int(decimals)}f}"


def shown_path(path: str) -> str:
    """Return the path, or the end of a long one."""
    return path if len(path) <= 100 else "..." + path[-97:]


def indented(lines: list[str]) -> list[str]:
    """Return the lines, indented by two blanks."""
    return [f"  {line}" for line in lines]
