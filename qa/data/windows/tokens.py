"""Texts to tokens: those of the distinct questions and contexts of a block, concatenated.

A block is a part of the examples that is tokenised together. N: tokens of all its texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from qa.data.examples import Example

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedTokenizerFast

EXAMPLES_PER_CALL = 2048  # enough for the tokenizer to work in parallel, few enough for memory
CHARACTERS_PER_CALL = 1_000_000  # so that a block of long documents takes no more memory
LAST_BLANK = 0x3000  # the ideographic space has the highest code point of all blanks
T = TypeVar("T")
_IS_BLANK = np.array([chr(code).isspace() for code in range(LAST_BLANK + 1)] + [False])


@dataclass(frozen=True)
class Tokens:
    """Tokens of several texts, concatenated.

    Args:
        number: Text -> its index in `first` and `count`.
        first: (texts,) index of the first token of each text.
        count: (texts,) tokens of each text.
        ids: (N,) int32.
        offset_starts: (N,) int32, first character of its text that each token covers, blanks at the
            ends left out; -1 if offsets were not asked for.
        offset_ends: (N,) int32, end of these characters; -1 if offsets were not asked for.
    """

    number: dict[str, int]
    first: np.ndarray
    count: np.ndarray
    ids: np.ndarray
    offset_starts: np.ndarray
    offset_ends: np.ndarray


def grouped_examples(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """Yield the examples in blocks; one of long contexts has fewer examples."""
    block: list[Example] = []
    characters, contexts = 0, set[str]()
    for example in examples:
        added = 0 if example.context in contexts else len(example.context)
        is_long = added > 0 and characters + added > CHARACTERS_PER_CALL
        if block and (is_long or len(block) >= EXAMPLES_PER_CALL):
            yield block
            block, characters, contexts, added = [], 0, set(), len(example.context)
        block.append(example)
        contexts.add(example.context)
        characters += added
    if block:
        yield block


def example_blocks(examples: Iterable[Example]) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of each block of `grouped_examples`."""
    first = 0
    for block in grouped_examples(examples):
        yield first, first + len(block)
        first += len(block)


def tokenize_blocks(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, ahead: bool
) -> Iterator[tuple[int, int, Tokens, Tokens]]:
    """Yield (first, end) of each block, and the tokens of its questions and of its contexts.

    With `ahead` the next block is tokenised in a thread while the caller works on the one before,
    which takes the memory of one more block; nothing else may use the tokenizer meanwhile.
    """
    encoded = encode_blocks(examples, tokenizer)
    for first, end, questions, contexts in prefetch(encoded) if ahead else encoded:
        yield first, end, questions.tokens(with_offsets=False), contexts.tokens(with_offsets=True)


def encode_blocks(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast
) -> Iterator[tuple[int, int, Encoded, Encoded]]:
    """Yield (first, end) of each block, and its encoded questions and contexts."""
    for first, end in example_blocks(examples):
        backend = plain_backend(tokenizer)
        questions = list(dict.fromkeys(e.question for e in examples[first:end]))
        contexts = list(dict.fromkeys(e.context for e in examples[first:end]))
        yield (
            first,
            end,
            # encode_batch_fast leaves out the offsets.
            Encoded(questions, backend.encode_batch_fast(questions, add_special_tokens=False)),
            Encoded(contexts, backend.encode_batch(contexts, add_special_tokens=False)),
        )


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, none of them None; a thread makes each while the one before it is in use."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


@dataclass(frozen=True)
class Encoded:
    """Distinct texts, and what the tokenizer made of each."""

    texts: list[str]
    encodings: list[Encoding]

    def tokens(self, with_offsets: bool) -> Tokens:
        """Return the encodings as arrays. Unlike tokenising, this holds Python's global lock."""
        number = {text: i for i, text in enumerate(self.texts)}
        count = np.array([len(encoding) for encoding in self.encodings], dtype=np.int64)
        ids = _flat(encoding.ids for encoding in self.encodings)
        if with_offsets:
            spans = _flat(chain.from_iterable(encoding.offsets) for encoding in self.encodings)
            starts, ends = _without_blanks(self.texts, count, *spans.reshape(-1, 2).T)
        else:
            starts = ends = np.full(len(ids), -1, dtype=np.int32)
        return Tokens(number, np.cumsum(count) - count, count, ids, starts, ends)


def plain_backend(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return the tokenizer below transformers' wrapper, without truncation and padding.

    The wrapper takes as long again to copy the result. Its earlier calls leave truncation and
    padding set; turning them off here does it no harm, since it sets its own at every call.
    """
    backend: Tokenizer = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return backend


def ranges(first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the ranges `first`, `first` + 1, ... of `count` numbers each, concatenated."""
    ends = np.cumsum(count)
    numbers: np.ndarray = np.arange(count.sum()) + np.repeat(first - (ends - count), count)
    return numbers


def _flat(lists: Iterable[Iterable[int]]) -> np.ndarray:
    """Return the numbers of all lists, concatenated."""
    return np.fromiter(chain.from_iterable(lists), dtype=np.int32)


def _without_blanks(
    texts: Sequence[str], count: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts, ends) of spans without outer blanks, which some tokenizers count to a token.

    Args:
        texts: The texts of a block.
        count: (texts,) spans of each text.
        starts: (N,) first character of each span in its text.
        ends: (N,) end of each span.
    """
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    blank = np.append(_IS_BLANK[np.minimum(codes, LAST_BLANK + 1)], False)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    base = np.repeat(np.cumsum(lengths) - lengths, count)  # where each span's text begins in all
    first, end = starts + base, ends + base
    is_solid = end > first
    if not (blank[first] & is_solid).any() and not (blank[end - 1] & is_solid).any():
        return starts, ends  # as with most tokenizers
    # next_solid[i]: the first non-blank at or after i; last_solid_end[i]: the end of the last one
    # before i.
    positions = np.arange(len(blank))
    next_solid = np.minimum.accumulate(np.where(blank, len(codes), positions)[::-1])[::-1]
    solid_ends = np.concatenate(([0], np.where(blank[:-1], 0, positions[1:])))
    last_solid_end = np.maximum.accumulate(solid_ends)
    solid_first = np.minimum(next_solid[first], end)  # a blank token becomes empty, not reversed
    solid_end = np.maximum(last_solid_end[end], solid_first)
    return (solid_first - base).astype(np.int32), (solid_end - base).astype(np.int32)
