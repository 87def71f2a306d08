"""Health of tokenizers: figures by hand, all kinds that are well, and those that are not."""

from __future__ import annotations

import copy
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from support.articles import ARTICLES, BACKBONE, KORQUAD_FILE
from support.tokenizers import (
    holey_byte_bpe,
    train_wordpiece,
    training_texts,
    word_tokenizer,
)

from qa.data.windows import health
from qa.data.windows.health import measure_health
from qa.data.windows.tokens import Encoded, Tokens
from qa.models.pretrained import load_tokenizer


def test_figures_by_hand() -> None:
    """Words as tokens: 나 is not known, and a word is never in two tokens."""
    found = measure_health(["가 나\t다가", "가 나\t다가", "가"], word_tokenizer("가 다가"))
    assert (found.characters, found.words, found.tokens) == (5, 4, 4)
    assert (found.uncovered, found.unknown, found.misplaced) == (0, 1, 0)
    report = found.report()
    assert report["unknown_percent"] == 25.0
    assert (report["tokens_a_word"], report["tokens_a_character"]) == (1.0, 0.8)
    assert report["problems"] == found.problems()
    (problem,) = found.problems()
    assert problem.startswith("tokenizer: 25.0 % of the contexts' tokens are [UNK]: ")


def test_good_tokenizers_are_well(any_tokenizer: Any) -> None:
    found = measure_health(training_texts(), any_tokenizer)
    assert found.problems() == []
    assert (found.uncovered, found.unknown, found.misplaced) == (0, 0, 0)
    assert found.characters == sum(not c.isspace() for t in training_texts() for c in t)


def test_offsets_with_holes() -> None:
    """One character is lost of each word, as trimmed offsets do behind Whitespace."""
    texts = [context for _, context, _ in ARTICLES]
    found = measure_health(texts, holey_byte_bpe(texts))
    words = [word for text in texts for word in text.replace(".", " . ").split()]
    assert found.uncovered >= len([word for word in words if len(word) > 1])
    assert any("no token covers" in problem for problem in found.problems())


def test_a_vocabulary_that_is_read_in_lower_case(tmp_path: Path) -> None:
    """A vocab.txt alone is: Hangul is taken apart, and its parts are not in the vocabulary."""
    tokenizer = train_wordpiece(lowercase=False)
    vocabulary = tokenizer.get_vocab()
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    found = measure_health(training_texts(), load_tokenizer(str(tmp_path)))
    assert found.unknown > 0.5 * found.tokens
    (problem,) = found.problems()
    assert 'tokenizer_config.json must say how it is to be read, for Korean {"do_low' in problem
    settings = {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    mended = measure_health(training_texts(), load_tokenizer(str(tmp_path)))
    assert mended.problems() == []


def test_characters_taken_apart() -> None:
    """A byte-level vocabulary that knows no Korean: three tokens a syllable."""
    tokenizer = holey_byte_bpe(["the quick brown fox"], first=None)
    found = measure_health(["가나 다라 마바"], tokenizer)
    assert found.tokens_a_character > 2.9
    (problem,) = found.problems()
    assert " tokens a character: take a model of this language" in problem


def with_decoder(tokenizer: Any) -> Any:
    """As saved tokenizers have one; the tests' own mostly need none."""
    from tokenizers import decoders

    kind = type(tokenizer.backend_tokenizer.model).__name__
    makers = {"WordPiece": decoders.WordPiece, "Unigram": decoders.Metaspace}
    tokenizer.backend_tokenizer.decoder = makers.get(kind, decoders.ByteLevel)()
    return tokenizer


def test_decoded_tokens_are_the_texts_at_their_offsets(any_tokenizer: Any) -> None:
    """Of the tokens that are alone in their characters, but for a mark apart from its letter."""
    texts = [*training_texts(), "ＡＢＣ ① ㎏ ½ e\u0301 Éa", unicodedata.normalize("NFD", "강나루")]
    assert measure_health(texts, with_decoder(copy.deepcopy(any_tokenizer))).misplaced <= 1


def test_offsets_in_another_unit(any_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the fifth character all offsets are one too small."""
    whole = Encoded.tokens

    def shifted(self: Encoded, with_offsets: bool) -> Tokens:
        tokens = whole(self, with_offsets)
        for column in (tokens.offset_starts, tokens.offset_ends):
            column -= column > 5
        return tokens

    monkeypatch.setattr(Encoded, "tokens", shifted)
    found = measure_health(training_texts(), with_decoder(copy.deepcopy(any_tokenizer)))
    assert found.misplaced_percent > 10
    assert any("stand at a text that is not theirs" in each for each in found.problems())


def test_a_good_tokenizer_is_not_blamed_for_the_texts() -> None:
    """Decomposed Hangul leaves holes behind composing tokenizers, and nothing covers U+200B."""
    texts = training_texts()
    expected = measure_health(texts, train_wordpiece(lowercase=True))
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    assert measure_health(decomposed, train_wordpiece(lowercase=True)) == expected
    unseen = ["\u200b\x07".join(text) for text in texts]
    found = measure_health(unseen, train_wordpiece(lowercase=True))
    assert (found.characters, found.uncovered) == (expected.characters, 0)
    assert found.problems() == []


def test_a_sample_is_spread_over_the_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SAMPLE", 30)
    texts = [f"{i:09}0" for i in range(12)]  # of which every fourth is enough
    assert measure_health(texts, word_tokenizer("x")).characters == 30
    assert measure_health(["가" * 100], word_tokenizer("x")).characters == 100
    assert measure_health([], word_tokenizer("x")).problems() == []


@pytest.mark.korquad
def test_a_real_one() -> None:
    from qa.data.formats import read_examples

    contexts = [example.context for example in read_examples(str(KORQUAD_FILE))]
    found = measure_health(contexts, load_tokenizer(str(BACKBONE)))
    assert found.problems() == []
    assert found.uncovered_percent < 0.01
    assert found.unknown_percent < 0.05
    assert found.misplaced_percent < 0.01
    assert 0.7 < found.tokens_a_character < 0.8
