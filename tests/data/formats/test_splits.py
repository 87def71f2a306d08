"""Folders and archives with splits: which files are read, and that the others are named."""

from __future__ import annotations

import json
import tarfile
import warnings
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data_files import tar_bytes, zip_bytes

from qa.data.formats import read_examples
from qa.data.formats.splits import choose, missing_parts, split_of
from qa.engine.errors import Notice, UserError


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00001.parquet", "train"),
        ("data/validation-00000-of-00002-0a1b2c.parquet", "validation"),
        ("data/test-00000-of-00001.parquet", "test"),
        ("KorQuAD_v1.0_dev.json", "validation"),
        ("klue-mrc-v1.1_train.json", "train"),
        ("default/partial-train/0000.parquet", "train"),
        ("2.Validation/라벨링데이터/a.json", "validation"),
        ("1.Training/a.zip", "train"),
        ("TL_span.zip", "train"),
        ("VL1.zip", "validation"),
        ("train_dataset/validation/dataset.arrow", "validation"),
        ("testset.jsonl", "test"),
        ("eval.json", "test"),
        ("TRAIN.JSON", "train"),
        ("dev2.csv", "validation"),
        ("val.csv", "validation"),
        ("학습.json", "train"),
        (normalize("NFD", "검증용데이터셋.json"), "validation"),
        ("국어_평가_1.csv", "test"),
        ("train/korquad_01.json", "train"),
        ("train_dev.json", None),
        ("train/train_dev.json", "train"),
        ("korquad2.1_00.json", None),
        ("devices.json", None),
        ("latest.json", None),
        ("trains.json", None),
        ("contrain.json", None),
        ("evaluated.json", None),
        ("tl.json", None),
        ("기계학습.json", None),
        ("a.json", None),
        ("", None),
    ],
)
def test_names(name: str, split: str | None) -> None:
    assert split_of(name) == split


def chosen(names: list[str], split: str, is_named: bool = False) -> tuple[list[str], list[str]]:
    """What is read, and the notices."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always", Notice)
        found = choose(names, "F", split, is_named)
    return found, [str(warning.message) for warning in given]


def test_one_split_is_read_and_the_others_are_named() -> None:
    names = ["a/dev.json", "a/test.json", "a/train-1.json", "a/train-2.json", "extra.json"]
    assert chosen(names, "train") == (
        ["a/train-1.json", "a/train-2.json"],
        [
            "F: 2 of 5 files are read, the split train (a/train-1.json, a/train-2.json), and these"
            " are not: a/dev.json, a/test.json, extra.json"
        ],
    )
    assert chosen(names, "validation")[0] == ["a/dev.json"]
    assert chosen(names, "test", is_named=True)[0] == ["a/test.json"]


def test_names_without_splits_are_all_read() -> None:
    names = [f"korquad2.1_{i:02d}.json" for i in range(40)]
    assert chosen(names, "train") == chosen(names, "validation") == (names, [])
    with pytest.raises(UserError, match=r"F: has no split test, only files that name none$"):
        choose(names, "F", "test", is_named=True)


def test_files_that_name_no_split_train_if_no_other_does() -> None:
    found, (line,) = chosen(["a.json", "b.json", "dev.json"], "train")
    assert found == ["a.json", "b.json"]
    assert line.endswith("the split train (a.json, b.json), and these are not: dev.json")
    assert chosen(["a.json", "b.json", "dev.json"], "validation")[0] == ["dev.json"]


def test_another_split_in_the_place_of_one_that_is_not_there() -> None:
    """The only one there is, and tests to validate on; never what is trained on."""
    assert chosen(["dev.json"], "train") == (
        ["dev.json"],
        ["F: has no split train; validation is read in its place"],
    )
    found, lines = chosen(["eval.json", "train.json"], "validation")
    assert found == ["eval.json"]
    assert lines[0] == "F: has no split validation; test is read in its place"
    with pytest.raises(UserError) as caught:
        choose(["dev.json", "test.json"], "F", "train")
    assert str(caught.value) == ("F: has no split train, only validation, test; F:test reads one")
    with pytest.raises(UserError, match=r"F: has no split test, only train; F:train reads one"):
        choose(["train.json"], "F", "test", is_named=True)


words = st.sampled_from(["train", "dev", "validation", "test", "a", "b", "1", "데이터", "학습"])
names = st.lists(words, min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from(["/", "_", "-", ""]).map(lambda mark: mark.join(parts) + ".json")
)


@given(names=st.lists(names, min_size=1, max_size=8, unique=True))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_nothing_is_read_for_two_splits_or_left_by_all(names: list[str]) -> None:
    """Each file is of one split at most; the order is that of the names, however they come."""
    told = {split_of(name) for name in names}
    read: dict[str, list[str]] = {}
    for split in ("train", "validation", "test"):
        if split in told or (split == "train" and None in told and len(told) > 1):
            read[split], _ = chosen(names, split, is_named=True)
        else:
            with pytest.raises(UserError, match=f"has no split {split}"):
                choose(names, "F", split, is_named=True)
    together = [name for found in read.values() for name in found]
    assert len(together) == len(set(together))
    for found in read.values():
        assert found == [name for name in names if name in found]
        assert set(chosen(names[::-1], split_of(found[0]) or "train", True)[0]) == set(found)
    left = set(names) - set(together)
    assert not left or all(split_of(name) is None for name in left)
    assert not left or "train" in told or told == {None}


def test_missing_parts() -> None:
    names = ["d/train-00000-of-00003-ab.parquet", "d/train-00002-of-00003-cd.parquet", "e.json"]
    assert missing_parts(names) == ["d/train-00001-of-00003"]
    assert missing_parts([*names, "d/train-00001-of-00003-ef.parquet"]) == []
    found, lines = chosen(names[:2], "train")
    assert found == names[:2]
    assert lines == ["F: 1 parts of its files are missing (d/train-00001-of-00003)"]


def row(name: str) -> bytes:
    answers = [{"text": "나루", "answer_start": 1}]
    return json.dumps(
        [{"id": name, "context": f"강나루 {name}", "question": "?", "answers": answers}]
    ).encode()


FILES = {f"set/{name}.json": row(name) for name in ("test", "dev", "train_2", "train_1")}


def make(kind: str, folder: Path) -> Path:
    """FILES as a folder or as an archive."""
    path = folder / f"my.{kind}"
    if kind == "zip":
        path.write_bytes(zip_bytes(FILES))
        return path
    below = folder / "folder"
    for name, content in FILES.items():
        (below / name).parent.mkdir(parents=True, exist_ok=True)
        (below / name).write_bytes(content)
    if kind == "folder":
        return below
    mode: Any = f"w:{kind.partition('.')[2]}"
    with tarfile.open(path, mode) as archive:
        for name in FILES:
            archive.add(below / name, f"./{name}")
    return path


@pytest.mark.filterwarnings("ignore::qa.engine.errors.Notice")
@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_source_with_splits(kind: str, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    ids = {split: [e.id for e in read_examples(str(path), split)] for split in ("train", "test")}
    assert ids == {"train": ["train_1", "train_2"], "test": ["test"]}
    assert [e.id for e in read_examples(f"{path}:dev")] == ["dev"]
    assert [e.id for e in read_examples(f"{path}:test,{path}:train")] == [
        *("test", "train_1", "train_2")
    ]
    with pytest.raises(UserError, match="'foo' is no split; expected train, validation or test"):
        read_examples(f"{path}:foo")


@pytest.mark.filterwarnings("ignore::qa.engine.errors.Notice")
@pytest.mark.parametrize(
    ("encoding", "form"), [("utf-8", "NFC"), ("utf-8", "NFD"), ("cp949", "NFC")]
)
def test_korean_names_in_a_zip_that_does_not_tell_their_encoding(
    encoding: str, form: Any, tmp_path: Path
) -> None:
    """As `zip` of Linux, macOS and Korean Windows write them: bytes, and no flag for UTF-8."""
    names = [normalize(form, name).encode(encoding) for name in ("학습", "검증")]
    ascii_names = [letter * len(name) for letter, name in zip("AB", names, strict=True)]
    content = zip_bytes({f"{a}.json": row(i) for a, i in zip(ascii_names, "tv", strict=True)})
    for plain, name in zip(ascii_names, names, strict=True):
        content = content.replace(plain.encode(), name)
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    splits = "train", "validation"
    found = {split: [e.id for e in read_examples(str(path), split)] for split in splits}
    assert found == {"train": ["t"], "validation": ["v"]}


def test_a_file_with_a_colon_in_its_name(tmp_path: Path) -> None:
    """What exists is meant by its whole name."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a:test").write_bytes(row("x"))
    assert [e.id for e in read_examples(str(tmp_path / "a:test"))] == ["x"]
    (tmp_path / "a.json").write_bytes(row("x"))
    for name, content in (("a.json", row("y")), ("a.jsonl", b"{}\n{}"), ("a.csv", b"id,context\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: has no parts that are called after splits"):
            read_examples(str(tmp_path / f"{name}:test"))
    with pytest.raises(UserError, match="'tset' is no split; expected train, validation or test"):
        read_examples(str(tmp_path / "a.json:tset"))


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    """Otherwise the validation data would be trained on: the training data is behind a link."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.json").write_bytes(row("a"))
    (tmp_path / "set" / "dev").mkdir(parents=True)
    (tmp_path / "set" / "dev" / "b.json").write_bytes(row("b"))
    (tmp_path / "set" / "train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "train2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "dev" / "up").symlink_to(tmp_path / "set")
    with pytest.warns(Notice, match="1 of 2 files are read, the split train"):
        assert [e.id for e in read_examples(str(tmp_path / "set"))] == ["a"]


def test_archives_in_archives(tmp_path: Path) -> None:
    """As AI-Hub's downloads: a .tar with a .zip for each split; not deeper, so it has an end."""
    inner = {name: zip_bytes({"a.json": row(name)}) for name in ("TL_1.zip", "VL_1.zip")}
    (tmp_path / "download.tar").write_bytes(tar_bytes({f"d/{n}": c for n, c in inner.items()}))
    with pytest.warns(Notice, match=r"the split train \(d/TL_1.zip\), .* not: d/VL_1.zip"):
        assert [e.id for e in read_examples(str(tmp_path / "download.tar"))] == ["TL_1.zip"]
    deeper = zip_bytes({"b.zip": zip_bytes({"c.json": row("c"), "d.zip": inner["TL_1.zip"]})})
    (tmp_path / "a.zip").write_bytes(deeper)
    with pytest.warns(Notice, match=r"a.zip/b.zip: 1 files that .* passed over \(d.zip\)"):
        assert [e.id for e in read_examples(str(tmp_path / "a.zip"))] == ["c"]


def test_files_that_may_hold_data_are_not_passed_over_in_silence(tmp_path: Path) -> None:
    for name in ("a.json", "b.txt", "c.xls", "README.md", "script.py"):
        (tmp_path / name).write_bytes(row(name))
    with pytest.warns(Notice, match=r"2 files that may .* passed over \(b.txt, c.xls\)"):
        assert [e.id for e in read_examples(str(tmp_path))] == ["a.json"]


def test_a_zip_in_a_folder_has_the_split_of_its_name(tmp_path: Path) -> None:
    """As AI-Hub packs its sets; the files in an archive may have splits of their own."""
    (tmp_path / "TL_1.zip").write_bytes(zip_bytes({"a.json": row("a")}))
    (tmp_path / "VL_1.zip").write_bytes(zip_bytes({"b.json": row("b")}))
    with pytest.warns(Notice, match=r"1 of 2 files .* train \(TL_1.zip\).* not: VL_1.zip"):
        assert [e.id for e in read_examples(str(tmp_path))] == ["a"]
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "set.zip").write_bytes(zip_bytes(FILES))
    with pytest.warns(Notice, match="2 of 4 files are read, the split train"):
        assert [e.id for e in read_examples(str(tmp_path / "all"))] == ["train_1", "train_2"]
