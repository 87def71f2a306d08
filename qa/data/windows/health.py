"""Whether a tokenizer reads a language: what its tokens show of the texts, and where they stand.

Measured on a sample of the contexts. The doctor reports all of it, training says what is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from unicodedata import category, combining, normalize

import numpy as np

from qa.data.nfc import is_decomposed
from qa.data.windows.tokens import Encoded, plain_backend

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

SAMPLE = 300_000  # characters: half a second
# What is more than this is said. Good tokenizers of Korean have 0.0 %, below 1 %, 0.0 % and 0.4 to
# 0.8 tokens; docs/doctor.md lists some.
MOST_UNCOVERED = 1.0  # % of the characters
MOST_UNKNOWN = 5.0  # % of the tokens
MOST_MISPLACED = 1.0  # % of the tokens
MOST_TOKENS_A_CHARACTER = 1.5
HALF_CHARACTER = "\ufffd"  # what bytes of one decode to
MEND_VOCABULARY = (
    "take a model of this language; beside a vocab.txt its tokenizer_config.json must say how it is"
    ' to be read, for Korean {"do_lower_case": false}'
)
MEND_OFFSETS = (
    "take a model with another tokenizer, or mend this one's tokenizer.json (a pre-tokenizer"
    " Whitespace before ByteLevel does that)"
)


@dataclass(frozen=True)
class TokenizerHealth:
    """Counts over a sample of texts."""

    characters: int  # but blanks, control characters and marks as U+200B, which few tokens cover
    uncovered: int  # of them in no token
    words: int  # between blanks
    tokens: int
    unknown: int  # of them
    misplaced: int  # tokens whose offsets say another text than they are decoded to
    unknown_token: str

    @property
    def uncovered_percent(self) -> float:
        """Share of the characters that no token covers."""
        return 100 * self.uncovered / max(1, self.characters)

    @property
    def unknown_percent(self) -> float:
        """Share of the tokens that are unknown."""
        return 100 * self.unknown / max(1, self.tokens)

    @property
    def misplaced_percent(self) -> float:
        """Share of the tokens whose offsets are not those of their text."""
        return 100 * self.misplaced / max(1, self.tokens)

    @property
    def tokens_a_character(self) -> float:
        """Mean number of tokens of a character."""
        return self.tokens / max(1, self.characters)

    def problems(self) -> list[str]:
        """Return a line, with what helps, for each sort of figure that is bad for training."""
        apart = self.tokens_a_character
        of_offsets = (
            (
                self.uncovered_percent > MOST_UNCOVERED,
                f"no token covers {self.uncovered_percent:.1f} % of the contexts' characters",
            ),
            (
                self.misplaced_percent > MOST_MISPLACED,
                f"{self.misplaced_percent:.1f} % of the tokens stand at a text that is not theirs",
            ),
        )
        of_vocabulary = (
            (
                self.unknown_percent > MOST_UNKNOWN,
                f"{self.unknown_percent:.1f} % of the contexts' tokens are {self.unknown_token}",
            ),
            (apart > MOST_TOKENS_A_CHARACTER, f"{apart:.1f} tokens a character"),
        )
        sorts = ((of_offsets, MEND_OFFSETS), (of_vocabulary, MEND_VOCABULARY))
        found = [([text for is_bad, text in each if is_bad], mend) for each, mend in sorts]
        return [f"tokenizer: {', '.join(texts)}: {mend}" for texts, mend in found if texts]

    def report(self) -> dict[str, Any]:
        """Return all figures and the problems, as JSON values."""
        return {
            **asdict(self),
            "uncovered_percent": self.uncovered_percent,
            "unknown_percent": self.unknown_percent,
            "misplaced_percent": self.misplaced_percent,
            "tokens_a_word": self.tokens / max(1, self.words),
            "tokens_a_character": self.tokens_a_character,
            "problems": self.problems(),
        }


def measure_health(contexts: Iterable[str], tokenizer: PreTrainedTokenizerFast) -> TokenizerHealth:
    """Return what the tokenizer makes of `SAMPLE` characters of these contexts, evenly chosen.

    Decomposed Hangul is composed before: that it is not is a fault of the texts.
    """
    texts = list(dict.fromkeys(contexts))
    texts = texts[:: -(-sum(map(len, texts)) // SAMPLE) or 1]
    texts = [normalize("NFC", text) if is_decomposed(text) else text for text in texts]
    encodings = plain_backend(tokenizer).encode_batch(texts, add_special_tokens=False)
    tokens = Encoded(texts, encodings).tokens(with_offsets=True)
    joined = "".join(texts)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    base = np.repeat(np.cumsum(lengths) - lengths, tokens.count)
    starts, ends = tokens.offset_starts + base, tokens.offset_ends + base
    opened, closed = (np.bincount(each, minlength=len(joined) + 1) for each in (starts, ends))
    is_covered = np.cumsum(opened - closed)[: len(joined)] > 0
    shows = {c: not c.isspace() and category(c) not in ("Cc", "Cf") for c in set(joined)}
    is_seen = np.array([shows[character] for character in joined], dtype=bool)
    is_unknown = tokens.ids == tokenizer.unk_token_id
    is_alone = (starts < ends) & ~is_unknown
    is_alone[1:] &= starts[1:] >= ends[:-1]  # bytes, for one, share a character
    is_alone[:-1] &= ends[:-1] <= starts[1:]
    spans = (each[is_alone].tolist() for each in (tokens.ids, starts, ends))
    pieces = Counter((token, joined[first:end]) for token, first, end in zip(*spans, strict=True))
    return TokenizerHealth(
        characters=int(is_seen.sum()),
        uncovered=int((is_seen & ~is_covered).sum()),
        words=sum(len(text.split()) for text in texts),
        tokens=len(tokens.ids),
        unknown=int(is_unknown.sum()),
        misplaced=count_misplaced(pieces, plain_backend(tokenizer)),
        unknown_token=str(tokenizer.unk_token),
    )


def count_misplaced(pieces: Mapping[tuple[int, str], int], backend: Tokenizer) -> int:
    """Count the tokens that stand at another text than their own; 0 if it cannot be told.

    Args:
        pieces: (id, text that its offsets say) -> how often.
        backend: Decodes ids, if it has a decoder.
    """
    if backend.decoder is None:
        return 0
    texts = {token: bare(backend.decode([token], skip_special_tokens=False)) for token, _ in pieces}
    return sum(
        number
        for (token, piece), number in pieces.items()
        if bare(piece) != texts[token] and HALF_CHARACTER not in texts[token]
    )


def bare(text: str) -> str:
    """Return a text without what tokenizers add or normalise: case, accents, forms, blanks, ##."""
    decomposed = normalize("NFKD", text.casefold())
    letters = (c for c in decomposed if not combining(c) and not c.isspace())
    return "".join(letters).removeprefix("##")
