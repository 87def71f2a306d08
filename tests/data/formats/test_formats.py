"""Formats besides plain JSON: each is read as the same examples, or refused in one line."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import pytest
from support.articles import article_examples, squad_json
from support.data_files import (
    ALL_FORMATS,
    csv_bytes,
    flat_rows,
    guids,
    korquad2,
    mrqa,
    parquet_bytes,
    zip_bytes,
)

import qa.cli.score
from qa.data.examples import Example
from qa.data.formats import read_examples
from qa.data.formats.files import DataFile
from qa.data.formats.tables import csv_rows
from qa.engine.errors import Notice, UserError

CONTEXT = "강나루는 1921년에 태어났다."
ANSWERED = Example("q1", "언제?", CONTEXT, ("1921년",), (5,))


def without_content(value: object) -> str | None:
    """Test names without compressed bytes, which hold the time and so differ between processes."""
    return "bytes" if isinstance(value, bytes) else None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *ALL_FORMATS.items(),
        ("two-parts.jsonl.gz", gzip.compress(mrqa()[:100]) + gzip.compress(mrqa()[100:])),
        ("semicolons.csv", csv_bytes(flat_rows(), ";")),
        ("tabs.csv", csv_bytes(flat_rows(), "\t")),
        ("tabs.tsv", csv_bytes(flat_rows(), "\t", "\n")),
        ("mark.csv", b"\xef\xbb\xbf" + csv_bytes(flat_rows())),
        ("utf16.csv", csv_bytes(flat_rows()).decode().encode("utf-16")),
        ("blank-lines.csv", csv_bytes(flat_rows(), line_end="\n\n")),
        (
            "floats.csv",
            csv_bytes([{**r, "answer_start": f"{r['answer_start']}.0"} for r in flat_rows()]),
        ),
        (
            "foreign.zip",
            zip_bytes(
                {
                    "README.txt": b"\xff",
                    "data/": b"",
                    "data/a.JSON": json.dumps(squad_json()).encode(),
                    "__MACOSX/data/._a.json": b"\x00\x05\x16\x07",
                    "data/.hidden.json": b"{",
                    "data/page.html": b"<html>",
                }
            ),
        ),
        ("packed.zip", zip_bytes({"a.jsonl.gz": gzip.compress(mrqa())})),
        (
            "lists.parquet",
            parquet_bytes(
                [
                    {**r, "answers": {"text": [r["answer"]], "answer_start": [r["answer_start"]]}}
                    for r in flat_rows()
                ]
            ),
        ),
    ],
    ids=without_content,
)
def test_formats(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    found = read_examples(str(tmp_path / name))
    if "mrqa" in name or "jsonl" in name or name == "packed.zip":  # these have no titles
        assert [e.title for e in found] == [""] * 12
        found = [
            Example(e.id, e.question, e.context, e.answers, e.answer_starts, x.title)
            for e, x in zip(found, article_examples(), strict=True)
        ]
    assert found == article_examples()


def test_folder(tmp_path: Path) -> None:
    """Sorted by name, folders below included; files that are no data are skipped."""
    (tmp_path / "2").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.json").write_text("{")
    (tmp_path / "README.md").write_text("{")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "0.zip").write_bytes(zip_bytes({"x/y.json": korquad2(slice(0, 1))}))
    (tmp_path / "1.json").write_bytes(korquad2(slice(1, 2)))
    (tmp_path / "2" / "a.csv").write_bytes(csv_bytes(flat_rows()[4:6]))
    (tmp_path / "3.parquet").write_bytes(parquet_bytes(flat_rows()[6:]))
    assert read_examples(str(tmp_path)) == article_examples()


def test_a_single_file_may_be_hidden_or_in_a_hidden_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".cache"
    folder.mkdir()
    (folder / ".a.json").write_bytes(korquad2())
    assert read_examples(str(folder / ".a.json")) == article_examples()
    (folder / "a.csv").write_bytes(csv_bytes(flat_rows()))
    assert read_examples(str(folder)) == article_examples()


def test_documents_of_korquad2_stay_as_they_are(tmp_path: Path) -> None:
    """Malformed HTML, Windows line ends, zero-width and astral characters: all count."""
    context = (
        "<html><p>\r\n\u200b😀<b>강나루</i>는 <1921년&nbsp;<!-- \u2028 태어났다.\x85</html\ufeff"
    )
    answer = {"text": "<b>강나루</i>는 <1921년&nbsp;", "answer_start": 13}
    qas = [{"id": 1, "question": "?", "answer": answer}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [{"title": "", "context": context, "qas": qas}]}))
    (example,) = read_examples(str(path))
    assert example.context == context
    assert (example.answers, example.answer_starts) == ((answer["text"],), (13,))


def test_questions_without_an_answer(tmp_path: Path) -> None:
    """SQuAD 2.0 and KLUE-MRC list a plausible answer, which is not read as one."""
    answers = [{"text": "1921년", "answer_start": 5}]
    qas = [
        {"id": "1", "question": "?", "answers": [], "is_impossible": True},
        {"guid": "2", "question": "?", "answers": answers, "is_impossible": True},
        {"id": "3", "question": "?", "answers": [], "plausible_answers": answers},
        {"id": "4", "question": "?", "answers": answers, "is_impossible": False},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": CONTEXT, "qas": qas}]}]}))
    assert [e.answers for e in read_examples(str(path))] == [(), (), (), ("1921년",)]


def mrqa_line(detected: Any, context: str = "강, 강나루와 나루") -> str:
    qa = {"qid": "1", "question": "?", "answers": ["다른 것"], "detected_answers": detected}
    return json.dumps({"context": context, "qas": [qa]})


@pytest.mark.parametrize(
    ("detected", "expected"),
    [
        ([{"text": "나루", "char_spans": [[4, 5], [8, 9]]}], [("나루", 4), ("나루", 8)]),
        (
            [
                {"text": "강", "char_spans": [[0, 0]]},
                {"text": "나루", "char_spans": [[4, 5]]},
                {"text": "강", "char_spans": [[0, 0], [3, 3]]},
            ],
            [("강", 0), ("나루", 4), ("강", 3)],
        ),
        (
            {"text": ["나루"], "char_spans": [{"start": [4, 8], "end": [5, 9]}]},
            [("나루", 4), ("나루", 8)],
        ),
        ([], []),
    ],
)
def test_spans_of_mrqa(detected: Any, expected: list[tuple[str, int]], tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(mrqa_line(detected))
    (example,) = read_examples(str(path))
    assert list(zip(example.answers, example.answer_starts, strict=True)) == expected


def test_mrqa_scores_count_the_answers_list(tmp_path: Path, capsys: Any) -> None:
    """By hand: the spans are learned from, and the official script's gold answers are `answers`.

    1: "fourteen years" is one of them, though not in the context: 1 and 1. 2: the article of "a big
    red car" goes, "red car" has 2 of the 3 words left: 0 and 2 * 1 * (2/3) / (1 + 2/3) = 0.8. 3:
    spelled with other punctuation only: 1 and 1. So the means are 2/3 and 2.8/3.
    """
    qas = [
        ("1", ["14", "fourteen years"], [("14", 4)]),
        ("2", ["a big red car"], [("big Red car", 12)]),
        ("3", ["USA"], [("U.S.A.", 31)]),
    ]
    context = "For 14 in a big Red car in the U.S.A."
    spans = {"14": [4, 5], "big Red car": [12, 22], "U.S.A.": [31, 36]}
    entry = {
        "context": context,
        "qas": [
            {
                "qid": i,
                "question": "?",
                "answers": answers,
                "detected_answers": [{"text": t, "char_spans": [spans[t]]} for t, _ in found],
            }
            for i, answers, found in qas
        ],
    }
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(entry))
    examples = read_examples(str(path))
    assert [list(zip(e.answers, e.answer_starts, strict=True)) for e in examples] == [
        found for _, _, found in qas
    ]
    assert [list(e.gold_answers) for e in examples] == [answers for _, answers, _ in qas]
    predictions = tmp_path / "p.json"
    predictions.write_text(json.dumps({"1": "fourteen years", "2": "red car", "3": "U.S.A"}))
    output = tmp_path / "scores"
    flags = [str(predictions), "--metric", "mrqa", "--output-dir", str(output)]
    assert qa.cli.score.main([*flags, "--data", str(path)]) == 0
    scores = json.loads((output / "metrics.json").read_text())["mrqa"]
    assert scores == pytest.approx({"exact_match": 200 / 3, "f1": 280 / 3})


def test_other_answers_besides_the_spans_of_mrqa(tmp_path: Path) -> None:
    """The hub's form has them too; one that is not a text is refused."""
    found = {"text": ["나루"], "char_spans": [{"start": [4], "end": [5]}]}
    row = {"id": "1", "question": "?", "context": "강, 강나루", "detected_answers": found}
    (tmp_path / "a.parquet").write_bytes(parquet_bytes([{**row, "answers": ["강나루", "나루"]}]))
    (example,) = read_examples(str(tmp_path / "a.parquet"))
    assert (example.answers, example.gold_answers) == (("나루",), ("강나루", "나루"))
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**row, "answers": [normalize("NFD", "강나루")]}))
    (example,) = read_examples(str(path), nfc=True)
    assert example.gold_answers == ("강나루",)
    (example,) = read_examples(str(path), labelled=False)
    assert example.gold_answers == ()
    path.write_text(json.dumps({**row, "answers": [1]}))
    with pytest.raises(UserError, match="line 1: answers beside detected_answers must be strings"):
        read_examples(str(path))


def test_empty_cells_are_questions_without_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,context,question,answer,answer_start\n1,강나루,?,,\n2,강나루,?,나루,1\n")
    assert [e.answers for e in read_examples(str(path))] == [(), ("나루",)]


def test_line_ends_in_a_cell_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        'id,context,question,answer,answer_start\r\n1,"강\r\n나\n""루""",?,루,6\r\n'.encode()
    )
    (example,) = read_examples(str(path))
    assert example.context == '강\r\n나\n"루"'
    assert example.answer_starts == (6,)


def test_long_cells(tmp_path: Path) -> None:
    """The csv module has a limit of 131,072 characters."""
    context = "강" * 200_000 + "나루"
    path = tmp_path / "a.csv"
    row = {"id": 1, "context": context, "question": "?", "answer": "나루", "answer_start": 200_000}
    path.write_bytes(csv_bytes([row]))
    (example,) = read_examples(str(path))
    assert example.context == context


@pytest.fixture
def csv_limit() -> Iterator[int]:
    """A limit on csv cells that the application itself has set."""
    before = csv.field_size_limit(100)
    yield 100
    csv.field_size_limit(before)


@pytest.mark.parametrize("end", ["all is read", "an error", "dropped"])
def test_the_limit_of_the_csv_module_stays(csv_limit: int, end: str) -> None:
    rows = [{"context": "강" * 101, "question": str(number)} for number in range(3)]
    content = csv_bytes(rows) + b"1,2,3\r\n" * (end == "an error")
    reading = csv_rows(DataFile("a.csv", ".csv", content), labelled=False)
    other = csv_rows(DataFile("b.csv", ".csv", content), labelled=False)  # at the same time
    for number in range(3):
        assert next(reading)[1]["question"] == next(other)[1]["question"] == str(number)
        assert csv.field_size_limit() == csv_limit
        with pytest.raises(csv.Error, match="field larger"):
            list(csv.reader(["강" * 101]))
        if end == "dropped":
            break
    if end == "all is read":
        assert list(reading) == []
    elif end == "an error":
        with pytest.raises(UserError, match="line 5 has 3 cells"):
            next(reading)
    else:
        del reading
    assert csv.field_size_limit() == csv_limit


def test_unlabelled_tables_need_no_answers_and_no_ids(tmp_path: Path) -> None:
    rows = [{"context": CONTEXT, "question": "언제?"}, {"context": CONTEXT, "question": "어디?"}]
    (tmp_path / "a.csv").write_bytes(csv_bytes(rows))
    (tmp_path / "a.parquet").write_bytes(parquet_bytes(rows))
    for name in ("a.csv", "a.parquet"):
        with pytest.warns(Notice, match="2 questions have no id"):
            found = read_examples(str(tmp_path / name), labelled=False)
        assert [(e.question, e.context) for e in found] == [("언제?", CONTEXT), ("어디?", CONTEXT)]
        with pytest.raises(UserError, match="column answers "):
            read_examples(str(tmp_path / name))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_repeated_contexts_and_titles_are_kept_once(
    suffix: str, form: Literal["NFC", "NFD"], tmp_path: Path
) -> None:
    """A document of KorQuAD 2.x on the hub stands in the row of each of its questions.

    More documents than `compose` remembers, and the questions of one are far apart.
    """
    rows = []
    for i in range(40):
        context = normalize(form, f"강나루 {i % 20}")
        title = normalize(form, f"강 {i % 20}")
        answer = {"answer": normalize(form, "강"), "answer_start": 0}
        rows.append({"id": str(i), "title": title, "context": context, "question": "?", **answer})
    writers: dict[str, Callable[[Any], bytes]] = {
        "csv": csv_bytes,
        "jsonl": lambda rows: "\n".join(map(json.dumps, rows)).encode(),
        "parquet": parquet_bytes,
    }
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(writers[suffix](rows))
    examples = read_examples(str(path), nfc=form == "NFD")
    assert [e.context for e in examples] == [f"강나루 {i % 20}" for i in range(40)]
    assert len({id(e.context) for e in examples}) == len({id(e.title) for e in examples}) == 20


HEADER = "id,context,question,answer,answer_start\n"


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"", "a.csv: is empty; expected a header and a row for each question"),
        (
            "a.csv",
            b"context,question\n",
            "column answers (or answer) missing; found context",
        ),
        (
            "a.csv",
            b"context,question,gold,end\n",
            "column answers (or answer) missing; found context, question, gold, end",
        ),
        (
            "a.csv",
            b"id,question,answer,answer_start\n",
            "column context missing; found id, question",
        ),
        ("a.csv", b"id,context,context,question,answer,answer_start\n", "column context stands tw"),
        ("a.csv", b'context,question,"an\nswer","an\nswer"\n', "column an\\nswer stands twice"),
        ("a.csv", HEADER, "holds no questions"),
        ("a.csv", HEADER + "1,강,?,강\n", "line 2 has 4 cells, the header 5"),
        ("a.csv", HEADER + "1,강,?,강,0,x\n", "line 2 has 6 cells, the header 5"),
        ("a.csv", HEADER + '1,"강,?,강,0\n', 'line 2 is not CSV (the " that opens'),
        ("a.csv", HEADER + '1,"강"나,?,강,0\n', 'line 2 is not CSV (a cell in " goes on after i'),
        (
            "a.csv",
            HEADER + "1,강,?,강,영\n",
            "line 2: answer_start must be a whole number, not '영",
        ),
        ("a.csv", HEADER + "1,강,?,강,0.5\n", "line 2: answer_start must be a whole number, not"),
        ("a.csv", HEADER + '1,"강\n나",?,강,0\n,,?,강,0\n', "line 4: the context is empty"),
        ("a.csv", HEADER + "1,강,?,강,1\n", "1 answers do not stand in their context"),
        (
            "a.csv",
            (HEADER + "1,강,?,강,0\n").encode("cp949"),
            "is not UTF-8 text (byte 42); it may",
        ),
        ("a.csv", "{}", "is JSON of another shape"),
        ("a.parquet", b"", "is not a whole Parquet file"),
        ("a.parquet", b"PAR1", "is not a whole Parquet file"),
        ("a.parquet", cut(parquet_bytes(flat_rows())), "is not a whole Parquet file"),
        (
            "a.parquet",
            parquet_bytes([{"id": 1, "context": "강"}]),
            "column question, answers (or answer) missing; found id,",
        ),
        (
            "a.parquet",
            parquet_bytes([{"id": "1", "context": "강", "question": None, "answers": None}]),
            "row 0: question must be a string",
        ),
        ("a.json.gz", b"", "is not JSON"),
        ("a.json.gz", b"{}", "is not a whole gzip file"),
        ("a.json.gz", cut(gzip.compress(korquad2())), "is not a whole gzip file"),
        ("a.json.gz", gzip.compress(b"{}")[:-3] + b"abc", "is not a whole gzip file"),
        ("a.zip", b"", "is not a zip file that can be read"),
        ("a.zip", cut(zip_bytes({"a.json": korquad2()})), "is not a zip file that can be read"),
        ("a.zip", zip_bytes({}), "holds no data files"),
        (
            "a.zip",
            zip_bytes({"a.html": b"", "b.txt": b"", "c": b"", "d": b""}),
            "found a.html, b.txt, c, ...",
        ),
        ("a.zip", zip_bytes({"a.json": korquad2(), "b.json": b"{"}), "a.zip/b.json: is not JSON"),
        ("a.zip", zip_bytes({"b/\n.json": b"{"}), "a.zip/b/\\n.json: is not JSON"),
        (
            "a.zip",
            zip_bytes({"a.json": korquad2(), "b.json": korquad2().replace(b"?", b"??")}),
            "12 questions repeat an",
        ),
        ("a.jsonl", mrqa_line([{"text": "강"}]), "detected_answers: char_spans must be a list"),
        ("a.jsonl", mrqa_line(["강"]), "detected_answers must be a list of objects"),
        ("a.jsonl", mrqa_line([{"char_spans": [[0, 10]]}]), "char_spans must be pairs"),
        ("a.jsonl", mrqa_line([{"char_spans": [[1, 0]]}]), "char_spans must be pairs"),
        ("a.jsonl", mrqa_line([{"char_spans": [[-1, 0]]}]), "char_spans must be pairs"),
        ("a.jsonl", mrqa_line([{"char_spans": [[0]]}]), "char_spans must be pairs"),
        ("a.jsonl", mrqa_line([{"char_spans": [[0.0, 1.0]]}]), "char_spans must be pairs"),
        ("a.jsonl", mrqa_line({"char_spans": [{"start": [0]}]}), "end must be a list"),
        (
            "a.jsonl",
            mrqa_line({"char_spans": [{"start": [0, 3], "end": [0]}]}),
            "char_spans has 2 starts but 1 ends",
        ),
    ],
    ids=without_content,
)
def test_wrong_content(name: str, content: bytes | str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        read_examples(str(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert expected in message
    assert "\n" not in message
    assert len(message) < 600


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.zip", "nowhere.parquet", "a.json.gz"])
def test_no_such_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_examples(str(tmp_path / name))


def test_archive_with_a_password(tmp_path: Path) -> None:
    """Bit 0 of a member's flags says that it is encrypted."""
    content = bytearray(zip_bytes({"a.json": korquad2()}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="password"):
        read_examples(str(tmp_path / "a.zip"))


@pytest.mark.parametrize("make", [korquad2, guids])
def test_hub_data_set_in_these_formats(make: Callable[[], bytes], tmp_path: Path) -> None:
    """A directory is read by `datasets` as a hub data set is."""
    from datasets import load_dataset

    (tmp_path / "a.json").write_bytes(make())
    flat = load_dataset("json", data_files=str(tmp_path / "a.json"), field="data", split="train")
    (tmp_path / "set").mkdir()
    flat.to_parquet(str(tmp_path / "set" / "train.parquet"))
    assert read_examples(f"hub:{tmp_path / 'set'}") == article_examples()
