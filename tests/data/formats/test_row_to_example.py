"""Reading: every form of file gives the same examples, every wrong file a one-line error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.articles import article_examples, squad_json

from qa.data.examples import Example
from qa.data.formats import read_examples, read_training
from qa.engine.errors import UserError

CONTEXT = "강나루는 1921년에 태어났다."


ANSWERED = Example("q1", "언제?", CONTEXT, ("1921년",), (5,))
UNANSWERED = Example("q1", "언제?", CONTEXT)


def flat_rows(answers_as_lists: bool = False) -> list[dict[str, Any]]:
    """`squad_json()` as a list of questions."""
    rows = []
    for article in squad_json()["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                row = {"title": article["title"], "context": paragraph["context"], **qa}
                if answers_as_lists:
                    row["answers"] = {
                        key: [answer[key] for answer in qa["answers"]]
                        for key in ("text", "answer_start")
                    }
                rows.append(row)
    return rows


def row(**changes: Any) -> dict[str, Any]:
    """A correct question, with changes; None removes a key."""
    values = {
        "id": "q1",
        "context": CONTEXT,
        "question": "언제?",
        "answers": [{"text": "1921년", "answer_start": 5}],
        **changes,
    }
    return {key: value for key, value in values.items() if value is not None}


def write(path: Path, content: Any) -> str:
    """Write a file: bytes and text as they are, other things as JSON, and lists to .jsonl."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif path.suffix == ".jsonl":
        lines = [json.dumps(entry, ensure_ascii=False) for entry in content]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("nested.json", squad_json()),
        ("list.json", squad_json()["data"]),
        ("flat.json", flat_rows()),
        ("flat-data.json", {"data": flat_rows()}),
        ("lists.json", flat_rows(answers_as_lists=True)),
        ("flat.jsonl", flat_rows()),
        ("lists.jsonl", flat_rows(answers_as_lists=True)),
        ("mark.json", b"\xef\xbb\xbf" + json.dumps(squad_json()).encode()),
        ("mark.jsonl", b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(r).encode() for r in flat_rows())),
        ("utf16.json", json.dumps(squad_json(), ensure_ascii=False).encode("utf-16")),
        ("utf16-be.json", json.dumps(squad_json(), ensure_ascii=False).encode("utf-16-be")),
        ("utf32.json", json.dumps(squad_json(), ensure_ascii=False).encode("utf-32")),
        ("CAPITALS.JSONL", "\n".join(json.dumps(r) for r in flat_rows())),
        ("other-name.ndjson", "\n".join(json.dumps(r) for r in flat_rows())),
        ("blank-lines.jsonl", "\n\n".join(json.dumps(r) for r in flat_rows()) + "\n\n"),
        ("mixed.json", [*squad_json()["data"][:3], *flat_rows()[6:]]),
    ],
)
def test_forms_of_a_file(name: str, content: Any, tmp_path: Path) -> None:
    assert read_examples(write(tmp_path / name, content)) == article_examples()


def test_line_separators_inside_jsonl_strings(tmp_path: Path) -> None:
    """JSON allows U+2028 and U+0085 in a string; str.splitlines would cut the line there."""
    context = "첫째 줄\u2028둘째 줄\u0085셋째 줄"
    text = json.dumps(row(context=context, answers=None), ensure_ascii=False)
    assert "\u2028" in text
    (example,) = read_examples(write(tmp_path / "a.jsonl", text))
    assert example.context == context


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"question": "  언제?\n"}, Example("q1", "언제?", CONTEXT, ("1921년",), (5,))),
        ({"id": 7}, Example("7", "언제?", CONTEXT, ("1921년",), (5,))),
        ({"title": "강나루"}, Example("q1", "언제?", CONTEXT, ("1921년",), (5,), "강나루")),
        ({"title": 3}, Example("q1", "언제?", CONTEXT, ("1921년",), (5,), "3")),
        ({"is_impossible": True}, Example("q1", "언제?", CONTEXT)),
        ({"is_impossible": False}, Example("q1", "언제?", CONTEXT, ("1921년",), (5,))),
        ({"answers": []}, Example("q1", "언제?", CONTEXT)),
        ({"answers": None}, Example("q1", "언제?", CONTEXT)),
        ({"answers": {"text": [], "answer_start": []}}, Example("q1", "언제?", CONTEXT)),
        ({"answers": "1921년", "answer_start": 5}, ANSWERED),
        ({"answers": None, "answer": "1921년", "answer_start": 5}, ANSWERED),
        ({"answers": None, "answer_text": "1921년", "answer_start": 5}, ANSWERED),
        ({"answers": None, "answer": {"text": "1921년", "answer_start": 5}}, ANSWERED),
        ({"answers": {"text": "1921년", "answer_start": 5}}, ANSWERED),
        ({"id": None, "guid": "q1"}, ANSWERED),
        ({"id": None, "qid": "q1"}, ANSWERED),
        ({"is_impossible": "False"}, ANSWERED),
        ({"is_impossible": 0}, ANSWERED),
        ({"is_impossible": "true"}, Example("q1", "언제?", CONTEXT)),
        ({"answers": None, "plausible_answers": [{"text": "강", "answer_start": 0}]}, UNANSWERED),
        (
            {"context": "\u200b강\ufeff나", "answers": None},
            Example("q1", "언제?", "\u200b강\ufeff나"),
        ),
        (
            {"answers": {"text": ["1921년", "1921"], "answer_start": [5, 5]}},
            Example("q1", "언제?", CONTEXT, ("1921년", "1921"), (5, 5)),
        ),
    ],
)
def test_one_question(changes: dict[str, Any], expected: Example, tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        assert read_examples(write(tmp_path / name, [row(**changes)])) == [expected]


def test_context_keeps_its_blanks(tmp_path: Path) -> None:
    """Stripping would move every answer."""
    context = f"  {CONTEXT}\n"
    answers = [{"text": "1921년", "answer_start": 7}]
    (example,) = read_examples(write(tmp_path / "a.json", [row(context=context, answers=answers)]))
    assert example.context == context


def test_offsets_count_characters_not_code_units(tmp_path: Path) -> None:
    answers = [{"text": "강", "answer_start": 2}]
    content = [row(context="😀 강", answers=answers)]
    (example,) = read_examples(write(tmp_path / "a.json", content))
    assert example.answer_starts == (2,)


def nested(**changes: Any) -> dict[str, Any]:
    question = {key: value for key, value in row(**changes).items() if key != "context"}
    return {"data": [{"title": "강", "paragraphs": [{"context": CONTEXT, "qas": [question]}]}]}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", "{not json", "is not JSON"),
        ("a.json", "", "is not JSON"),
        ("a.json", b"\xff{}", "is not UTF-8 text (byte 0); convert it to UTF-8"),
        ("a.json", b"\xff\xfe{}!", "is not UTF-16 text (byte 4); "),
        ("a.json", '["강"]'.encode("cp949"), "is not UTF-8 text (byte 2); it may be CP949"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.json", "[" + "1" * 5000 + "]", "is not JSON"),
        ("a.json", 3, "another shape"),
        ("a.json", {}, "another shape"),
        ("a.json", {"data": {}}, "another shape"),
        ("a.json", [], "holds no questions"),
        ("a.json", {"data": []}, "holds no questions"),
        ("a.json", {"data": [{"paragraphs": []}]}, "holds no questions"),
        ("a.jsonl", "\n \n", "holds no questions"),
        ("a.json", [row(), 3], "entry 1 is not an object"),
        ("a.json", [row(), None], "entry 1 is not an object"),
        ("a.json", {"data": [{"paragraphs": 3}]}, "entry 0: paragraphs must be a list"),
        ("a.json", {"data": [{"paragraphs": [3]}]}, "entry 0, paragraph 0 is not an object"),
        ("a.json", {"data": [{"paragraphs": [{}]}]}, "entry 0, paragraph 0: qas must be a list"),
        (
            "a.json",
            {"data": [{"paragraphs": [{"qas": ["강"]}]}]},
            "entry 0, paragraph 0, question 0 is not an object",
        ),
        (
            "a.json",
            {"data": [{"paragraphs": [{"qas": [row(context=None)]}]}]},
            "entry 0, paragraph 0, question 0: context must be a string",
        ),
        ("a.json", nested(question=" "), "paragraph 0, question 0: the question is empty"),
        ("a.json", [row(), row(id="q2", context=None)], "entry 1: context must be a string"),
        ("a.json", [row(context=7)], "entry 0: context must be a string"),
        ("a.json", [row(context="")], "entry 0: the context is empty"),
        ("a.json", [row(context="\u3000\n")], "entry 0: the context is empty"),
        ("a.json", [row(question=None)], "entry 0: question must be a string"),
        ("a.json", [row(question=["언제?"])], "entry 0: question must be a string"),
        ("a.json", [row(question="")], "entry 0: the question is empty"),
        ("a.json", [row(question="\u3000 ")], "entry 0: the question is empty"),
        ("a.json", [row(id=1.5)], "entry 0: id must be a text or a whole number, not 1.5"),
        ("a.json", [row(id=True)], "entry 0: id must be a text or a whole number, not True"),
        ("a.json", [row(id=["q1"])], "entry 0: id must be a text or a whole number, not an obj"),
        (
            "a.json",
            [row(answers=None, answer="1921년", answer_start="다섯")],
            "entry 0: answer_start must be a whole number, not '다섯'",
        ),
        ("a.json", [row(answers=True)], "entry 0: an answer needs text, a string, not True"),
        ("a.json", [row(answers=float("inf"))], "entry 0: an answer needs text, a string, not inf"),
        ("a.json", [row(is_impossible="maybe")], "entry 0: is_impossible must be true or false"),
        ("a.json", [row(is_impossible=[])], "entry 0: is_impossible must be true or false"),
        ("a.json", {"data": [{"qas": 3}]}, "entry 0: qas must be a list"),
        ("a.json", {"data": [{"qas": [3]}]}, "entry 0, question 0 is not an object"),
        ("a.json", {"data": [{"qas": [{"question": "?"}]}]}, "question 0: context must be a str"),
        ("a.json", [row(answers=[["1921년"]])], "a list among the answers must be [start, end"),
        ("a.json", [row(answers=[{"answer_start": 5}])], "entry 0: an answer needs text, or the"),
        ("a.json", [row(answers=[[5, 99]])], "an answer must lie in the context, which has 17"),
        ("a.json", [row(answers=[[5, 5]])], "an answer must lie in the context, which has 17"),
        ("a.json", [row(answers=None, label=1)], "label must be a list of spans with start and"),
        ("a.json", [row(answers=None, label=["1921년"])], "label must be a list of spans with s"),
        ("a.json", [row(context=[CONTEXT, 3])], "context is a list, which must hold its sentenc"),
        (
            "a.json",
            [row(answers={"text": ["1921년"], "answer_start": []})],
            "entry 0: answers has 1 texts but 0 values of answer_start",
        ),
        (
            "a.json",
            [row(answers=[{"text": "나", "answer_start": True}])],
            "entry 0: answer_start must be a whole number, not True",
        ),
        (
            "a.json",
            [row(answers=[{"text": "1921년", "answer_start": 5.5}])],
            "entry 0: answer_start must be a whole number, not 5.5",
        ),
        (
            "a.json",
            '[{"context": "강", "question": "?", "answers": [{"text": "강", "start": 1e999}]}]',
            "entry 0: answer_start must be a whole number, not inf",
        ),
        (
            "a.json",
            [row(answers=[{"text": ["1921년"], "answer_start": {}}])],
            "entry 0: answer_start must be a whole number",
        ),
        (
            "a.json",
            '[{"id": "1", "context": "\\ud83d", "question": "?"}]',
            "entry 0: context holds",
        ),
        ("a.json", '[{"id": "1", "context": "a", "question": "\\ude00"}]', "entry 0: question hol"),
        (
            "a.json",
            '[{"id": "\\ud83d", "context": "a", "question": "?"}]',
            "entry 0: id holds half",
        ),
        ("a.jsonl", '{"id": "1"\n', "line 1 is not JSON"),
        ("a.jsonl", json.dumps(row()) + "\n\n[1]", "line 3: entry 0 is not an object"),
        ("a.jsonl", json.dumps(row()) + "\n{", "line 2 is not JSON"),
        ("a.jsonl", json.dumps(row()) + '\n{"id": ' + "1" * 5000 + "}", "line 2 is not JSON"),
        ("a.jsonl", json.dumps(row()) + "\n3", "line 2 is not an object"),
        ("a.jsonl", json.dumps(row()) + "\n{}", "line 2: is JSON of another shape"),
        ("a.jsonl", json.dumps(row()) + ",\n{}", "line 1 is not JSON (a comma follows the value"),
        ("a.json", "// of 2020\n[]", "is not JSON (JSON has no comments: line 1 column 1)"),
        ("a.json", "id,context\n1,2", "is not JSON (it begins with 'id,context\\n1,2')"),
        (
            "a.json",
            [{"id": "1", "문서": "a"}],
            "question must be a string, but there is only id, 문",
        ),
        ("a.json", [row(context=3)], "entry 0: context must be a string, not 3"),
        ("a.json", [row(is_impossible="?")], "is_impossible must be true or false, not '?'"),
        ("a.json", json.dumps(row()) + "\n{]", "line 2 is not JSON (Expecting property name"),
        ("a.json", "[1,\n 2,]", "a comma stands before the end of a list or object: line 2 colu"),
        ("a.json", '{"data": 1,}', "a comma stands before the end of a list or object: line 1 co"),
        ("a.json", "[{'id': 1}]", 'names and texts must stand in double quotes ("): line 1 colum'),
        ("a.json", json.dumps([row()])[:-3], "it ends too early, as a file that was cut off does"),
        ("a.json", json.dumps([row()])[:25], "it ends too early, as a file that was cut off does"),
        ("a.json", "[\n] [\n]", "another value follows the first; put them in a list, or one on"),
        ("a.json", " \n", "is not JSON (it is empty)"),
        ("a.jsonl", json.dumps(row()) + '\n{"id": 1,}', "line 2 is not JSON (a comma stands"),
    ],
)
def test_wrong_content(name: str, content: Any, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as caught:
        read_examples(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("text", "start"),
    [("1921년", 4), ("1921년", 6), ("1921년", -12), ("1921년", 10**30), ("없다", 0)],
)
def test_answers_that_are_not_where_they_should_be(text: str, start: int, tmp_path: Path) -> None:
    wrong = [{"text": text, "answer_start": start}]
    rows = [row(id=f"good{i}") for i in range(3)]
    rows += [row(id=f"bad{i}", answers=wrong) for i in range(5)]
    path = write(tmp_path / "a.json", rows)
    with pytest.raises(UserError) as caught:
        read_examples(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: 5 answers do not stand in their context at answer_start")
    assert "(bad0, bad1, bad2, ...)" in message


def test_only_the_wrong_one_of_two_answers_counts(tmp_path: Path) -> None:
    answers = {"text": ["1921년", "1921"], "answer_start": [5, 6]}
    path = write(tmp_path / "a.json", [row(answers=answers)])
    with pytest.raises(UserError, match=r": 1 answers do not stand .* \(q1\)"):
        read_examples(path)


def test_repeated_ids(tmp_path: Path) -> None:
    ids = ("a", "b", "a", "c", "b", "a", 1, "1")
    rows = [row(id=example_id, question=f"언제 {number}?") for number, example_id in enumerate(ids)]
    with pytest.raises(UserError) as caught:
        read_examples(write(tmp_path / "a.json", rows))
    assert ": 4 questions repeat an id" in str(caught.value)
    assert "(a, b, a, ...)" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path / "nowhere.json", "no such file"),
        (lambda path: path, "is a directory"),
        (lambda path: path / ("x" * 300 + ".json"), ""),
    ],
)
def test_no_such_file(make: Callable[[Path], Path], expected: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError) as caught:
        read_examples(str(path))
    assert str(caught.value).startswith(f"{path}: {expected}")


# Hub data sets; a local directory goes the same way


@pytest.fixture(params=["json", "parquet"])
def hub_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data set directory: 8 questions to train on, 4 to validate on."""
    import datasets

    directory = tmp_path / "data set"
    directory.mkdir()
    rows = flat_rows(answers_as_lists=True)
    for split, part in (("train", rows[:8]), ("validation", rows[8:])):
        dataset = datasets.Dataset.from_list(part)
        if request.param == "json":
            dataset.to_json(directory / f"{split}.jsonl", force_ascii=False)
        else:
            dataset.to_parquet(directory / f"{split}.parquet")
    return directory


def test_hub_data_set(hub_dir: Path) -> None:
    expected = article_examples()
    assert read_examples(f"hub:{hub_dir}", split="train") == expected[:8]
    assert read_examples(f"hub:{hub_dir}", split="validation") == expected[8:]
    assert read_examples(f"hub:{hub_dir}:validation", split="train") == expected[8:]
    with pytest.raises(UserError) as caught:
        read_examples(f"hub:{hub_dir}:test")
    assert str(caught.value).startswith(f"hub:{hub_dir}:test: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["hub:somebody/no-such-data", "hub:/nowhere/at/all", "hub:x"])
def test_hub_data_set_that_cannot_be_loaded(source: str) -> None:
    with pytest.raises(UserError) as caught:
        read_examples(source)
    assert str(caught.value).startswith(f"{source}: ")
    assert "\n" not in str(caught.value)


@pytest.fixture
def hub_configs(tmp_path: Path) -> Path:
    """A data set directory with two configurations, of which one has two splits."""
    parts = {"mrc": ("train", "validation"), "nli": ("train",)}
    lines = ["---", "configs:"]
    for config, splits in parts.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split in splits:
            rows = [row(id=f"{config}-{split}-{i}") for i in range(3)]
            name = f"{config}-{split}.jsonl"
            (tmp_path / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
            lines += [f"  - split: {split}", f"    path: {name}"]
    (tmp_path / "README.md").write_text("\n".join([*lines, "---"]), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (":mrc:train", "mrc-train"),
        (":mrc:validation", "mrc-validation"),
        (":mrc:", "mrc-validation"),
        (":nli:train", "nli-train"),
    ],
)
def test_configuration_of_a_hub_data_set(suffix: str, expected: str, hub_configs: Path) -> None:
    found = read_examples(f"hub:{hub_configs}{suffix}", split="validation")
    assert [e.id for e in found] == [f"{expected}-{i}" for i in range(3)]


@pytest.mark.parametrize(("suffix", "number"), [(":mrc:train[:2]", 2), (":mrc:train[1:]@3", 2)])
def test_slice_of_a_configuration(suffix: str, number: int, hub_configs: Path) -> None:
    examples, times = read_training(f"hub:{hub_configs}{suffix}")
    assert len(examples) == number
    assert set(times.values()) == ({3} if "@" in suffix else set())


@pytest.mark.parametrize(
    ("suffix", "named"),
    [
        ("", "['mrc', 'nli']; name one: hub:NAME:CONFIG:SPLIT"),
        (":train", "['mrc', 'nli']; name one: hub:NAME:CONFIG:SPLIT"),
        ("::train", "['mrc', 'nli']; name one: hub:NAME:CONFIG:SPLIT"),
        (":qa:train", "'qa' not found. Available: ['mrc', 'nli']"),
        (":nli:validation", 'Unknown split "validation"'),
        (":mrc:train:x", "expected hub:NAME, hub:NAME:SPLIT or hub:NAME:CONFIG:SPLIT"),
    ],
)
def test_configuration_that_is_not_there(suffix: str, named: str, hub_configs: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_examples(f"hub:{hub_configs}{suffix}")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_slice_of_a_split_is_no_configuration(hub_dir: Path) -> None:
    assert read_examples(f"hub:{hub_dir}:train[:3]") == article_examples()[:3]


@pytest.mark.parametrize("source", ["hub:", "hub::train"])
def test_hub_without_a_name(source: str) -> None:
    with pytest.raises(UserError, match="expected hub:NAME"):
        read_examples(source)


def test_wrong_row_of_a_hub_data_set(tmp_path: Path) -> None:
    rows = [row(), row(id="q2", question=" ")]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(UserError, match="row 1: the question is empty"):
        read_examples(f"hub:{tmp_path}")


@pytest.mark.parametrize("content", [None, "{broken\n"])
def test_directory_that_is_no_data_set(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        write(tmp_path / "train.jsonl", content)
    with pytest.raises(UserError) as caught:
        read_examples(f"hub:{tmp_path}")
    assert str(caught.value).startswith(f"hub:{tmp_path}: ")
    assert "\n" not in str(caught.value)


# Anything at all

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["강나루", "1921년", "", " ", "\ud800"]),
)
KEYS = ["data", "paragraphs", "qas", "context", "question", "answers", "text", "answer_start", "id"]
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*KEYS, "title", "is_impossible"]), inner, max_size=5),
    ),
    max_leaves=15,
)
answers = st.one_of(
    anything,
    st.lists(st.fixed_dictionaries({"text": scalars, "answer_start": scalars}), max_size=2),
    st.fixed_dictionaries(
        {"text": st.lists(scalars, max_size=2), "answer_start": st.lists(scalars, max_size=2)}
    ),
)
questions = st.fixed_dictionaries(
    {"id": scalars, "question": scalars}, optional={"context": scalars, "answers": answers}
)
articles = st.fixed_dictionaries(
    {
        "paragraphs": st.lists(
            st.fixed_dictionaries({"context": scalars, "qas": st.lists(questions, max_size=2)}),
            max_size=2,
        )
    },
    optional={"title": scalars},
)
contents = st.one_of(
    anything,
    st.lists(st.one_of(questions, articles, anything), max_size=2),
    st.fixed_dictionaries({"data": st.lists(st.one_of(articles, anything), max_size=2)}),
)


def read_or_refuse(path: Path) -> None:
    """Read a file: the examples are consistent, or there is a one-line UserError."""
    try:
        examples = read_examples(str(path))
    except UserError as error:
        message = str(error)
        examples = []
    if not examples:
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        return
    for example in examples:
        json.dumps([example.id, example.question, example.context], ensure_ascii=False).encode()
        assert example.id
        assert example.question.strip() == example.question != ""
        for text, start in zip(example.answers, example.answer_starts, strict=True):
            assert example.context[start : start + len(text)] == text != ""


fuzz = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(content=contents)
@fuzz
def test_any_json_is_read_or_refused(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    read_or_refuse(path)
    lines = tmp_path / "a.jsonl"
    lines.write_text("\n".join(json.dumps(part) for part in [content, row()]), encoding="utf-8")
    read_or_refuse(lines)


@given(content=st.binary(max_size=40))
@fuzz
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    for name in ("a.json", "a.jsonl"):
        (tmp_path / name).write_bytes(content)
        read_or_refuse(tmp_path / name)
