"""The tokenizer of the embedded job, trained on its own texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Particles and endings at the end of a word, which the tokenizer splits off.
_WORD_END = (
    "(?<=[가-힣])(은|는|이|가|을|를|과|와|으로|로|에서|에서는|에게|에|에는|에도|의|부터|부터는"
    "|이다|이고|이며"
    "|했는가|했다|했나|하며|한|된|되었다|되었는가|이었다|인가|인)(?![가-힣])"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int = 1200) -> PreTrainedTokenizerFast:
    """Train a BPE tokenizer that splits particles and common endings from their words.

    Every character of the texts is in the vocabulary, even beyond `vocab_size`; any other becomes
    `[UNK]`. A pair becomes `[CLS] first [SEP] second [SEP]`, with token types 0 and 1.

    The same texts give the same tokenizer. For that reason no mark for continued words is used:
    with one, the library breaks ties between equally frequent pairs in an order that changes from
    process to process.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex(_WORD_END), behavior="isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    # The trainer gives the special tokens the first ids, in their order.
    core.post_processor = processors.BertProcessing(
        ("[SEP]", SPECIAL_TOKENS.index("[SEP]")), ("[CLS]", SPECIAL_TOKENS.index("[CLS]"))
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
