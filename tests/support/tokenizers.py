"""Small tokenizers of every kind that encoders come with, trained on the spot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.articles import ARTICLES

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

TOKENIZER_KINDS = ("wordpiece", "wordpiece-uncased", "unigram", "byte-bpe", "byte-bpe-nfc")


def special_token(core: Tokenizer, token: str) -> tuple[str, int]:
    """A special token with its id, as post-processors want it."""
    number = core.token_to_id(token)
    assert number is not None, token
    return token, number


def training_texts() -> list[str]:
    """What the small tokenizers are trained on."""
    korean = [text for _, context, pairs in ARTICLES for text in (context, *pairs[0], *pairs[1])]
    return [*korean, "The Quick Brown Fox jumps over 13 lazy dogs in 2024.", "大韓民國 金剛山 漢江"]


def train_wordpiece(lowercase: bool) -> PreTrainedTokenizerFast:
    """Like BERT: `[CLS] q [SEP] c [SEP]` with token types; lower case also strips accents."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=specials, show_progress=False
    )
    core.train_from_iterator(training_texts(), trainer)
    core.post_processor = processors.BertProcessing(
        special_token(core, "[SEP]"), special_token(core, "[CLS]")
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def train_unigram() -> PreTrainedTokenizerFast:
    """Like XLM-RoBERTa: NFKC, `▁` for spaces, `<s> q </s></s> c </s>`, no token types."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator(training_texts(), trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[special_token(core, name) for name in ("<s>", "</s>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )


def train_byte_bpe(composes: bool = False) -> PreTrainedTokenizerFast:
    """Like RoBERTa: tokens are bytes, so that one syllable can be several; no token types.

    With NFC before, like ModernBERT, one syllable can also be several characters of the text.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    core = Tokenizer(models.BPE())
    if composes:
        core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(training_texts(), trainer)
    core.post_processor = processors.RobertaProcessing(
        special_token(core, "</s>"), special_token(core, "<s>")
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )


def holey_byte_bpe(texts: list[str], first: str | None = "Whitespace") -> PreTrainedTokenizerFast:
    """Bytes behind `first`, which takes the blanks that trimmed offsets then take for there.

    So the offsets leave out the first character of each word. `first` None: of none.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    before = [] if first is None else [getattr(pre_tokenizers, first)()]
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [*before, pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts * 9, trainer)
    core.post_processor = processors.RobertaProcessing(
        special_token(core, "</s>"),
        special_token(core, "<s>"),
        trim_offsets=True,
        add_prefix_space=True,
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )


def word_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Like BERT, but with every word of `text` as a token, whatever is in it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(text.split())]
    vocab = {token: i for i, token in enumerate(tokens)}
    core = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
