"""The doctor: figures by hand on small data, control values on the real one, and its command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.articles import BACKBONE, KORQUAD_FILE, squad_json
from support.tokenizers import train_wordpiece

from qa.cli.doctor import main
from qa.data.doctor.profile import lengths, profile_texts, profile_tokens
from qa.data.doctor.report import table
from qa.data.examples import Example
from qa.data.formats import read_examples
from qa.data.holdout import split_holdout
from qa.data.windows.options import WindowOptions


@pytest.fixture(scope="module")
def words() -> Any:
    """A tokenizer whose tokens are the words between blanks."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


CONTEXT = "강나루는 1921년에 푸른골에서 났고 1921년에 (강나루) 떠났다"
EXAMPLES = [
    # covered by 1921년에: wrong, 5 of 5 characters in 6: F1 2 * 5/6 / (1 + 5/6) = 10/11
    Example("a", "언제 났나 ?", CONTEXT, ("1921년",), (5,), "강"),
    # (강나루) is 강나루 when normalised
    Example("b", "누가 ?", CONTEXT, ("강나루",), (CONTEXT.index("(") + 1,), "강"),
    # two answers: the second one is a whole word
    Example("c", "무엇 ?", CONTEXT, ("푸른", "떠났다"), (12, CONTEXT.index("떠")), "강"),
    Example("d", "없나 ?", CONTEXT, (), (), "강"),
    Example("e", "무엇 ?", "가 나", ("나",), (2,), "둘"),
    Example("f", "무엇 ?", "가 나", ("가",), (0,), "둘"),
]


def test_figures_by_hand(words: Any) -> None:
    texts = profile_texts(EXAMPLES)
    assert texts == {
        "questions": 6,
        "questions_without_answer": 1,
        "articles": 2,
        "contexts": 2,
        "repeated_questions": 1,
        "recurring_answers": 2,  # 1921년 and 강나루
        "recurring_answers_percent": 40.0,
        "characters": {
            "context": lengths([len(CONTEXT), 3]),
            "question": lengths([7, 4, 4, 4, 4, 4]),
            "answer": lengths([5, 3, 2, 3, 1, 1]),
        },
    }
    tokens = profile_tokens(EXAMPLES, words, WindowOptions(9, 1, 2), 30, 8)
    assert tokens["tokens"] == {
        "context": lengths([7, 2]),
        "question": lengths([3, 2, 2, 2, 2, 2]),
        "answer": lengths([1] * 6),
    }
    assert tokens["ceiling_by_tokens"] == {
        "exact_match": pytest.approx(100 * 4 / 5),
        "f1": pytest.approx(100 * (4 + 10 / 11) / 5),
    }
    assert tokens["ceiling_by_characters"] == {"exact_match": 100.0, "f1": 100.0}
    # 2 question tokens, 3 special ones, 4 of the context: [0:4] [3:7] for CONTEXT, [0:2] for the
    # other. The answers are in words 1, 5, 2 (the first one counts), 1, 0.
    assert tokens["windows"] == {
        "max_seq_length": 9,
        "window_overlap": 1,
        "max_question_length": 2,
        "max_answer_length": 30,
        "number": 10,
        "with_answer": 5,
        "with_answer_percent": 50.0,
        "full": 8,
        "full_percent": 80.0,
        "missed": tokens["windows"]["missed"],
    }
    missed = {name: ids for name, ids in missed_ids(tokens).items() if ids}
    assert missed == {
        "questions cut to their last 2 tokens (max_question_length)": ["a"],
        # The vocabulary is empty.
        "answers with characters that no token covers or knows": ["a", "b", "c", "e", "f"],
    }


def missed_ids(profile: dict[str, Any]) -> dict[str, list[str]]:
    """What is missed -> the ids with which it is."""
    return {each["what"]: each["ids"] for each in profile["windows"]["missed"]}


def test_answers_that_no_window_holds(words: Any) -> None:
    context = "가 나 다 라 마 바"
    examples = [
        Example("fits", "?", context, ("가 나",), (0,)),
        Example("too long", "?", context, ("나 다 라 마",), (2,)),
    ]
    profile = profile_tokens(examples, words, WindowOptions(7, 1, 1), 30, 8)
    assert missed_ids(profile)["answers that fit into no window"] == ["too long"]
    # Windows hold three words: 나 다 라 of four letters.
    assert profile["ceiling_by_tokens"] == {
        "exact_match": 50.0,
        "f1": pytest.approx(50 + 50 * (2 * 3 / (3 + 4))),
    }


def test_nothing_to_count(words: Any) -> None:
    unanswered = [Example("a", "?", "가")]
    assert profile_texts(unanswered)["recurring_answers_percent"] is None
    profile = profile_tokens(unanswered, words, WindowOptions(9, 1, 2), 30, 8)
    assert profile["ceiling_by_tokens"] is profile["ceiling_by_characters"] is None
    assert profile_texts([])["characters"]["context"] is None


def test_lengths() -> None:
    assert lengths([*range(101)]) == {"mean": 50.0, "median": 50.0, "p95": 95.0, "max": 100.0}


def test_tables_are_aligned() -> None:
    assert table([("a", "1", "x"), ("bcd", "10", "")]) == ["a     1  x", "bcd  10"]
    assert table([]) == []


@pytest.fixture
def tokenizer_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    train_wordpiece(lowercase=False).save_pretrained(directory)
    (directory / "config.json").write_text('{"model_type": "bert"}')
    return directory


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main([*map(str, arguments), "--json"]) == 0
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return parsed


def broken_file(path: Path) -> Path:
    """`squad_json()` with offsets in bytes, and one answer that is nowhere."""
    content = squad_json()
    for article in content["data"]:
        (paragraph,) = article["paragraphs"]
        for qa in paragraph["qas"]:
            (answer,) = qa["answers"]
            answer["answer_start"] = len(paragraph["context"][: answer["answer_start"]].encode())
    content["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["text"] = "없다"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_mends_a_file(tmp_path: Path, squad_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken, fixed = broken_file(tmp_path / "broken.json"), tmp_path / "fixed.json"
    before = broken.read_bytes()
    found = report(capsys, broken, "--write-fixed", fixed)
    assert broken.read_bytes() == before
    assert read_examples(str(fixed)) == read_examples(str(squad_file))[1:]
    moved = sum(example.answer_starts != (0,) for example in read_examples(str(fixed)))
    assert found["answers"] == 12
    assert found["misplaced_answers"] == moved + 1
    assert found["answer_start_counts"] == "UTF-8 bytes"
    assert found["mending"] == {
        "left out: its text is not in the context": 1,
        "moved: answer_start counted UTF-8 bytes": moved,
    }
    assert found["affected_ids"]["left out: its text is not in the context"] == ["0-0"]
    assert found["questions_left_out"] == 1
    assert found["parts"]["all questions"]["questions"] == 11
    fine = report(capsys, fixed)
    assert (fine["misplaced_answers"], fine["answer_start_counts"]) == (0, "characters")
    assert fine["parts"] == found["parts"]


def test_tables_for_people(
    tmp_path: Path, tokenizer_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, fixed = broken_file(tmp_path / "broken.json"), tmp_path / "fixed.json"
    options = ("--max-seq-length", "40", "--window-overlap", "5", "--max-question-length", "20")
    arguments = [str(broken), "--model", str(tokenizer_dir), "--holdout", "0.5", *options]
    assert main([*arguments, "--write-fixed", str(fixed)]) == 0
    printed = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in printed.split("\n")]
    assert lines[0] == str(broken)
    assert lines[1].startswith("12 answers, ")
    assert lines[1].endswith("not at their answer_start, which counts UTF-8 bytes")
    assert "left out: its text is not in the context 1 0-0" in lines
    assert [line for line in lines if line in ("training", "held out")] == ["training", "held out"]
    assert lines.count("characters 100.00 100.00") == 2
    assert any(line.startswith("windows of 40 tokens, overlap 5") for line in lines)
    assert f"11 questions written to {fixed}" in lines
    assert not any(line.endswith(" ") for line in printed.split("\n"))
    found = report(capsys, *arguments)
    training, held_out = split_holdout(read_examples(str(fixed)), 0.5)
    assert found["parts"]["training"]["questions"] == len(training)
    assert found["parts"]["held out"]["questions"] == len(held_out)


def test_training_and_evaluation_data_together(
    tmp_path: Path, squad_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but the first question, whose answer is lost, stand in both."""
    broken = broken_file(tmp_path / "broken.json")
    found = report(capsys, squad_file, "--eval-data", broken)
    ids = [e.id for e in read_examples(str(squad_file))]
    assert found["overlap"] == {"questions": ids[1:], "contexts": []}
    assert {name: part["questions"] for name, part in found["parts"].items()} == {
        "training": 12,
        "evaluation": 11,
    }
    assert (found["misplaced_answers"], found["answer_start_counts"]) == (0, "characters")
    assert found["eval_data"]["file"] == str(broken)
    assert found["eval_data"]["answer_start_counts"] == "UTF-8 bytes"
    assert found["eval_data"]["questions_left_out"] == 1
    assert main([str(squad_file), "--eval-data", str(broken)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [str(squad_file), "12 answers, all at their answer_start", str(broken)]
    assert "the figures below are those of the mended data" in lines
    assert (
        "11 of 11 questions to evaluate on stand in the training data, context and all (0-1, 1-0,"
        " 1-1, ...); scores will be too good"
    ) in lines


def test_two_parts_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One folder is the source of both; its notices go to stderr."""
    data = squad_json()["data"]
    for name, part in (("train", data[:4]), ("dev", data[4:])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"data": part}))
    assert main([str(tmp_path), "--eval-data", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "no question to evaluate on stands in the training data" in out.splitlines()
    assert err.splitlines() == [
        f"note: {tmp_path}: 1 of 2 files are read, the split train (train.json), and these are"
        " not: dev.json",
        f"note: {tmp_path}: 1 of 2 files are read, the split validation (dev.json), and these are"
        " not: train.json",
    ]
    found = report(capsys, tmp_path, "--eval-data", tmp_path)
    assert found["overlap"] == {"questions": [], "contexts": []}
    assert [part["questions"] for part in found["parts"].values()] == [8, 4]


def test_several_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As train.py takes them, also where one of them is to be mended."""
    data = squad_json()["data"]
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps({"data": data[:4]}))
    second.write_text(json.dumps({"data": data[4:]}))
    found = report(capsys, f"{first},{second}@2")
    assert [part["questions"] for part in found["parts"].values()] == [12]
    broken = broken_file(tmp_path / "broken.json")
    assert report(capsys, f"{first},{broken}")["questions_left_out"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "nowhere.json: no such file"),
        (["squad.json", "--write-fixed", "squad.json"], "squad.json: exists; it is never overwr"),
        (["squad.json", "--write-fixed", "out.csv"], "out.csv: the mended data is JSON; name it"),
        (["squad.json", "--write-fixed", "no/out.json"], "there is no directory no"),
        (["squad.json", "--model", "/nowhere"], "/nowhere: no such model directory"),
        (["squad.json", "--model", "model", "--max-seq-length", "0"], "max_seq_length must be at"),
        (
            ["squad.json", "--model", "model", "--max-seq-length", "60"],
            "window_overlap 128 must be",
        ),
        (["squad.json", "--eval-data", "no.json"], "no.json: no such file"),
        (
            ["squad.json", "--eval-data", "squad.json", "--holdout", "0.2"],
            "pass --eval-data or --h",
        ),
        (["squad.json", "--eval-data", "lost.json"], "lost.json: no question has an answer that c"),
        (["squad.json", "--holdout", "0.9"], "holdout must be above 0 and at most 0.5, not 0.9"),
        (["lost.json"], "could be mended (1 left out: its text is not in the context)"),
        (["broken.json"], "broken.json: is not JSON"),
        ([], "the following arguments are required: file"),
    ],
)
@pytest.mark.usefixtures("tokenizer_dir", "squad_file")
def test_wrong_input(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    answers = [{"text": "나", "answer_start": 0}]
    lost = [{"id": 1, "context": "가", "question": "?", "answers": answers}]
    Path("lost.json").write_text(json.dumps(lost))
    files = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert files == {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}


def test_nothing_heavy_without_a_model(squad_file: Path) -> None:
    """Without a tokenizer neither torch nor transformers is loaded."""
    code = (
        "import sys; from qa.cli.doctor import main; main(sys.argv[1:]);"
        " print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(squad_file)], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("\n[]\n")


@pytest.mark.korquad
def test_korquad(words: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, KORQUAD_FILE, "--model", BACKBONE, "--holdout", "0.2")
    assert (found["answers"], found["misplaced_answers"]) == (5774, 0)
    training, held_out = found["parts"]["training"], found["parts"]["held out"]
    ceiling = held_out["ceiling_by_tokens"]
    assert (round(ceiling["exact_match"], 2), round(ceiling["f1"], 2)) == (90.29, 98.99)
    for part in (training, held_out):
        assert part["ceiling_by_characters"] == {"exact_match": 100.0, "f1": 100.0}
    windows = training["windows"], held_out["windows"]
    assert [w["number"] for w in windows] == [5525, 1813]
    assert [round(w["full_percent"]) for w in windows] == [19, 29]
    recur = training["recurring_answers"] + held_out["recurring_answers"]
    assert round(100 * recur / 5774, 1) == 26.4
    examples = read_examples(str(KORQUAD_FILE))
    texts = profile_texts(examples)
    assert (texts["questions"], texts["articles"]) == (5774, 140)
    data = json.loads(KORQUAD_FILE.read_text(encoding="utf-8"))["data"]
    paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]]
    contexts = {paragraph["context"] for paragraph in paragraphs if paragraph["qas"]}
    assert (len(paragraphs), texts["contexts"]) == (964, len(contexts))
    mean = sum(map(len, contexts)) / len(contexts)
    assert texts["characters"]["context"]["mean"] == pytest.approx(mean)
    assert texts["characters"]["context"]["max"] == 2946
    answer = texts["characters"]["answer"]
    assert (round(answer["mean"], 1), answer["p95"], answer["max"]) == (5.5, 12, 43)
    # Of answers that are whole words, found by the same search.
    tokens = profile_tokens(examples, words, WindowOptions(), 30, 8)
    ceiling = tokens["ceiling_by_tokens"]
    assert (round(ceiling["exact_match"], 2), round(ceiling["f1"], 2)) == (30.12, 89.78)
