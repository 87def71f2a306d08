"""`Reader`, the way to use a trained model from Python."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from support.articles import ARTICLES
from support.runs import ROOT

from qa.answering.reader import Reader
from qa.cli.predict import main
from qa.data.examples import Example
from qa.data.nfc import compose_example
from qa.data.windows.options import WindowOptions
from qa.engine.errors import Notice, UserError
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

CONTEXT = ARTICLES[0][1]
QUESTION = "강나루가 태어난 해는?"
Form = Literal["NFC", "NFD"]
SMALL: dict[str, Any] = {"max_seq_length": 40, "window_overlap": 8, "max_question_length": 16}


@pytest.fixture(scope="module")
def reader_dir(encoder_dir: Path, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved reader with an untrained head and settings beside it."""
    directory = tmp_path_factory.mktemp("reader")
    torch.manual_seed(2)
    reader = SpanReader.from_pretrained(str(encoder_dir))
    torch.nn.init.normal_(reader.model.qa_outputs.weight, std=1.0)
    reader.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    settings = {**SMALL, "n_best_size": 6, "max_answer_length": 5}
    (directory / "reader.json").write_text(json.dumps(settings))
    return directory


@pytest.fixture(scope="module")
def reader(reader_dir: Path) -> Reader:
    return Reader.from_pretrained(reader_dir, device="cpu", precision="fp32")


def spans(answers: list[Any]) -> list[tuple[int, int]]:
    return [(answer.start, answer.end) for answer in answers]


def test_answer_is_a_piece_of_the_context(reader: Reader) -> None:
    (answer,) = reader.answer(question=QUESTION, context=CONTEXT)
    assert answer.text
    assert CONTEXT[answer.start : answer.end] == answer.text
    assert 0 < answer.probability <= 1


def test_settings_of_the_directory_and_of_the_call(reader: Reader, reader_dir: Path) -> None:
    assert vars_of(reader.windows) == SMALL
    assert vars_of(reader.answerer.options) == {
        "n_best_size": 6,
        "max_answer_length": 5,
        "null_score_diff_threshold": None,
        "temperature": None,
        "decoding": None,
    }
    assert reader.answerer.batch_size == 32
    other = Reader.from_pretrained(reader_dir, max_answer_length=1, window_overlap=3, batch_size=2)
    assert vars_of(other.windows) == {**SMALL, "window_overlap": 3}
    assert vars_of(other.answerer.options) == {
        "n_best_size": 6,
        "max_answer_length": 1,
        "null_score_diff_threshold": None,
        "temperature": None,
        "decoding": None,
    }
    assert other.answerer.batch_size == 2
    lengths = {
        len(other.tokenizer(answer.text, add_special_tokens=False)["input_ids"])
        for answer in other.answer(question=QUESTION, context=CONTEXT, top_k=6)
    }
    assert lengths == {1}


def vars_of(options: Any) -> dict[str, int]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


def test_top_k_is_best_first_and_starts_with_the_answer(reader: Reader) -> None:
    answers = reader.answer(question=QUESTION, context=CONTEXT, top_k=4)
    assert len(answers) == 4
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True)
    assert reader.answer(question=QUESTION, context=CONTEXT) == answers[:1]
    assert len(set(spans(answers))) == 4


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_nfc_answers_are_pieces_of_what_was_passed(form: Form, reader: Reader) -> None:
    """The same answers with the same scores, in whichever form the text is written."""
    written = unicodedata.normalize(form, CONTEXT)
    question = unicodedata.normalize(form, QUESTION)
    found = reader.answer(question=question, context=written, top_k=6, nfc=True)
    expected = reader.answer(question=QUESTION, context=CONTEXT, top_k=6)
    for answer, usual in zip(found, expected, strict=True):
        assert written[answer.start : answer.end] == answer.text
        assert unicodedata.normalize("NFC", answer.text) == usual.text
        assert unicodedata.normalize("NFC", written[: answer.start]) == CONTEXT[: usual.start]
        assert (answer.score, answer.probability) == (usual.score, usual.probability)
    assert len({answer.text for answer in found}) > 1


def test_nfc_on_the_command_line(
    reader_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(form: Form, *flags: str) -> tuple[list[dict[str, Any]], str]:
        context = unicodedata.normalize(form, CONTEXT)
        rows = [{"id": "1", "question": QUESTION, "context": context}]
        path = tmp_path / f"{form}.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        assert main([str(reader_dir), "--data", str(path), "--json", "--device=cpu", *flags]) == 0
        out, err = capsys.readouterr()
        return json.loads(out)["answers"], err

    (usual,), note = printed("NFC")
    assert note == ""
    (found,), note = printed("NFD", "--nfc")
    assert note == ""
    decomposed = unicodedata.normalize("NFD", CONTEXT)
    assert decomposed[found["start"] : found["end"]] == found["text"] != usual["text"]
    assert unicodedata.normalize("NFC", found["text"]) == usual["text"]
    assert "--nfc (in Python nfc=True) composes it" in printed("NFD")[1]


def test_a_decomposed_question_is_noted(
    reader_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = unicodedata.normalize("NFD", QUESTION)
    flags = ["--context", CONTEXT, "--device=cpu"]
    assert main([str(reader_dir), "--question", question, *flags]) == 0
    assert "--nfc (in Python nfc=True) composes it" in capsys.readouterr().err


def test_nfc_composes_a_block_at_a_time(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []

    def recorded(example: Example) -> Example:
        composed.append(example.id)
        return compose_example(example)

    pairs = [(q, context) for _, context, questions in ARTICLES for q, _ in questions]
    decomposed = [tuple(unicodedata.normalize("NFD", text) for text in pair) for pair in pairs]
    expected = [found[0].score for found in reader.answer_many(pairs)]
    monkeypatch.setattr("qa.answering.streaming.compose_example", recorded)
    monkeypatch.setattr("qa.data.windows.tokens.EXAMPLES_PER_CALL", 3)
    examples = [Example(str(i), question, text) for i, (question, text) in enumerate(decomposed)]
    answered = reader.iterate_answers(examples, nfc=True)
    scores = [next(answered)[0].score]
    assert composed == ["0", "1", "2"]
    scores += [found[0].score for found in answered]
    assert composed == [example.id for example in examples]
    assert scores == pytest.approx(expected, abs=1e-4)


def test_a_character_that_stays_two_code_points_when_composed_is_one_answer(
    reader: Reader,
) -> None:
    """Three code points are composed to two, and a token may hold either of them or both."""
    context = "강 e\u0301\u0327강"
    assert len(unicodedata.normalize("NFC", context)) == 5
    found = reader.answer(question="?", context=context, top_k=99, nfc=True)
    pieces = [(0, 1), (0, 5), (0, 6), (2, 5), (2, 6), (5, 6)]
    assert sorted(spans(found)) == [span for span in pieces if span in spans(found)]
    assert len(found) > 1
    assert sum(answer.probability for answer in found) == pytest.approx(1)


def test_top_k_beyond_n_best_size(reader_dir: Path) -> None:
    reader = Reader.from_pretrained(reader_dir)
    few = reader.answer(question=QUESTION, context=CONTEXT, top_k=6)
    many = reader.answer(question=QUESTION, context=CONTEXT, top_k=30)
    assert len(many) == 30
    assert spans(many)[:6] == spans(few)


def test_asking_for_many_once_does_not_change_later_answers(reader_dir: Path) -> None:
    """The probability is a share among n_best_size candidates, whatever was asked before."""
    reader = Reader.from_pretrained(reader_dir)
    before = reader.answer(question=QUESTION, context=CONTEXT)
    reader.answer(question=QUESTION, context=CONTEXT, top_k=30)
    assert reader.answer(question=QUESTION, context=CONTEXT) == before


def test_fewer_answers_than_asked_for(reader: Reader) -> None:
    """One token has one span."""
    answers = reader.answer(question=QUESTION, context="강", top_k=5)
    assert [(a.text, a.start, a.end) for a in answers] == [("강", 0, 1)]
    assert answers[0].probability == 1.0


def test_many_pairs_equal_one_by_one(reader: Reader) -> None:
    pairs = [(q, context) for _, context, qs in ARTICLES for q, _ in qs]
    together = reader.answer_many(pairs, top_k=3)
    assert len(together) == len(pairs)
    for (question, context), answers in zip(pairs, together, strict=True):
        alone = reader.answer(question=question, context=context, top_k=3)
        assert spans(answers) == spans(alone)
        assert [a.score for a in answers] == pytest.approx([a.score for a in alone], abs=1e-4)


def test_pairs_may_be_a_generator_and_none(reader: Reader) -> None:
    assert len(reader.answer_many((QUESTION, CONTEXT) for _ in range(3))) == 3
    assert reader.answer_many([]) == []


def test_long_context_is_read_to_its_end(reader: Reader) -> None:
    """The best over all windows: no piece of it holds a better span than the whole."""
    context = " ".join(context for _, context, _ in ARTICLES) * 4
    (best,) = reader.answer(question=QUESTION, context=context)
    assert context[best.start : best.end] == best.text
    starts = set()
    for _, piece, _ in ARTICLES:
        starts.add(context.rindex(piece))
    assert max(starts) > 1000
    every = reader.answer(question=QUESTION, context=context, top_k=10_000)
    assert spans(every[:1]) == spans([best])
    assert min(answer.start for answer in every) == 0
    assert max(answer.end for answer in every) == len(context)


def test_question_is_stripped(reader: Reader) -> None:
    assert reader.answer(question=f" {QUESTION}\n", context=CONTEXT) == reader.answer(
        question=QUESTION, context=CONTEXT
    )


@pytest.mark.parametrize(
    ("question", "context", "expected"),
    [
        ("", CONTEXT, "pair 1: the question is empty"),
        (" \n", CONTEXT, "pair 1: the question is empty"),
        (QUESTION, "", "pair 1: the context is empty"),
        (QUESTION, "\u3000", "pair 1: the context is empty"),
    ],
)
def test_empty_text_is_refused(question: str, context: str, expected: str, reader: Reader) -> None:
    with pytest.raises(UserError, match=expected):
        reader.answer_many([(QUESTION, CONTEXT), (question, context)])


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_below_1_is_refused(top_k: int, reader: Reader) -> None:
    with pytest.raises(UserError, match="top_k must be at least 1"):
        reader.answer(question=QUESTION, context=CONTEXT, top_k=top_k)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_seq_length": 161}, "161 is more than the 160 tokens"),
        ({"window_overlap": 30}, "window_overlap 30 must be smaller"),
        ({"batch_size": 0}, "batch_size"),
        ({"n_best_size": 0}, "n_best_size"),
        ({"max_answer_length": 0}, "max_answer_length"),
        ({"window_overlap": -1}, "window_overlap"),
        ({"max_question_length": 0}, "max_question_length"),
        ({"doc_stride": 8}, "doc_stride"),
    ],
)
def test_setting_that_does_not_fit(
    settings: dict[str, Any], expected: str, reader_dir: Path
) -> None:
    with pytest.raises(UserError, match=expected):
        Reader.from_pretrained(reader_dir, **settings)


def test_precision_that_does_not_exist(reader_dir: Path) -> None:
    with pytest.raises(UserError, match="int3"):
        Reader.from_pretrained(reader_dir, precision="int3")


@pytest.mark.parametrize(
    "content", ["{", "[1]", '"x"', '{"doc_stride": 1}', '{"max_seq_length": "40"}', "\udcff"]
)
def test_damaged_settings_file(content: str, reader_dir: Path, tmp_path: Path) -> None:
    for path in reader_dir.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "reader.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        Reader.from_pretrained(tmp_path)
    assert "reader.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def with_temperature(reader_dir: Path, directory: Path, temperature: Any) -> Path:
    """A copy of the reader with a temperature among its settings."""
    for path in reader_dir.iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
    settings = json.loads((directory / "reader.json").read_text()) | {"temperature": temperature}
    (directory / "reader.json").write_text(json.dumps(settings))
    return directory


def softmax(scores: list[float]) -> list[float]:
    found: list[float] = torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()
    return found


def test_a_temperature_changes_probabilities_alone(
    reader: Reader, reader_dir: Path, tmp_path: Path
) -> None:
    """It is read from reader.json, saved again, and replaced by one that is passed."""
    (tmp_path / "one").mkdir()
    directory = with_temperature(reader_dir, tmp_path / "one", 2.5)
    plain = reader.answer(question=QUESTION, context=CONTEXT, top_k=6)
    for saved in (directory, tmp_path / "two"):
        warm = Reader.from_pretrained(saved, device="cpu", precision="fp32")
        answers = warm.answer(question=QUESTION, context=CONTEXT, top_k=6)
        assert [(a.text, a.score) for a in answers] == [(a.text, a.score) for a in plain]
        expected = softmax([answer.score / 2.5 for answer in plain])
        assert [answer.probability for answer in answers] == pytest.approx(expected, abs=1e-12)
        warm.save_pretrained(tmp_path / "two")
    for temperature in (1.0, None):
        same = Reader.from_pretrained(directory, "cpu", "fp32", temperature=temperature)
        assert same.answer(question=QUESTION, context=CONTEXT, top_k=6) == plain


@pytest.mark.parametrize("temperature", [0, -1.5, 1e9, "1.5", None, True])
def test_damaged_temperature(temperature: Any, reader_dir: Path, tmp_path: Path) -> None:
    with_temperature(reader_dir, tmp_path, temperature)
    with pytest.raises(UserError, match="temperature must be"):
        Reader.from_pretrained(tmp_path)


def test_model_made_by_something_else_has_defaults(reader_dir: Path, tmp_path: Path) -> None:
    """No reader.json: the usual 384 tokens, or as many as the model has positions for."""
    for path in reader_dir.iterdir():
        if path.name != "reader.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert Reader.from_pretrained(tmp_path).windows == WindowOptions(160, 53, 26)
    with pytest.raises(UserError, match="max_seq_length 384 is more than the 160 tokens"):
        Reader.from_pretrained(tmp_path, max_seq_length=384)
    reader = Reader.from_pretrained(tmp_path, **SMALL)
    assert len(reader.answer(question=QUESTION, context=CONTEXT, top_k=20)) == 20


def test_untrained_encoder_is_refused(encoder_dir: Path) -> None:
    with pytest.raises(UserError, match="has no trained span head"):
        Reader.from_pretrained(encoder_dir)


@pytest.mark.parametrize("kind", ["roberta", "distilbert"])
def test_model_that_takes_no_second_token_type(kind: str, tokenizer: Any, tmp_path: Path) -> None:
    """klue/roberta comes with BERT's tokenizer, which counts types 0 and 1, but knows type 0 only.

    DistilBERT takes no types at all.
    """
    import transformers as t

    size = len(tokenizer)
    if kind == "roberta":
        model = t.RobertaForQuestionAnswering(
            t.RobertaConfig(
                vocab_size=size,
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=1,
                intermediate_size=16,
                max_position_embeddings=66,
                type_vocab_size=1,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    else:
        model = t.DistilBertForQuestionAnswering(
            t.DistilBertConfig(vocab_size=size, dim=16, n_layers=1, n_heads=1, hidden_dim=16)
        )
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    reader = Reader.from_pretrained(tmp_path, **SMALL)
    (answer,) = reader.answer(question=QUESTION, context=CONTEXT)
    assert CONTEXT[answer.start : answer.end] == answer.text


@pytest.mark.parametrize(
    ("question", "context"),
    [("\ud83d", CONTEXT), (QUESTION, "강 \udcff")],
    ids=["question", "context"],
)
def test_half_a_surrogate_pair_is_refused(question: str, context: str, reader: Reader) -> None:
    """What Python makes of bytes on the command line that are not UTF-8."""
    with pytest.raises(UserError, match="half a surrogate pair"):
        reader.answer(question=question, context=context)


def test_a_directory_that_is_not_whole_does_not_answer_otherwise(tmp_path: Path) -> None:
    """Without tokenizer_config.json transformers reads Hangul in lower case, letter by letter."""
    best = ROOT / "tests" / "outputs" / "golden" / "answerable" / "run" / "best"
    copy = Path(shutil.copytree(best, tmp_path / "best"))
    (copy / "reader.json").rename(tmp_path / "reader.json")
    with pytest.warns(Notice, match=r"its reader\.json is missing"):
        Reader.from_pretrained(copy, device="cpu", precision="fp32")
    (tmp_path / "reader.json").rename(copy / "reader.json")
    (copy / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match=r"its tokenizer_config\.json is missing"):
        Reader.from_pretrained(copy, device="cpu", precision="fp32")
