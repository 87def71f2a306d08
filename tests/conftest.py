"""Fixtures: small models and tokenizers made on the spot, so that no test downloads anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before transformers and datasets are imported: a test that reaches for the hub must fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from runs import Launcher

SHARED = Path(__file__).resolve().parents[2] / "shared"
KORQUAD_FILE = SHARED / "data" / "KorQuAD_v1.0_dev.json"
BACKBONE = SHARED / "backbones" / "e5-small-ko"

torch.set_num_threads(2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs something that this machine lacks."""
    reasons = {
        "cuda": None if torch.cuda.is_available() else "no CUDA device",
        "korquad": None if KORQUAD_FILE.is_file() else f"no {KORQUAD_FILE}",
        "hub": None if os.environ.get("HF_HUB_OFFLINE") == "0" else "set HF_HUB_OFFLINE=0 to run",
        "slow": None if os.environ.get("QA_SLOW") else "set QA_SLOW=1 to run",
    }
    for item in items:
        for marker, reason in reasons.items():
            if reason is not None and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Windows of tests go to a directory of this session, not to the user's cache."""
    import datasets

    cache = str(tmp_path_factory.mktemp("datasets-cache"))
    os.environ["HF_DATASETS_CACHE"] = cache  # for child processes
    datasets.config.HF_DATASETS_CACHE = Path(cache)


ARTICLES: list[tuple[str, str, list[tuple[str, str]]]] = [
    (
        "강나루",
        "강나루는 1921년 푸른골에서 난 화가이다. 1947년에는 한여울로 이사하여 작업실을 열었다.",
        [("강나루가 태어난 해는?", "1921년"), ("강나루가 작업실을 연 곳은?", "한여울")],
    ),
    (
        "물빛 다리",
        "물빛 다리는 새벽강을 건너는 다리이다. 1903년에 놓였고 1950년에 무너져 이듬해 다시 놓였다.",
        [("물빛 다리는 어느 강을 건너는가?", "새벽강"), ("다리가 무너진 해는?", "1950년")],
    ),
    (
        "도하늘",
        "도하늘은 시집 《먼 불빛》을 쓴 시인이다. 은모래에서 자랐으며 은모래 문학상을 받았다.",
        [("도하늘의 시집은?", "먼 불빛"), ("도하늘이 자란 곳은?", "은모래")],
    ),
    (
        "솔뫼산",
        "솔뫼산은 높이가 812미터인 산이다. 서쪽에는 솔뫼사라는 절이 있고 동쪽에는 너른들이 있다.",
        [("솔뫼산의 높이는?", "812미터"), ("산의 서쪽에 있는 절은?", "솔뫼사")],
    ),
    (
        "윤가람",
        "윤가람은 첼로 연주자이다. 여덟 살에 첼로를 시작하여 1988년에 첫 음반을 냈다.",
        [("윤가람이 연주하는 악기는?", "첼로"), ("첫 음반을 낸 해는?", "1988년")],
    ),
    (
        "달맞이 축제",
        "달맞이 축제는 해마다 9월에 열린다. 등불을 강에 띄우는 행사로 시작하고 씨름으로 끝난다.",
        [("달맞이 축제가 열리는 달은?", "9월"), ("축제는 무엇으로 끝나는가?", "씨름")],
    ),
]
"""title, context, (question, answer) pairs; each answer's first occurrence is meant."""


def squad_json() -> dict[str, Any]:
    """`ARTICLES` in nested SQuAD form: 6 articles, 12 questions."""
    data = []
    for number, (title, context, pairs) in enumerate(ARTICLES):
        qas = [
            {
                "id": f"{number}-{i}",
                "question": question,
                "answers": [{"text": answer, "answer_start": context.index(answer)}],
            }
            for i, (question, answer) in enumerate(pairs)
        ]
        data.append({"title": title, "paragraphs": [{"context": context, "qas": qas}]})
    return {"version": "test", "data": data}


@pytest.fixture
def squad_file(tmp_path: Path) -> Path:
    """A small SQuAD-style file."""
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(squad_json(), ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A tokenizer of about one token per syllable, with token types, like the quickstart's."""
    from qa.data.quickstart_tokenizer import train_tokenizer

    return train_tokenizer(text for _, context, pairs in ARTICLES for text in (context, *pairs[0]))


@pytest.fixture(scope="session")
def encoder_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A saved tiny BERT encoder (no span head) with its tokenizer, dropout 0.1."""
    from transformers import BertConfig, BertModel

    directory = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=160,
        pad_token_id=tokenizer.pad_token_id,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Starts runs of train.py quickly."""
    launcher = Launcher.open(tmp_path_factory.mktemp("printed"))
    yield launcher
    launcher.close()


TOKENIZER_KINDS = ("wordpiece", "wordpiece-uncased", "unigram", "byte-bpe", "byte-bpe-nfc")


def training_texts() -> list[str]:
    """What the small tokenizers are trained on."""
    korean = [text for _, context, pairs in ARTICLES for text in (context, *pairs[0], *pairs[1])]
    return [*korean, "The Quick Brown Fox jumps over 13 lazy dogs in 2024.", "大韓民國 金剛山 漢江"]


def train_wordpiece(lowercase: bool) -> Any:
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
    cls, sep = core.token_to_id("[CLS]"), core.token_to_id("[SEP]")
    core.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def train_unigram() -> Any:
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
        special_tokens=[(name, core.token_to_id(name)) for name in ("<s>", "</s>")],
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


def train_byte_bpe(composes: bool = False) -> Any:
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
        ("</s>", core.token_to_id("</s>")), ("<s>", core.token_to_id("<s>"))
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


def word_tokenizer(text: str) -> Any:
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


@pytest.fixture(scope="session", params=TOKENIZER_KINDS)
def any_tokenizer(request: pytest.FixtureRequest) -> Any:
    """Each kind of fast tokenizer that encoders come with, trained on a little Korean text."""
    makers = {
        "wordpiece": lambda: train_wordpiece(lowercase=False),
        "wordpiece-uncased": lambda: train_wordpiece(lowercase=True),
        "unigram": train_unigram,
        "byte-bpe": train_byte_bpe,
        "byte-bpe-nfc": lambda: train_byte_bpe(composes=True),
    }
    return makers[request.param]()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny models on one thread: on a busy machine a second one mostly waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
