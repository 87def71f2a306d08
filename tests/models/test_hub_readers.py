"""Readers loaded by hub id, from a cache in the hub's layout: nothing that was saved is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.articles import ARTICLES

import qa.training.load
from qa.answering.nbest import Answer
from qa.answering.reader import Reader
from qa.cli.predict import main
from qa.config import config_from_flat
from qa.engine.errors import Notice, UserError
from qa.models.generative.reader import GenerativeReader
from qa.models.part_files import BOUNDARY_FILE, HEADS
from qa.models.pretrained import load_tokenizer, revision_of, saved_file
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "somebody/reader"
OLD, NEW = "1" * 40, "2" * 40  # commits
SETTINGS = {"max_seq_length": 40, "window_overlap": 8, "max_question_length": 16, "n_best_size": 7}
THRESHOLD = -3.25
PAIRS = [(question, context) for _, context, pairs in ARTICLES for question, _ in pairs]


@pytest.fixture
def reader_dir(encoder_dir: Path, tokenizer: Any, tmp_path: Path) -> Path:
    """A saved reader with both heads, settings and a threshold, all of them drawn or chosen."""
    directory = tmp_path / "reader"
    torch.manual_seed(2)
    reader = SpanReader.from_pretrained(str(encoder_dir), boundaries=True, pair_width=30)
    torch.nn.init.normal_(reader.model.qa_outputs.weight, std=1.0)
    assert reader.boundary_head is not None
    assert reader.pair_head is not None
    torch.nn.init.normal_(reader.pair_head.last.weight, std=0.2)
    for weight in reader.boundary_head.parameters():
        torch.nn.init.normal_(weight, std=1.0)
    reader.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    settings = {**SETTINGS, "null_score_diff_threshold": THRESHOLD}
    (directory / "reader.json").write_text(json.dumps(settings))
    return directory


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], Path]:
    """Puts a directory into the hub's cache as the commit that `main` is at."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / f"models--{NAME.replace('/', '--')}"

    def publish_commit(directory: Path, commit: str) -> Path:
        snapshot = repository / "snapshots" / commit
        shutil.copytree(directory, snapshot)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / "main").write_text(commit)
        return snapshot

    return publish_commit


def answers_of(name: str | Path) -> list[list[Answer]]:
    reader = Reader.from_pretrained(name, device="cpu", precision="fp32")
    return reader.answer_many(PAIRS, top_k=5)


def test_a_reader_of_the_hub_answers_as_its_directory_does(
    reader_dir: Path, publish: Callable[[Path, str], Path]
) -> None:
    publish(reader_dir, NEW)
    assert answers_of(NAME) == answers_of(reader_dir)
    reader = Reader.from_pretrained(NAME)
    assert reader.null_score_diff_threshold == THRESHOLD
    assert reader.windows.max_seq_length == 40
    assert reader.answerer.options.n_best_size == 7
    # Each of the two files matters to these answers.
    for name in (*HEADS.values(), "reader.json"):
        lost = (reader_dir / name).rename(reader_dir.parent / name)
        assert answers_of(NAME) != answers_of(reader_dir)
        lost.rename(reader_dir / name)


def test_only_files_of_the_weights_commit_are_used(
    reader_dir: Path, publish: Callable[[Path, str], Path]
) -> None:
    publish(reader_dir, OLD)
    assert revision_of(NAME) == OLD
    (reader_dir / BOUNDARY_FILE).unlink()
    (reader_dir / "reader.json").unlink()
    publish(reader_dir, NEW)
    assert revision_of(NAME) == NEW
    reader = Reader.from_pretrained(NAME)
    assert reader.model.boundary_head is None
    assert reader.null_score_diff_threshold is None
    assert reader.windows.max_seq_length == 160
    assert answers_of(NAME) == answers_of(reader_dir)


def test_a_commit_that_main_moved_away_from_while_it_was_loaded(
    reader_dir: Path, publish: Callable[[Path, str], Path]
) -> None:
    publish(reader_dir, OLD)
    revision = revision_of(NAME)
    (reader_dir / BOUNDARY_FILE).unlink()
    (reader_dir / "tokenizer.json").unlink()
    publish(reader_dir, NEW)
    reader = SpanReader.from_pretrained(NAME, revision=revision)
    assert reader.boundary_head is not None
    assert load_tokenizer(NAME, revision).is_fast


@pytest.mark.parametrize("boundaries", [True, False])
def test_a_reader_of_the_hub_is_trained_on(
    boundaries: bool, reader_dir: Path, publish: Callable[[Path, str], Path]
) -> None:
    publish(reader_dir, NEW)
    reader = SpanReader.from_pretrained(NAME, boundaries=boundaries)
    expected = SpanReader.from_pretrained(str(reader_dir), boundaries=boundaries).state_dict()
    assert reader.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in reader.state_dict().items())
    assert (reader.boundary_head is not None) is boundaries


def test_command_line_with_a_hub_id(
    reader_dir: Path, publish: Callable[[Path, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    publish(reader_dir, NEW)
    question, context = PAIRS[0]
    printed = []
    for name in (NAME, str(reader_dir)):
        flags = ["--question", question, "--context", context, "--device", "cpu", "--json"]
        assert main([name, *flags]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != ""


def test_a_damaged_head_of_the_hub_is_named(
    reader_dir: Path,
    publish: Callable[[Path, str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    snapshot = publish(reader_dir, NEW)
    (snapshot / BOUNDARY_FILE).write_bytes(b"no tensors")
    assert main([NAME, "--question", "?", "--context", "강"]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {snapshot / BOUNDARY_FILE}: cannot be loaded")
    assert message.count("\n") == 1


def forget(snapshot: Path) -> None:
    """Leave in the cache what transformers alone would have fetched."""
    for name in (*HEADS.values(), "reader.json"):
        (snapshot / name).unlink()


def test_a_file_that_may_be_missing_from_the_cache_alone_is_named(
    reader_dir: Path, publish: Callable[[Path, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    forget(publish(reader_dir, NEW))
    question, context = PAIRS[0]
    flags = ["--question", question, "--context", context, "--device", "cpu", "--json"]
    assert main([NAME, *flags]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["answers"]
    assert [line.startswith(f"note: {NAME}: ") for line in err.splitlines()] == [True] * 3
    for name in (*HEADS.values(), "reader.json"):
        assert f"whether there is a {name}: going on without; `hf download {NAME}`" in err


def test_a_file_that_the_hub_is_known_not_to_have_is_not_named(
    reader_dir: Path, publish: Callable[[Path, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = publish(reader_dir, NEW)
    forget(snapshot)
    absent = snapshot.parents[1] / ".no_exist" / NEW  # where huggingface_hub keeps that
    absent.mkdir(parents=True)
    for name in (*HEADS.values(), "reader.json"):
        (absent / name).touch()
    assert Reader.from_pretrained(NAME, device="cpu").null_score_diff_threshold is None
    assert capsys.readouterr().err == ""


def test_what_is_known_needs_no_private_name_of_the_hub(
    reader_dir: Path,
    publish: Callable[[Path, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
) -> None:
    import huggingface_hub

    snapshot = publish(reader_dir, NEW)
    assert saved_file(NAME, "config.json", NEW) == snapshot / "config.json"
    absent = snapshot.parents[1] / ".no_exist" / NEW
    absent.mkdir(parents=True)
    (absent / "absent.json").touch()
    monkeypatch.setattr(huggingface_hub, "_CACHED_NO_EXIST", "another", raising=False)
    assert saved_file(NAME, "absent.json", NEW) is None
    assert not recwarn.list
    with pytest.warns(Notice, match="whether there is a unknown.json"):
        assert saved_file(NAME, "unknown.json", NEW) is None


def test_what_the_hub_says(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """The hub's "not found" is an answer; its failure to answer is not."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def answers(error: Exception) -> None:
        def fail(*_: Any, **options: Any) -> None:
            raise error

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)

    answers(EntryNotFoundError("404"))
    assert saved_file(NAME, BOUNDARY_FILE, NEW) is None
    assert not recwarn.list
    answers(LocalEntryNotFoundError("An error happened while trying to locate the file"))
    with pytest.warns(Notice, match=BOUNDARY_FILE):
        assert saved_file(NAME, BOUNDARY_FILE, NEW) is None


def test_training_takes_all_files_of_one_commit(
    reader_dir: Path, publish: Callable[[Path, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's main moves on after the tokenizer was read."""
    publish(reader_dir, OLD)
    expected = SpanReader.from_pretrained(str(reader_dir)).state_dict()

    def load_and_move_on(name: str, revision: str | None = None) -> Any:
        tokenizer = load_tokenizer(name, revision)
        (reader_dir / BOUNDARY_FILE).unlink()
        publish(reader_dir, NEW)
        return tokenizer

    monkeypatch.setattr(qa.training.load, "load_tokenizer", load_and_move_on)
    config = config_from_flat({"model": NAME, "train_data": "a.json"})
    _, reader = qa.training.load.load_model(config, [])
    assert reader.new_weights == []
    assert all(torch.equal(value, expected[key]) for key, value in reader.state_dict().items())


def test_a_generative_reader_of_the_hub_is_no_start_of_a_span_reader(
    reader_dir: Path, publish: Callable[[Path, str], Path]
) -> None:
    """Its span head was never trained, but is there."""
    torch.manual_seed(3)
    GenerativeReader.from_pretrained(str(reader_dir)).save_pretrained(reader_dir)
    publish(reader_dir, NEW)
    config = config_from_flat({"model": NAME, "train_data": "a.json"})
    with pytest.raises(UserError, match=f"{NAME}: is a generative reader"):
        qa.training.load.load_model(config, [])
