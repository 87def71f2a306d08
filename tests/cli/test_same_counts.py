"""One file with every fault in it: training, doctor, evaluate, predict and Python say the same."""

from __future__ import annotations

import json
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tokenizers import word_tokenizer

import train
from qa.answering.reader import Reader
from qa.cli import doctor, evaluate, predict
from qa.data.formats import read_examples
from qa.engine.errors import Notice

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = [a + b for a in "가나다라마" for b in "강눈달물별산"]  # 30
CONTEXT = " ".join(WORDS) + " 낯선"
NFD = unicodedata.normalize("NFD", " ".join(WORDS[:8]))
QUESTIONS = [  # id, question, context, answer
    ("fine", "누가 왔나", CONTEXT, WORDS[3]),
    ("long", "누가 왔나", CONTEXT, " ".join(WORDS[1:7])),  # six tokens
    ("longer", "누가 왔나", CONTEXT, " ".join(WORDS[0:9])),
    ("lost", "누가 왔나", CONTEXT, " ".join(WORDS[2:28])),
    ("cut", "글을 잘 읽고 답하라 누가 왔나", CONTEXT, WORDS[3]),
    ("unknown", "누가 왔나", CONTEXT, "낯선"),
    ("nfd", "누가 왔나", NFD, unicodedata.normalize("NFD", WORDS[3])),
    ("none", "누가 왔나", CONTEXT, None),
]
LOST = "1 answers that fit into no window (lost); a larger window_overlap holds longer ones"
LONG = (
    "2 answers longer than max_answer_length 5, which can never be given (long, longer);"
    " max_answer_length 9 holds all"
)
UNKNOWN = "1 answers with characters that no token covers or knows (unknown)"
CUT = "1 questions cut to their last 4 tokens (max_question_length) (cut)"
DECOMPOSED = (
    "1 questions in decomposed Hangul (NFD), or whose context is (nfd);"
    " --nfc (in Python nfc=True) composes it"
)
OF_QUESTIONS, OF_ANSWERS = [CUT, DECOMPOSED], [LOST, LONG, UNKNOWN]
ALL = [*OF_ANSWERS, *OF_QUESTIONS]
LENGTHS = "--max-seq-length 24 --window-overlap 6 --max-question-length 4 --max-answer-length 5"


def notes(printed: str) -> list[str]:
    """The notices that a command printed."""
    return [line.removeprefix("note: ") for line in printed.splitlines() if "note: " in line]


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flat JSON, with everything that can be missed."""
    rows = []
    for name, question, context, answer in QUESTIONS:
        row: dict[str, Any] = {"id": name, "question": question, "context": context}
        if answer is None:
            row["answers"] = []
        else:
            row["answers"] = [{"text": answer, "answer_start": context.index(answer)}]
        rows.append(row)
    path = tmp_path_factory.mktemp("data") / "faults.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def save_encoder(directory: Path, words: str) -> Path:
    """A tiny encoder whose tokens are these words."""
    from transformers import BertConfig, BertModel

    tokenizer = word_tokenizer(words)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It knows all words of the file, but one."""
    asked = " ".join(question for _, question, *_ in QUESTIONS)
    return save_encoder(tmp_path_factory.mktemp("encoder"), " ".join([*WORDS, NFD, asked]))


@pytest.fixture(scope="module")
def printed_by_training(
    encoder: Path, data_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The run's directory, and what it printed."""
    import contextlib
    import io

    run, out = tmp_path_factory.mktemp("run") / "run", io.StringIO()
    files = ["--train-data", str(data_file), "--eval-data", str(data_file)]
    arguments = ["--model", str(encoder), *files, *LENGTHS.split(), "--max-steps", "1"]
    with contextlib.redirect_stdout(out):
        assert train.main([*arguments, "--output-dir", str(run), "--device", "cpu"]) == 0
    return run / "best", out.getvalue()


@pytest.fixture(scope="module")
def best(printed_by_training: tuple[Path, str]) -> Path:
    return printed_by_training[0]


def test_training_says_it_of_both_parts(printed_by_training: tuple[Path, str]) -> None:
    lines = printed_by_training[1].splitlines()
    for name in ("training", "held out"):
        first, *missed = (each for each in lines if each.startswith(f"{name}: "))
        assert first.startswith(f"{name}: 8 questions, ")
        assert missed == [f"{name}: {each}" for each in ALL]


def test_training_says_what_is_wrong_with_a_tokenizer(
    printed_by_training: tuple[Path, str],
    data_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of 39 words in two contexts, one of them composed, 21 are unknown; before it was one."""
    assert "tokenizer: " not in printed_by_training[1]
    model = save_encoder(tmp_path / "model", " ".join(WORDS[:10]))
    arguments = ["--model", str(model), "--train-data", str(data_file), *LENGTHS.split()]
    arguments += ["--max-steps", "1", "--output-dir", str(tmp_path / "run"), "--device", "cpu"]
    assert train.main(arguments) == 0
    (line,) = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith("tokenizer: ")
    )
    assert line.startswith("tokenizer: 53.8 % of the contexts' tokens are [UNK]: take a model of")


def test_evaluate(best: Path, data_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--output-dir", str(best.parent / "scores"), "--device", "cpu"]
    assert evaluate.main([str(best), "--data", str(data_file), *out]) == 0
    assert notes(capsys.readouterr().err) == ALL


def test_predict(best: Path, data_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not read the answers, if there are any."""
    assert predict.main([str(best), "--data", str(data_file), "--device", "cpu"]) == 0
    assert notes(capsys.readouterr().err) == OF_QUESTIONS


def test_what_the_notes_name_can_be_passed(
    best: Path, data_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(best), "--data", str(data_file), "--device", "cpu"]
    flags = ["--max-answer-length", "9", "--max-seq-length", "32", "--max-question-length", "7"]
    out = ["--output-dir", str(best.parent / "longer")]
    assert evaluate.main([*given, *out, *flags]) == 0
    assert notes(capsys.readouterr().err) == [LOST, UNKNOWN, DECOMPOSED]
    assert predict.main([*given, *flags]) == 0
    assert notes(capsys.readouterr().err) == [DECOMPOSED]
    assert predict.main([*given, "--max-seq-length", "33"]) == 2
    assert capsys.readouterr().err.startswith("error: max_seq_length 33 is more than the 32 tokens")


@pytest.mark.parametrize("nfc", [False, True])
def test_python(best: Path, data_file: Path, nfc: bool) -> None:
    reader = Reader.from_pretrained(best, device="cpu")
    examples = read_examples(str(data_file))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = list(reader.iterate_answers(examples, nfc=nfc))
    assert len(answers) == len(examples)
    said = [str(each.message) for each in caught if each.category is Notice]
    # Composed, the words of that context are not in the vocabulary, and neither is its answer.
    assert said == (ALL if not nfc else [*OF_ANSWERS, CUT])
    pairs = [(example.question, example.context) for example in examples]
    with pytest.warns(Notice, match=r"1 questions cut to their last 4 tokens .* \(4\)"):
        reader.answer_many(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader.answer(question="누가 왔나", context=CONTEXT)


def test_doctor(encoder: Path, data_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has composed the text before, and says that apart."""
    arguments = [str(data_file), "--model", str(encoder), *LENGTHS.split()]
    assert doctor.main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["questions_with_decomposed_hangul"] == 1
    missed = report["parts"]["all questions"]["windows"]["missed"]
    lines = [
        f"{len(each['ids'])} {each['what']} ({', '.join(each['ids'])})"
        + (f"; {each['mend']}" if each["mend"] else "")
        for each in missed
        if each["ids"]
    ]
    assert lines == [LOST, LONG, UNKNOWN, CUT]
    assert doctor.main(arguments) == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "answers longer than max_answer_length 5, which can never be given 2 long, longer" in [
        line.partition(" max_answer_length 9")[0] for line in shown
    ]
    assert any(
        line.startswith("1 questions in decomposed Hangul (NFD), composed") for line in shown
    )


def test_the_longest_answer_named_is_long_enough(
    encoder: Path, data_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(data_file), "--model", str(encoder), *LENGTHS.split()[:-1], "9", "--json"]
    assert doctor.main(arguments) == 0
    part = json.loads(capsys.readouterr().out)["parts"]["all questions"]
    (ids,) = (
        each["ids"] for each in part["windows"]["missed"] if each["what"].startswith("answers lon")
    )
    assert ids == []
