"""Fixtures: small models and tokenizers made on the spot, so that no test downloads anything."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before transformers and datasets are imported: a test that reaches for the hub must fail at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from support.articles import ARTICLES, KORQUAD_FILE, squad_json
from support.browser import BROWSER, DRIVER
from support.runs import ROOT, Launcher
from support.tokenizers import TOKENIZER_KINDS, train_byte_bpe, train_unigram, train_wordpiece

from qa.engine import matrix_rate

if TYPE_CHECKING:
    from support.serving import Site

    from qa.answering.reader import Reader

# Under nohup, or behind a script's `&`, these are ignored, and would be by the processes that tests
# send them to, which then wait for ever.
for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# What a run measures before it begins, 0.3 s of a processor that multiplies bf16, 5 s of another.
matrix_rate.CPU_SHAPE, matrix_rate.SECONDS = (64, 64, 64), 0

# pytest-xdist's workers share the cores already.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker neighbouring tests, so that mostly one of them makes a module's fixtures."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs something that this machine lacks."""
    reasons = {
        "cuda": None if torch.cuda.is_available() else "no CUDA device",
        "korquad": None if KORQUAD_FILE.is_file() else f"no {KORQUAD_FILE}",
        "hub": None if os.environ.get("HF_HUB_OFFLINE") == "0" else "set HF_HUB_OFFLINE=0 to run",
        "browser": None if BROWSER and DRIVER else "no chromium or no chromedriver",
        "e2e": None if os.environ.get("QA_E2E") else "set QA_E2E=1 to run",
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


@pytest.fixture
def squad_file(tmp_path: Path) -> Path:
    """A small SQuAD-style file."""
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(squad_json(), ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A tokenizer of about one token per syllable, with token types, like the quickstart's."""
    from qa.data.quickstart.tokenizer import train_tokenizer

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


@pytest.fixture(scope="session", params=TOKENIZER_KINDS)
def any_tokenizer(request: pytest.FixtureRequest) -> Any:
    """Each kind of fast tokenizer that encoders come with, trained on a little Korean text."""
    makers: dict[str, Callable[[], Any]] = {
        "wordpiece": lambda: train_wordpiece(lowercase=False),
        "wordpiece-uncased": lambda: train_wordpiece(lowercase=True),
        "unigram": train_unigram,
        "byte-bpe": train_byte_bpe,
        "byte-bpe-nfc": lambda: train_byte_bpe(composes=True),
    }
    return makers[request.param]()


@pytest.fixture(scope="session")
def tiny_reader() -> Reader:
    """A reader that was trained for a few steps, to answer every question."""
    from qa.answering.reader import Reader

    directory = ROOT / "tests" / "outputs" / "golden" / "answerable" / "run" / "best"
    return Reader.from_pretrained(directory, device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def tiny_site(tiny_reader: Reader) -> Iterator[Site]:
    """A server of it."""
    from support.serving import serving

    from qa.serving.reading import make_work, warm_up

    warm_up(tiny_reader)
    with serving(make_work(tiny_reader, nfc=True)) as site:
        yield site


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny models on one thread: on a busy machine a second one mostly waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
