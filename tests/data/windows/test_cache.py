"""Windows on disk: made once, found again, and never those of another input."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.articles import article_examples
from support.runs import ROOT
from support.tokenizers import train_byte_bpe, training_texts

from qa.data.examples import Example
from qa.data.windows.cache import (
    CACHE_VERSION,
    cached_windows,
    iterate_columns,
    read_rows,
    read_windows,
    windows_fingerprint,
)
from qa.data.windows.cut import cut_block
from qa.data.windows.iterate import iterate_windows, window_columns
from qa.data.windows.options import WindowOptions
from qa.engine.errors import UserError

OPTIONS = WindowOptions(24, 4, 10)


class Counting:
    """A tokenizer that counts its calls."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        return self.tokenizer(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)


def assert_same_rows(dataset: Any, expected: list[dict[str, Any]]) -> None:
    assert len(dataset) == len(expected)
    for row, window in zip(dataset, expected, strict=True):
        assert row.keys() == window.keys()
        for name, value in window.items():
            assert np.array_equal(row[name], value), name


def test_rows_read_from_disk_are_those_that_were_cut(
    any_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types included, also where the file has several parts."""
    monkeypatch.setattr("qa.data.windows.cut.TOKENS_PER_CUT", 100)
    examples = article_examples()
    dataset = cached_windows(examples, any_tokenizer, OPTIONS, tmp_path)
    assert len(list(iterate_columns(dataset))) > 1
    found, expected = read_rows(dataset), iterate_windows(examples, any_tokenizer, OPTIONS)
    for row, window in zip(found, expected, strict=True):
        assert row.keys() == window.keys()
        for name, value in window.items():
            assert type(row[name]) is type(value)
            assert np.array_equal(row[name], value)
            if isinstance(value, np.ndarray):
                assert row[name].dtype == value.dtype


def test_rows_are_the_windows(any_tokenizer: Any, tmp_path: Path) -> None:
    dataset = cached_windows(article_examples(), any_tokenizer, OPTIONS, tmp_path)
    expected = list(iterate_windows(article_examples(), any_tokenizer, OPTIONS))
    assert len(expected) > len(article_examples())
    assert_same_rows(dataset, expected)


def test_second_call_does_not_tokenise(tokenizer: Any, tmp_path: Path) -> None:
    counting = Counting(tokenizer)
    first = cached_windows(article_examples(), counting, OPTIONS, tmp_path)
    assert counting.calls > 0
    calls = counting.calls
    again = cached_windows(article_examples(), counting, OPTIONS, tmp_path)
    assert counting.calls == calls
    assert_same_rows(again, list(first))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_more_examples_than_one_tokenizer_call(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.data.windows.tokens.EXAMPLES_PER_CALL", 256)
    examples = [replace(article_examples()[i % 12], id=str(i)) for i in range(600)]
    dataset = cached_windows(examples, tokenizer, OPTIONS, tmp_path)
    index = np.asarray(dataset["example_index"][:])
    assert sorted(set(index.tolist())) == list(range(600))
    assert (np.diff(index) >= 0).all()
    assert_same_rows(dataset, list(iterate_windows(examples, tokenizer, OPTIONS)))


def test_a_known_fingerprint_names_the_file(tokenizer: Any, tmp_path: Path) -> None:
    first = cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path, fingerprint="known")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [
        f"known-{CACHE_VERSION}.arrow"
    ]
    counting = Counting(tokenizer)
    again = cached_windows(article_examples(), counting, OPTIONS, tmp_path, fingerprint="known")
    assert counting.calls == 0
    assert_same_rows(again, list(first))


def test_two_writers_of_one_process_number(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in two containers that share the cache: one writes the whole file while the other does."""
    monkeypatch.setattr("qa.data.windows.tokens.EXAMPLES_PER_CALL", 3)
    expected = list(iterate_windows(article_examples(), tokenizer, OPTIONS))
    others = []

    def interrupted(*arguments: Any, **options: Any) -> Iterator[Any]:
        parts = window_columns(*arguments, **options)
        yield next(parts)
        monkeypatch.setattr("qa.data.windows.cache.window_columns", window_columns)
        others.append(cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path))
        yield from parts

    monkeypatch.setattr("qa.data.windows.cache.window_columns", interrupted)
    own = cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path)
    for dataset in (own, *others, cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path)):
        assert_same_rows(dataset, expected)
    assert len(others) == 1
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, rename = os.fsync, os.replace

    def recorded_fsync(handle: int) -> None:
        events.append(("fsync", os.fstat(handle).st_ino))
        fsync(handle)

    def recorded_replace(source: Path, target: Path) -> None:
        events.append(("replace", os.stat(source).st_ino))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    number = path.stat().st_ino
    assert events == [("fsync", number), ("replace", number)]


def test_a_damaged_file_is_made_again(tokenizer: Any, tmp_path: Path) -> None:
    expected = list(iterate_windows(article_examples(), tokenizer, OPTIONS))
    cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    content = path.read_bytes()
    half = len(content) // 2
    for damaged in (
        b"",
        bytes(len(content)),
        content[:half],
        content[:half] + bytes(len(content) - half),
        b"no windows" + content[-half:],
    ):
        path.write_bytes(damaged)
        dataset = cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path)
        assert_same_rows(dataset, expected)
        del dataset  # which maps the file
        counting = Counting(tokenizer)
        assert_same_rows(cached_windows(article_examples(), counting, OPTIONS, tmp_path), expected)
        assert counting.calls == 0


def test_a_part_of_a_file_is_never_read_as_fewer_windows(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow itself reads a file that is cut off between two of its parts as a shorter one."""
    from datasets import Dataset

    monkeypatch.setattr("qa.data.windows.tokens.EXAMPLES_PER_CALL", 3)
    cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    content = path.read_bytes()
    part = tmp_path / "part.arrow"
    part.write_bytes(content)
    whole = read_windows(part)
    assert whole is not None
    num_windows = len(whole)
    del whole  # which maps the file
    shorter = 0
    for end in range(0, len(content), 8):  # all of its pieces are multiples of 8 bytes
        for damaged in (content[:end], content[:end] + bytes(len(content) - end)):
            part.write_bytes(damaged)
            assert read_windows(part) is None
        if content[end : end + 4] == b"\xff" * 4 and end:  # where a piece begins
            shorter += len(Dataset.from_file(str(part))) < num_windows
    assert shorter > 1


def test_no_examples_give_no_windows(tokenizer: Any, tmp_path: Path) -> None:
    dataset = cached_windows([], tokenizer, OPTIONS, tmp_path)
    assert len(dataset) == 0
    assert "input_ids" in dataset.column_names


def test_failure_during_writing_leaves_no_file(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up after some blocks is a one-line error; the next call starts again."""
    expected = list(iterate_windows(article_examples(), tokenizer, OPTIONS))
    monkeypatch.setattr("qa.data.windows.tokens.EXAMPLES_PER_CALL", 3)
    calls = itertools.count(1)

    def fail_later(*arguments: Any) -> Any:
        if next(calls) == 3:
            raise OSError(28, "No space left on device")
        return cut_block(*arguments)

    monkeypatch.setattr("qa.data.windows.iterate.cut_block", fail_later)
    with pytest.raises(UserError, match="No space left on device"):
        cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert_same_rows(cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path), expected)


def test_cache_that_cannot_be_made_is_an_error(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set HF_DATASETS_CACHE to a directory"):
        cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path / "file")


CHANGES: dict[str, Any] = {
    "id": lambda e: replace(e, id="other"),
    "question": lambda e: replace(e, question=e.question + "!"),
    "context": lambda e: replace(e, context=e.context + "!"),
    "answer": lambda e: replace(e, answers=(e.answers[0][:-1],)),
    "answer_start": lambda e: replace(e, answer_starts=(e.answer_starts[0] + 1,)),
    "no answer": lambda e: replace(e, answers=(), answer_starts=()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_example_gives_other_windows(change: str, tokenizer: Any, tmp_path: Path) -> None:
    examples = article_examples()
    cached_windows(examples, tokenizer, OPTIONS, tmp_path)
    examples[7] = CHANGES[change](examples[7])
    counting = Counting(tokenizer)
    dataset = cached_windows(examples, counting, OPTIONS, tmp_path)
    assert counting.calls > 0
    assert_same_rows(dataset, list(iterate_windows(examples, tokenizer, OPTIONS)))


@pytest.mark.parametrize(
    "options", [WindowOptions(25, 4, 10), WindowOptions(24, 5, 10), WindowOptions(24, 4, 3)]
)
def test_changed_option_gives_other_windows(
    options: WindowOptions, tokenizer: Any, tmp_path: Path
) -> None:
    cached_windows(article_examples(), tokenizer, OPTIONS, tmp_path)
    dataset = cached_windows(article_examples(), tokenizer, options, tmp_path)
    assert_same_rows(dataset, list(iterate_windows(article_examples(), tokenizer, options)))


def test_order_and_number_of_examples_count(tokenizer: Any) -> None:
    examples = article_examples()
    fingerprints = {
        windows_fingerprint(part, tokenizer, OPTIONS)
        for part in (examples, examples[::-1], examples[:-1], [*examples, examples[0]], [])
    }
    assert len(fingerprints) == 5


def test_changed_tokenizer_gives_other_windows(any_tokenizer: Any, tokenizer: Any) -> None:
    fingerprint = windows_fingerprint(article_examples(), any_tokenizer, OPTIONS)
    assert fingerprint != windows_fingerprint(article_examples(), tokenizer, OPTIONS)
    assert fingerprint != windows_fingerprint(article_examples(), more_words(), OPTIONS)


def more_words() -> Any:
    tokenizer = train_byte_bpe()
    tokenizer.add_tokens(["강나루"])
    return tokenizer


def test_token_types_count(tokenizer: Any, tmp_path: Path) -> None:
    """The same tokenizer for a model without token types: other columns."""
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token="[PAD]",
        model_input_names=["input_ids", "attention_mask"],
    )
    columns = [
        cached_windows(article_examples(), t, OPTIONS, tmp_path).column_names
        for t in (tokenizer, plain)
    ]
    assert set(columns[0]) - set(columns[1]) == {"token_type_ids"}


def test_padding_and_truncation_of_earlier_calls_do_not_count(any_tokenizer: Any) -> None:
    before = windows_fingerprint(article_examples(), any_tokenizer, OPTIONS)
    any_tokenizer(training_texts(), truncation=True, max_length=5, padding="max_length")
    assert windows_fingerprint(article_examples(), any_tokenizer, OPTIONS) == before
    first = next(iterate_windows(article_examples()[:1], any_tokenizer, OPTIONS))
    assert first["length"] > 5
    any_tokenizer.backend_tokenizer.no_truncation()
    any_tokenizer.backend_tokenizer.no_padding()
    assert windows_fingerprint(article_examples(), any_tokenizer, OPTIONS) == before


def test_fingerprint_is_the_same_in_another_process(tokenizer: Any, tmp_path: Path) -> None:
    """Nothing in it depends on hash seeds or addresses."""
    tokenizer.save_pretrained(tmp_path)
    program = (
        "import sys; from transformers import AutoTokenizer;"
        "from qa.data.windows.cache import windows_fingerprint;"
        "from qa.data.examples import Example;"
        "from qa.data.windows.options import WindowOptions;"
        "print(windows_fingerprint([Example('1', 'q', 'c', ('c',), (0,))],"
        "AutoTokenizer.from_pretrained(sys.argv[1]), WindowOptions(24, 4, 10)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    example = Example("1", "q", "c", ("c",), (0,))
    assert result.stdout.strip() == windows_fingerprint([example], tokenizer, OPTIONS)
