"""Hard negatives: which wrong context a question gets, and that a run learns from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.articles import article_examples
from support.bm25 import bm25
from support.files import as_flags, read_json
from support.runs import Launcher

from qa.config import config_from_flat
from qa.data.examples import Example
from qa.data.quickstart.passages import make_quickstart
from qa.engine.distributed import World
from qa.engine.errors import Notice
from qa.engine.micro_batches import EpochBatches
from qa.engine.run_differences import run_differences
from qa.retrieval.bigrams import bigrams
from qa.training.build import Job, build_job
from qa.training.hard_negatives import LOOKED_AT, hard_negatives

pytestmark = pytest.mark.usefixtures("one_thread")

# Each asks in words of all articles, so that a search finds others, too.
EXAMPLES = [
    replace(each, question=f"화가, 다리, 시인, 산, 연주자, 축제: {each.question}")
    for each in article_examples()
]
WORDS = st.sampled_from(["강나루는", "한여울로", "시집을", "1921년에", "첼로를", "산이다"])
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    """`EXAMPLES` as JSON lines."""
    path = tmp_path / "data.jsonl"
    rows = (
        {
            "id": each.id,
            "question": each.question,
            "context": each.context,
            "answers": {"text": each.answers, "answer_start": each.answer_starts},
        }
        for each in EXAMPLES
    )
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def best_wrong(example: Example, examples: Sequence[Example]) -> str | None:
    """The context without an answer that is best by BM25's formula, if one is among the first."""
    titles = {each.context: each.title for each in examples}
    tokens = {
        number: [*bigrams(title), *bigrams(context)]
        for number, (context, title) in enumerate(titles.items())
    }
    scores = bm25(tokens, bigrams(example.question))
    contexts = list(titles)
    for number in sorted(scores, key=lambda number: (-scores[number], number))[:LOOKED_AT]:
        context = contexts[number]
        if context != example.context and example.answers[0] not in context:
            return context
    return None


def test_each_question_gets_the_wrong_context_that_bm25_puts_first() -> None:
    """The quickstart's questions: all ask in the same words about contexts in the same words."""
    examples = make_quickstart()[0][:60]
    found = {each.id: each for each in hard_negatives(examples)}
    assert len(found) > 50
    titles = {each.context: each.title for each in examples}
    for example in examples:
        negative = found.get(example.id)
        assert (negative and negative.context) == best_wrong(example, examples)
        if negative is not None:
            assert negative.title == titles[negative.context]
            assert negative.question == example.question
            gold = negative.answers, negative.answer_starts, negative.gold_answers
            assert gold == ((), (), ())


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6), data=st.data())
def test_a_hard_negative_is_a_context_that_does_not_answer(
    texts: list[str], data: st.DataObject
) -> None:
    """Each question's answer is the first word of its context; forms of Unicode are mixed."""
    texts = [normalize("NFD", text) if data.draw(st.booleans()) else text for text in texts]
    examples = [
        Example(str(number), f"{text}?", text, (text.split()[0],), (0,))
        for number, text in enumerate(texts)
    ]
    by_id = {each.id: each for each in examples}
    for negative in hard_negatives(examples):
        answer = by_id[negative.id].answers[0]
        assert negative.context in texts
        assert normalize("NFC", answer) not in normalize("NFC", negative.context)


def negatives_of(*others: str, **values: Any) -> list[str]:
    """The hard negatives of one question among these other contexts."""
    values = {"answers": ("두 칸",), "answer_starts": (5,), **values}
    asked = Example("q", "방은 몇 칸인가?", "그 방은 두 칸이다.", **values)
    rest = [Example(f"{n}", "?", text) for n, text in enumerate(others)]
    return [each.context for each in hard_negatives([asked, *rest])]


def test_an_answer_in_another_spelling_is_one() -> None:
    wrong = "이 방은 칸이 없다."
    assert negatives_of(wrong) == [wrong]
    for right in (
        "방은 두칸인가 한다.",
        normalize("NFD", "방은 두 칸인가 한다."),
        "방은 '두' 칸인가",
    ):
        assert negatives_of(right, wrong) == [wrong]
    assert negatives_of(wrong, reference_answers=("칸이 없",)) == []
    assert negatives_of(wrong, answers=("…",)) == [wrong]  # has no letters
    assert negatives_of(f"{wrong} …", answers=("…",)) == []


def test_a_context_beside_which_the_question_has_an_answer_is_not_wrong() -> None:
    """One question about two contexts that put their answers in other words."""
    first = Example("1", "한글을 만든 해는?", "한글을 만든 해는 1443년이다.", ("1443년",), (10,))
    second = replace(
        first, id="2", context="한글을 만든 해는 세종 25년이다.", answers=("세종 25년",)
    )
    assert hard_negatives([first, second]) == []
    other = Example("3", "?", "한글을 만든 사람들.")
    assert [each.context for each in hard_negatives([first, second, other])] == [other.context] * 2


def test_a_question_without_an_answer_gets_none_and_one_that_is_repeated_gets_two() -> None:
    unanswerable = replace(EXAMPLES[0], id="u", answers=(), answer_starts=())
    ids = [each.id for each in hard_negatives([*EXAMPLES, unanswerable, EXAMPLES[0]])]
    assert "u" not in ids
    assert ids.count(EXAMPLES[0].id) == 2
    assert hard_negatives(EXAMPLES[:1]) == []  # there is no other context


def test_all_processes_get_what_the_main_one_finds() -> None:
    class Second(World):
        """The second of two; the main process has found one."""

        @property
        def is_main(self) -> bool:
            return False

        def from_main(self, value: Any) -> Any:
            assert value == {}
            return {EXAMPLES[3].id: 2}

    (found,) = hard_negatives(EXAMPLES, Second())
    contexts = list(dict.fromkeys(each.context for each in EXAMPLES))
    assert (found.id, found.context) == (EXAMPLES[3].id, contexts[2])


def test_the_order_of_a_run_has_them_as_windows_without_an_answer(
    encoder_dir: Path, data_file: Path
) -> None:
    """As many as `negative_window_ratio` says, others every epoch."""
    flat = {
        "model": str(encoder_dir),
        "train_data": str(data_file),
        "max_seq_length": 150,
        "window_overlap": 10,
        "precision": "fp32",
        "device": "cpu",
        "hard_negatives": True,
        "negative_window_ratio": 0.5,
    }
    lines: list[str] = []
    job = build_job(config_from_flat(flat), lines.append)
    plain = build_job(config_from_flat({**flat, "hard_negatives": False}), lambda line: None)
    negatives = len(hard_negatives(EXAMPLES))
    (with_them, again), (without, _) = ([shown(each, n) for n in (0, 1)] for each in (job, plain))
    assert len(with_them) == len(without) + round(negatives / 2)
    assert with_them > without  # all that have the answer
    assert with_them != again
    assert f"training: {negatives} of the questions are hard negatives" in lines
    assert job.data["training data"].questions == len(EXAMPLES)


def shown(job: Job, epoch: int) -> set[int]:
    """The windows of an epoch."""
    batches = job.run.micro_batches
    assert isinstance(batches, EpochBatches)
    return {index for batch in batches.order(epoch) for index in batch}


def test_a_generative_reader_has_them_beside_answers_by_text(
    encoder_dir: Path, tmp_path: Path
) -> None:
    """An answer that stands nowhere is taught by its text, a hard negative as no answer."""
    path = tmp_path / "data.jsonl"
    rows = [
        {
            "id": each.id,
            "question": each.question,
            "context": each.context,
            "answer": each.answers[0] if number else "시인",
        }
        for number, each in enumerate(EXAMPLES)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    flat = {
        "model": str(encoder_dir),
        "train_data": str(path),
        "max_seq_length": 150,
        "window_overlap": 10,
        "precision": "fp32",
        "device": "cpu",
        "reader": "generative",
        "hard_negatives": True,
    }
    lines: list[str] = []
    with pytest.warns(Notice, match="1 answers stand nowhere in their context"):
        job = build_job(config_from_flat(flat), lines.append)
    assert any("1 answers that stand nowhere are taught by their text" in line for line in lines)
    windows = job.run.micro_batches.dataset
    has_answer = [bool(windows[row]["has_answer"]) for row in shown(job, 0)]
    assert has_answer.count(True) == len(EXAMPLES)
    assert has_answer.count(False) == len(hard_negatives(EXAMPLES)) > 0


@pytest.mark.e2e
def test_a_run_with_hard_negatives_resumes_bit_for_bit(
    launcher: Launcher, encoder_dir: Path, data_file: Path, tmp_path: Path
) -> None:
    """It finds the same ones again; without them the data is other data, which is refused."""
    values = {
        "model": encoder_dir,
        "train-data": data_file,
        "max-seq-length": 100,
        "window-overlap": 10,
        "per-device-train-batch-size": 4,
        "max-steps": 6,
        "save-steps": 3,
        "precision": "fp32",
        "device": "cpu",
        "output-dir": tmp_path / "whole",
    }
    flags = [*as_flags(values), "--hard-negatives"]
    assert launcher.run(flags).code == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    steps = sorted((tmp_path / "cut" / "checkpoints").iterdir())
    shutil.rmtree(steps[-1])
    resume = ["--resume", "--output-dir", str(tmp_path / "cut")]
    other = launcher.run([*resume, "--no-hard-negatives"])
    assert other.code == 2
    assert "hard_negatives" in other.stderr
    assert launcher.run(resume).code == 0
    assert list(run_differences(tmp_path / "whole", tmp_path / "cut")) == []
    assert read_json(tmp_path / "cut" / "config.json")["hard_negatives"] is True
