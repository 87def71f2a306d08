"""Texts to tokens: the distinct questions and contexts of a block of examples, end to end.

N: tokens of all texts of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from qa.data.examples import Example

EXAMPLES_PER_CALL = 2048  # enough for the tokenizer to work in parallel, little enough to hold
CHARACTERS_PER_CALL = 1_000_000  # so that documents take no more memory for being long
LAST_BLANK = 0x3000  # the ideographic space has the highest code of all blanks
T = TypeVar("T")
_IS_BLANK = np.array([chr(code).isspace() for code in range(LAST_BLANK + 1)] + [False])


@dataclass(frozen=True)
class Tokens:
    """Tokens of several texts, end to end.

    number: text -> its number. first, count: (texts,) where its tokens begin and how many they are.
    ids: (N,). offset_starts, offset_ends: (N,) characters of its text that each token covers,
    blanks at the ends left out; -1 where they are not asked for.
    """

    number: dict[str, int]
    first: np.ndarray
    count: np.ndarray
    ids: np.ndarray
    offset_starts: np.ndarray
    offset_ends: np.ndarray


def example_blocks(examples: Sequence[Example]) -> Iterator[tuple[int, int]]:
    """(first, end) of examples to tokenise together: fewer if their contexts are long."""
    first, characters, contexts = 0, 0, set[str]()
    for i, example in enumerate(examples):
        added = 0 if example.context in contexts else len(example.context)
        is_long = added > 0 and characters + added > CHARACTERS_PER_CALL
        is_full = is_long or i - first >= EXAMPLES_PER_CALL
        if i > first and is_full:
            yield first, i
            first, characters, contexts, added = i, 0, set(), len(example.context)
        contexts.add(example.context)
        characters += added
    if len(examples) > first:
        yield first, len(examples)


def tokenize_blocks(
    examples: Sequence[Example], tokenizer: Any, ahead: bool
) -> Iterator[tuple[int, int, Tokens, Tokens]]:
    """(first, end) of a block, and the tokens of its questions and contexts, block by block.

    ahead: tokenise the next block in a thread while the caller works on one, which takes a block's
    memory more; the tokenizer must not be used otherwise meanwhile.
    """
    encoded = encode_blocks(examples, tokenizer)
    for first, end, questions, contexts in one_ahead(encoded) if ahead else encoded:
        yield first, end, questions.tokens(with_offsets=False), contexts.tokens(with_offsets=True)


def encode_blocks(
    examples: Sequence[Example], tokenizer: Any
) -> Iterator[tuple[int, int, Encoded, Encoded]]:
    """What the tokenizer makes of each block; see `tokenize_blocks`."""
    for first, end in example_blocks(examples):
        backend = plain_backend(tokenizer)
        questions = list(dict.fromkeys(e.question for e in examples[first:end]))
        contexts = list(dict.fromkeys(e.context for e in examples[first:end]))
        yield (
            first,
            end,
            # The fast way leaves out the offsets.
            Encoded(questions, backend.encode_batch_fast(questions, add_special_tokens=False)),
            Encoded(contexts, backend.encode_batch(contexts, add_special_tokens=False)),
        )


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, none of them None, each made in a thread while the one before it is in use."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


@dataclass(frozen=True)
class Encoded:
    """Distinct texts, and what the tokenizer made of each."""

    texts: list[str]
    encodings: list[Any]

    def tokens(self, with_offsets: bool) -> Tokens:
        """The same as arrays. This, unlike tokenising, holds Python's lock."""
        number = {text: i for i, text in enumerate(self.texts)}
        count = np.array([len(encoding) for encoding in self.encodings], dtype=np.int64)
        ids = _flat(encoding.ids for encoding in self.encodings)
        if with_offsets:
            spans = _flat(chain.from_iterable(encoding.offsets) for encoding in self.encodings)
            starts, ends = _without_blanks(self.texts, count, *spans.reshape(-1, 2).T)
        else:
            starts = ends = np.full(len(ids), -1, dtype=np.int32)
        return Tokens(number, np.cumsum(count) - count, count, ids, starts, ends)


def plain_backend(tokenizer: Any) -> Any:
    """The library below transformers' wrapper, which takes as long again to copy the outcome.

    Without truncation and padding, which earlier calls of the wrapper leave behind; it sets its
    own at every call.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return backend


def ranges(first: np.ndarray, count: np.ndarray) -> np.ndarray:
    """`first`, `first` + 1, ... of each range, `count` numbers, end to end."""
    ends = np.cumsum(count)
    return np.arange(count.sum()) + np.repeat(first - (ends - count), count)


def _flat(lists: Iterator[Any]) -> np.ndarray:
    """The numbers of all lists, end to end."""
    return np.fromiter(chain.from_iterable(lists), dtype=np.int32)


def _without_blanks(
    texts: Sequence[str], count: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move each span's ends inwards over white space, which some tokenizers count to a token.

    count: (texts,) spans of each text. starts, ends: (N,) characters of its text.
    """
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    blank = np.append(_IS_BLANK[np.minimum(codes, LAST_BLANK + 1)], False)
    lengths = np.array([len(text) for text in texts])
    base = np.repeat(np.cumsum(lengths) - lengths, count)  # from a text's characters to all texts'
    first, end = starts + base, ends + base
    is_solid = end > first
    if not (blank[first] & is_solid).any() and not (blank[end - 1] & is_solid).any():
        return starts, ends  # as most tokenizers give them
    # next_solid[i]: first character at or after i that is no blank; last_solid_end likewise.
    positions = np.arange(len(blank))
    next_solid = np.minimum.accumulate(np.where(blank, len(codes), positions)[::-1])[::-1]
    solid_ends = np.concatenate(([0], np.where(blank[:-1], 0, positions[1:])))
    last_solid_end = np.maximum.accumulate(solid_ends)
    solid_first = np.minimum(next_solid[first], end)  # a blank token becomes empty, not reversed
    solid_end = np.maximum(last_solid_end[end], solid_first)
    return (solid_first - base).astype(np.int32), (solid_end - base).astype(np.int32)
