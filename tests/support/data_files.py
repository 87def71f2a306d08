"""The articles in every format, as the bytes of a file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from typing import Any

from support.articles import ARTICLES, squad_json


def flat_rows() -> list[dict[str, Any]]:
    """`squad_json()` as rows with one answer beside its offset."""
    return [
        {
            "id": f"{n}-{i}",
            "title": title,
            "context": context,
            "question": question,
            "answer": answer,
            "answer_start": context.index(answer),
        }
        for n, (title, context, pairs) in enumerate(ARTICLES)
        for i, (question, answer) in enumerate(pairs)
    ]


def csv_bytes(rows: list[dict[str, Any]], delimiter: str = ",", line_end: str = "\r\n") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


def arrow_bytes(rows: list[dict[str, Any]], is_file: bool = False, batch: int = 5) -> bytes:
    """The rows as an Arrow stream, which `save_to_disk` writes, or in the form of an Arrow file."""
    import pyarrow
    from pyarrow import ipc

    table = pyarrow.Table.from_pylist(rows)
    sink = io.BytesIO()
    with (ipc.new_file if is_file else ipc.new_stream)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)
    return sink.getvalue()


def tar_bytes(members: dict[str, bytes], compression: str = "") -> bytes:
    """The members in a .tar, beside a folder and a link, which are no files."""
    sink = io.BytesIO()
    mode: Any = f"w:{compression}"
    with tarfile.open(fileobj=sink, mode=mode) as archive:
        for name, kind in (("data", tarfile.DIRTYPE), ("data/z.json", tarfile.SYMTYPE)):
            other = tarfile.TarInfo(name)
            other.type, other.linkname = kind, "../../../etc/passwd"
            archive.addfile(other)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


def xlsx_bytes(rows: list[dict[str, Any]]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def zip_bytes(members: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return sink.getvalue()


def korquad2(articles: slice = slice(None)) -> bytes:
    """The articles as KorQuAD 2.x has them: one context an article, one answer a question."""
    data = []
    for n, (title, context, pairs) in list(enumerate(ARTICLES))[articles]:
        qas = [
            {
                "id": f"{n}-{i}",
                "question": question,
                "answer": {
                    "text": answer,
                    "answer_start": context.index(answer),
                    "html_answer_start": 99,
                },
            }
            for i, (question, answer) in enumerate(pairs)
        ]
        data.append({"title": title, "context": context, "raw_html": "<html>", "qas": qas})
    return json.dumps({"version": "KorQuAD_2.1", "data": data}, ensure_ascii=False).encode()


def mrqa() -> bytes:
    """The articles as MRQA has them; a span names its first and its last character."""
    lines: list[Any] = [{"header": {"dataset": "강", "split": "train"}}]
    for n, (_, context, pairs) in enumerate(ARTICLES):
        qas = []
        for i, (question, answer) in enumerate(pairs):
            start = context.index(answer)
            span = [start, start + len(answer) - 1]
            found = {"text": answer.upper(), "char_spans": [span], "token_spans": [[0, 0]]}
            qas.append(
                {
                    "qid": f"{n}-{i}",
                    "question": question,
                    "answers": [answer],
                    "detected_answers": [found],
                }
            )
        lines.append({"id": "", "context": context, "context_tokens": [["강", 0]], "qas": qas})
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()


def guids() -> bytes:
    """`squad_json()` with KLUE-MRC's `guid` for ids."""
    return json.dumps(squad_json()).replace('"id"', '"guid"').encode()


def answers_in_a_cell(row: dict[str, Any]) -> dict[str, Any]:
    """A row as `to_csv` of datasets writes it."""
    answers = {"text": [row["answer"]], "answer_start": [row["answer_start"]]}
    return {name: row[name] for name in ("id", "title", "context", "question")} | {
        "answers": str(answers)
    }


def doccano(row: dict[str, Any]) -> dict[str, Any]:
    """A row as doccano exports it."""
    start, end = row["answer_start"], row["answer_start"] + len(row["answer"])
    rest = {"id": row["id"], "title": row["title"], "question": row["question"]}
    return {**rest, "text": row["context"], "label": [[start, end, "ANSWER"]]}


def label_studio_task(row: dict[str, Any]) -> dict[str, Any]:
    """A row as Label Studio exports it."""
    plain = doccano(row)
    ((start, end, label),) = plain.pop("label")
    value = {"start": start, "end": end, "text": row["answer"], "labels": [label]}
    return {"id": plain.pop("id"), "data": plain, "annotations": [{"result": [{"value": value}]}]}


ALL_FORMATS: dict[str, bytes] = {
    "squad.json": json.dumps(squad_json()).encode(),
    "squad.json.gz": gzip.compress(json.dumps(squad_json()).encode()),
    "squad.zip": zip_bytes({"a.json": json.dumps(squad_json()).encode()}),
    "klue.json": guids(),
    "korquad2.json": korquad2(),
    "korquad2.zip": zip_bytes({"b.json": korquad2(slice(2, 6)), "a.json": korquad2(slice(0, 2))}),
    "mrqa.jsonl.gz": gzip.compress(mrqa()),
    "flat.csv": csv_bytes(flat_rows()),
    "flat.csv.gz": gzip.compress(csv_bytes(flat_rows())),
    "flat.parquet": parquet_bytes(flat_rows()),
    "flat.arrow": arrow_bytes(flat_rows()),
    "squad.tar.gz": tar_bytes({"a.json": json.dumps(squad_json()).encode()}, "gz"),
    "squad.json.xz": lzma.compress(json.dumps(squad_json()).encode()),
    "flat.xlsx": xlsx_bytes(flat_rows()),
    "tabs.tsv": csv_bytes(flat_rows(), "\t"),
    "cells.csv": csv_bytes([answers_in_a_cell(row) for row in flat_rows()]),
    "lines.json": "\n".join(json.dumps(row) for row in flat_rows()).encode(),
    "columns.json": json.dumps(
        {name: [row[name] for row in flat_rows()] for name in flat_rows()[0]}
    ).encode(),
    "label_studio.json": json.dumps([label_studio_task(row) for row in flat_rows()]).encode(),
    "doccano.json": json.dumps([doccano(row) for row in flat_rows()]).encode(),
}
"""Every format as a file name and its content."""
