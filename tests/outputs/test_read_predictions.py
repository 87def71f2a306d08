"""Predictions from other programs: every form gives the same texts, anything else one line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.answering.nbest import Answer
from qa.data.examples import Example
from qa.engine.errors import Notice, UserError
from qa.outputs.answers_file import write_answers
from qa.outputs.read_predictions import read_na_probs, read_prediction_file

Texts = dict[str, str]


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def as_lines(rows: list[Any]) -> str:
    return "".join(as_json(row) + "\n" for row in rows)


def as_table(texts: Texts, delimiter: str, *columns: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(columns)
    writer.writerows([key, text] for key, text in texts.items())
    return out.getvalue()


def rows(texts: Texts, id_key: str, text_key: str, **others: Any) -> list[dict[str, Any]]:
    return [{**others, id_key: key, text_key: text} for key, text in texts.items()]


def nbest(texts: Texts) -> dict[str, Any]:
    """Empty texts are questions without a candidate."""
    return {
        key: [{"text": text, "probability": 0.7, "start": 3}] if text else []
        for key, text in texts.items()
    }


def own_lines(texts: Texts) -> str:
    """As `qa predict --json` prints them."""
    return as_lines(
        [
            {"id": key, "question": "누구?", "answers": answers}
            for key, answers in nbest(texts).items()
        ]
    )


FORMS: dict[str, tuple[str, Callable[[Texts], str]]] = {
    "predictions.json": ("p.json", as_json),
    "any suffix": ("p.txt", as_json),
    "objects": ("p.json", lambda t: as_json({key: {"text": text} for key, text in t.items()})),
    "nbest_predictions.json": ("p.json", lambda t: as_json(nbest(t))),
    "evaluate's squad": ("p.json", lambda t: as_json(rows(t, "id", "prediction_text"))),
    "evaluate's squad_v2": (
        "p.json",
        lambda t: as_json(rows(t, "id", "prediction_text", no_answer_probability=0.5)),
    ),
    "lines": ("p.jsonl", lambda t: as_lines(rows(t, "id", "prediction"))),
    "lines in .ndjson": ("p.ndjson", lambda t: as_lines(rows(t, "qid", "Answer"))),
    "lines in .json": ("p.json", lambda t: as_lines(rows(t, "ID", "prediction"))),
    "with the data's own fields": (
        "p.jsonl",
        lambda t: as_lines(rows(t, "id", "prediction", context="c", answers=[{"text": "gold"}])),
    ),
    "qa predict --json": ("p.jsonl", own_lines),
    "qa predict --json > p.json": ("p.json", own_lines),
    "AllenNLP": ("p.jsonl", lambda t: as_lines(rows(t, "id", "best_span_str", best_span=[0, 1]))),
    "names as people write them": ("p.jsonl", lambda t: as_lines(rows(t, "Question ID", "Pred"))),
    "sep=": ("p.csv", lambda t: "sep=;\r\n" + as_table(t, ";", "ID", "Answer")),
    "csv": ("p.csv", lambda t: as_table(t, ",", "id", "prediction")),
    "excel": ("p.csv", lambda t: "\ufeff" + as_table(t, ";", "ID", "Answer")),
    "tsv": ("p.tsv", lambda t: as_table(t, "\t", "guid", "text")),
}
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    # What csv keeps, and pandas does not write for a missing id.
    lambda key: key == key.strip() and "\0" not in key and key not in ("nan", "NaN", "<NA>")
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))


def read(name: str, content: str | bytes) -> Texts:
    """Read the file of that name and content."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_prediction_file(str(path))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(texts=st.dictionaries(IDS, TEXTS, min_size=2, max_size=5))
def test_every_form_gives_the_same_texts(form: str, texts: Texts) -> None:
    name, write = FORMS[form]
    if name == "p.tsv" and any(
        set('"\t\n\r') & set(key + text) for key, text in texts.items()
    ):  # quoted or not: only a file with "" says it quotes
        texts = {key.translate(NO_QUOTES): text.translate(NO_QUOTES) for key, text in texts.items()}
    assert read(name, write(texts)) == texts


@pytest.mark.parametrize("text", ["a\rb", "\r", 'x"y', "x\ny", "x\r\ny", "x,y", "plain"])
def test_a_table_of_answers_reads_back(text: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    answers = [Answer(text, 0, len(text), 0.0, 1.0)]
    pairs = [(Example("1", "?", text), answers), (Example("2", "?", "x"), [])]
    assert write_answers(path, pairs) == 1
    assert read_prediction_file(str(path)) == {"1": text, "2": ""}


NO_QUOTES = str.maketrans('"\t\n\r', "'   ")


@pytest.mark.parametrize("form", [form for form in FORMS if form != "tsv"])
def test_one_question_is_enough(form: str) -> None:
    name, write = FORMS[form]
    assert read(name, write({"q1": "이서준"})) == {"q1": "이서준"}
    assert read(f"{name}.gz", gzip.compress(write({"q1": "이서준"}).encode())) == {"q1": "이서준"}


def test_a_text_of_lines_with_commas_is_one_text() -> None:
    """Of a data set it would be refused, since the second line looks like a row of its own."""
    assert read("p.csv", 'id,prediction\na,"서울\n2,000명"\n') == {"a": "서울\n2,000명"}


def test_quotes_between_tabs_are_characters() -> None:
    """No row is swallowed, as the unbalanced quote would do."""
    content = 'id\tprediction\na\t"먼 불빛\nb\t1987년\nc\t"시집" 둘\n'
    assert read("p.tsv", content) == {"a": '"먼 불빛', "b": "1987년", "c": '"시집" 둘'}
    assert read("p.tsv", 'id\tprediction\na\t"""먼"" 불빛"\n') == {"a": '"먼" 불빛'}


def test_ids_may_be_numbers() -> None:
    """7.0 is what pandas makes of 7 where another row has none; data is read in the same way."""
    assert read("p.jsonl", '{"id": 7, "prediction": "x"}\n') == {"7": "x"}
    assert read("p.jsonl", '{"id": 7.0, "prediction": "x"}\n') == {"7": "x"}
    lines = [f'{{"id": {n}, "prediction": "{n}"}}\n' for n in (7, 8)]
    assert read("p.jsonl", "\ufeff".join(["", *lines])) == {"7": "7", "8": "8"}


def test_the_first_of_several_answers_counts_and_that_is_said() -> None:
    several = {"a": [{"text": "x"}, {"text": "y"}], "b": [{"text": "z"}], "c": []}
    with pytest.warns(Notice, match="1 questions have several answers; the first of each counts"):
        assert read("p.json", as_json(several)) == {"a": "x", "b": "z", "c": ""}


REFUSED = [
    ("p.json", '{"a": null}', "expected {id: text}, but 'a' has null, not a text"),
    ("p.json", '{"a": ["x", "y"]}', "'a' has a list of texts, which does not say which one"),
    ("p.json", '{"a": {"score": 1}}', "'a' has no prediction_text, only score"),
    ("p.json", '{"a": "x", "a": "y"}', "'a' stands twice"),
    ("p.json", '["x"]', "entry 0 is a string, not an object with id and prediction_text"),
    ("p.json", '[{"id": "a"}]', "entry 0 has no prediction_text, only id"),
    ("p.json", '[{"prediction": "x"}]', "entry 0 has no id, only prediction"),
    ("p.json", '[{"id": null, "text": "x"}]', "entry 0: the id is empty"),
    ("p.csv", "id,prediction\n,x\n", "line 2: the id is empty"),
    ("p.json", '[{"id": 1.5, "text": "x"}]', "id must be a text or a whole number, not 1.5"),
    ("p.json", '[{"id": "a", "prediction": null}]', "entry 0: 'a' has null, not a text"),
    ("p.json", '[{"id": 1, "text": "x"}, {"id": "1", "text": "y"}]', "entry 1: '1' stands twice"),
    ("p.json", '{"id": "a", "text": "x"}\n{"b": "y"', "line 2 is not JSON"),
    ("p.json", "{'a': 'x'}", "is not JSON (names and texts must stand in double quotes"),
    ("p.json", '{"a": "x",}', "is not JSON (a comma stands before the end of a list or object"),
    ("p.json", "", "is not JSON (it is empty)"),
    ("p.parquet", b"PAR1", "predictions are text; save them as CSV (UTF-8) or JSON"),
    ("p.csv", "id,prediction,prediction\na,x,y\n", "column prediction stands twice"),
    # Gold answers would score 100.
    ("p.csv", "id,context,answer,answer_start\na,xy,x,0\n", "has answer_start, so this is a data"),
    (
        "p.jsonl",
        '{"id": "a", "context": "xy", "answers": [{"text": "x", "answer_start": 0}]}',
        "has context, so this is a data set with its gold answers",
    ),
    (
        "p.json",
        '[{"id": "a", "answers": {"text": ["x"], "answer_start": [0]}}]',
        "has answer_start, so this is a data set with its gold answers",
    ),
]


@pytest.mark.parametrize(("name", "content", "expected"), REFUSED)
def test_what_is_no_prediction_is_named(name: str, content: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        read(name, content)
    assert expected in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "text", "prediction", "answers", "answer_start", "qid", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["p.json", "p.jsonl", "p.csv", "p.tsv", "p", "p.json.gz"])
WORDS = [
    "id",
    "prediction",
    '"',
    ",",
    "\t",
    ";",
    "\n",
    "\r",
    "{",
    "}",
    "[",
    ":",
    "\\ud800",
    "a",
    "강",
]
CONTENTS = (
    st.binary(max_size=40)
    | JSON_VALUES.map(json.dumps).map(str.encode)
    | st.lists(JSON_VALUES.map(json.dumps), max_size=3).map("\n".join).map(str.encode)
    | st.lists(st.sampled_from(WORDS), max_size=15).map("".join).map(str.encode)
)


@pytest.mark.filterwarnings("ignore::qa.engine.errors.Notice")
@settings(max_examples=300, deadline=None)
@given(name=NAMES, content=CONTENTS)
def test_any_file_is_read_or_refused(name: str, content: bytes) -> None:
    found, message = {}, ""
    try:
        found = read(name, content)
    except UserError as error:
        message = str(error)
    assert "\n" not in message
    assert all(type(key) is type(text) is str for key, text in found.items())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("n.json", '{"a": 0.25, "b": -3}'),
        ("n.json", '[{"id": "a", "prediction_text": "x", "no_answer_probability": 0.25},'
         ' {"id": "b", "prediction_text": "", "no_answer_probability": -3}]'),
        ("n.csv", "id,prediction,no_answer_probability\na,x,0.25\nb,,-3\n"),
    ],
)  # fmt: skip
def test_no_answer_probabilities(name: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert read_na_probs(str(path)) == {"a": 0.25, "b": -3.0}
    path.write_text(content.replace("0.25", '"?"'), encoding="utf-8")
    with pytest.raises(UserError, match="'a' has a string, not a number"):
        read_na_probs(str(path))
