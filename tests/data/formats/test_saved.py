"""Folders of `save_to_disk` and Arrow files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.articles import article_examples, squad_json
from support.data_files import arrow_bytes, flat_rows, parquet_bytes, zip_bytes

from qa.data.formats import read_examples
from qa.engine.errors import Notice, UserError

GOOD = article_examples()


def hub_rows() -> list[dict[str, Any]]:
    """The articles as the hub has them, with a large column that nobody needs."""
    return [
        {
            **{key: row[key] for key in ("id", "title", "context", "question")},
            "answers": {"text": [row["answer"]], "answer_start": [row["answer_start"]]},
            "raw_html": "<html>" * 100,
        }
        for row in flat_rows()
    ]


@pytest.fixture
def one(tmp_path: Path) -> Path:
    import datasets

    datasets.Dataset.from_list(hub_rows()).save_to_disk(tmp_path / "one", num_shards=3)
    return tmp_path / "one"


@pytest.fixture
def several(tmp_path: Path) -> Path:
    import datasets

    rows = hub_rows()
    parts = {"train": rows[:8], "validation": rows[8:]}
    saved = datasets.DatasetDict({n: datasets.Dataset.from_list(r) for n, r in parts.items()})
    saved.save_to_disk(tmp_path / "several")
    return tmp_path / "several"


@pytest.mark.parametrize("prefix", ["", "hub:"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_folder_of_one_split(one: Path, prefix: str, split: str) -> None:
    assert read_examples(f"{prefix}{one}", split) == GOOD


@pytest.mark.filterwarnings("ignore::qa.engine.errors.Notice")
@pytest.mark.parametrize("prefix", ["", "hub:"])
def test_a_folder_of_several_splits(several: Path, prefix: str) -> None:
    assert read_examples(f"{prefix}{several}", "train") == GOOD[:8]
    assert read_examples(f"{prefix}{several}", "validation") == GOOD[8:]
    assert read_examples(f"{prefix}{several}:validation", "train") == GOOD[8:]
    with pytest.raises(UserError, match="has no split test, only train, validation"):
        read_examples(f"{prefix}{several}:test")


def test_a_zip_of_such_a_folder(one: Path, tmp_path: Path) -> None:
    files = {f"one/{path.name}": path.read_bytes() for path in one.iterdir()}
    (tmp_path / "one.zip").write_bytes(zip_bytes(files))
    assert read_examples(str(tmp_path / "one.zip")) == GOOD


def test_what_map_keeps_beside_the_data_is_not_read(one: Path) -> None:
    import datasets

    def changed(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "id": "x" + row["id"]}

    datasets.load_from_disk(str(one)).map(changed)
    assert len(list(one.glob("cache-*.arrow"))) > 0
    assert read_examples(str(one)) == GOOD


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "data-00001-of-00003.arrow",
            None,
            "state.json: was written by save_to_disk, but not all is there, as"
            " data-00001-of-00003.arrow; write or copy the folder again",
        ),
        ("state.json", b'{"_data_fi', "state.json: was written by save_to_disk, but not all is th"),
        ("data-00002-of-00003.arrow", b"", "data-00002-of-00003.arrow: is not a whole Arrow file"),
        ("data-00002-of-00003.arrow", -8, "is not a whole Arrow file (its end is missing)"),
        ("data-00002-of-00003.arrow", 200, "is not a whole Arrow file ("),
    ],
)
def test_a_folder_that_is_not_whole(
    one: Path, name: str, change: bytes | int | None, message: str
) -> None:
    content = (one / name).read_bytes()
    (one / name).unlink()
    if change is not None:
        (one / name).write_bytes(content[:change] if isinstance(change, int) else change)
    with pytest.raises(UserError) as caught:
        read_examples(str(one))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_whose_writing_was_cut_before_its_list(one: Path) -> None:
    (one / "state.json").unlink()
    (one / "data-00001-of-00003.arrow").unlink()
    with pytest.warns(Notice, match=r"1 parts of its files are missing \(data-00001-of-00003\)"):
        assert read_examples(str(one)) == GOOD[:4] + GOOD[8:]


def test_a_state_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """It is data as any other .json, and here data of a shape that is not read."""
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, flat_rows())))
    (tmp_path / "state.json").write_text('{"epoch": 1}')
    with pytest.raises(UserError, match="state.json: is JSON of another shape"):
        read_examples(str(tmp_path))


@pytest.mark.parametrize("name", ["a.arrow", "a.feather", "a.json", "a"])
@pytest.mark.parametrize("is_file", [True, False])
def test_both_forms_of_arrow_under_any_name(is_file: bool, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(arrow_bytes(hub_rows(), is_file))
    assert read_examples(str(tmp_path / name)) == GOOD


def test_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_list([{"id": "1", "context": "강"}]).save_to_disk(tmp_path / "a")
    with pytest.raises(UserError, match="column question, answers .*missing; found id, context"):
        read_examples(str(tmp_path / "a"))


STREAM, FILE = arrow_bytes(hub_rows()), arrow_bytes(hub_rows(), is_file=True)


@pytest.mark.parametrize("whole", [STREAM, FILE], ids=["stream", "file"])
@given(data=st.data())
@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_damaged_arrow_file_never_loses_rows(
    whole: bytes, data: st.DataObject, tmp_path: Path
) -> None:
    """Cut anywhere it is refused; with other bytes in it, it has all its rows or is refused."""
    path = tmp_path / "a.arrow"
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:place])
    with pytest.raises(UserError, match="a.arrow: is not a whole Arrow file"):
        read_examples(str(path))
    path.write_bytes(
        whole[:place] + data.draw(st.binary(min_size=1, max_size=3)) + whole[place + 3 :]
    )
    message = ""
    try:
        found = read_examples(str(path))
    except UserError as error:
        message = str(error)
    assert message.startswith(f"{path}: ") or len(found) == 12
    assert "\n" not in message


def test_saved_folders_that_were_copied_into_one(one: Path, tmp_path: Path) -> None:
    """A folder of saved folders, copied together by hand."""
    shutil.copytree(one, tmp_path / "both" / "train")
    shutil.copytree(one, tmp_path / "both" / "dev")
    with pytest.warns(Notice, match="3 of 6 files are read, the split validation"):
        assert read_examples(str(tmp_path / "both"), "validation") == GOOD


def test_the_rows_that_an_old_version_names_in_a_file_of_their_own(one: Path) -> None:
    """All rows would be read, those that were filtered out among them."""
    state = json.loads((one / "state.json").read_text())
    state["_indices_data_files"] = [{"filename": "indices.arrow"}]
    (one / "state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=r"state.json: an old version .* call flatten_indices\(\)"):
        read_examples(str(one))


def nested() -> list[dict[str, Any]]:
    """The articles as `load_dataset("json", field="data")` has them: one row an article."""
    data: list[dict[str, Any]] = squad_json()["data"]
    return data


@pytest.mark.parametrize(
    ("name", "write"), [("a.arrow", arrow_bytes), ("a.parquet", parquet_bytes)]
)
def test_rows_that_are_articles(name: str, write: Any, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(write(nested()))
    assert read_examples(str(tmp_path / name)) == GOOD
    documents = [
        {"title": article["title"], **paragraph}
        for article in nested()
        for paragraph in article["paragraphs"]
    ]
    (tmp_path / name).write_bytes(write(documents))
    assert read_examples(str(tmp_path / name)) == GOOD
