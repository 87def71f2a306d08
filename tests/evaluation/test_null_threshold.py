"""Questions without an answer: the threshold on the odds, and where it is applied."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answering import answer_block
from support.articles import ARTICLES, squad_json
from support.files import as_flags, read_curves, read_json

import qa.cli.evaluate
import qa.cli.extract
import train
from qa.answering.answerer import Answerer
from qa.answering.blocks import Window
from qa.answering.nbest import NOTHING_FOUND, Answer, null_odds
from qa.answering.options import DecodeOptions
from qa.answering.reader import Reader
from qa.data.batches.collate import Collator
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.engine import list_checkpoints
from qa.engine.errors import UserError
from qa.engine.precision import Precision
from qa.evaluation.evaluate import Evaluation, evaluate
from qa.evaluation.null_threshold import tune_threshold
from qa.metrics import METRICS, Score, score_predictions, score_question
from qa.models.span_reader import SpanReader
from qa.outputs.prediction_files import (
    NBEST_FILE,
    NULL_ODDS_FILE,
    PREDICTIONS_FILE,
    PredictionFiles,
)

pytestmark = pytest.mark.usefixtures("one_thread")

WINDOWS = WindowOptions(max_seq_length=40, window_overlap=8, max_question_length=16)
THRESHOLD = "null_score_diff_threshold"
fuzz = settings(max_examples=100, deadline=None, derandomize=True)


# The threshold


def mean_score(
    values: list[float], has_answer: list[bool], odds: list[float], threshold: float
) -> float:
    """One question after the other: one left unanswered is right if it has no answer."""
    total = 0.0
    for value, is_answerable, own_odds in zip(values, has_answer, odds, strict=True):
        if own_odds > threshold:
            total += not is_answerable
        elif is_answerable:
            total += value
    return total / len(values)


questions = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        st.booleans(),
        st.one_of(
            st.integers(-3, 3).map(float), st.floats(-50, 50), st.sampled_from([NOTHING_FOUND])
        ),
    ),
    min_size=1,
    max_size=12,
)


def tune(rows: list[tuple[float, bool, float]]) -> tuple[float, float, float]:
    """The threshold, its mean score, and the best mean score of all thresholds there can be."""
    values, has_answer, odds = map(list, zip(*rows, strict=True))
    values = [v if h else 0.0 for v, h in zip(values, has_answer, strict=True)]
    found = tune_threshold(np.array(values), np.array(has_answer), np.array(odds))
    every = [-math.inf, *odds]  # between two odds nothing changes
    best = max(mean_score(values, has_answer, odds, threshold) for threshold in every)
    return found, mean_score(values, has_answer, odds, found), best


@fuzz
@given(questions)
def test_no_threshold_is_better(rows: list[tuple[float, bool, float]]) -> None:
    _, found, best = tune(rows)
    assert found == pytest.approx(best, abs=1e-12)


@fuzz
@given(questions)
def test_threshold_is_the_odds_of_the_last_that_is_answered(
    rows: list[tuple[float, bool, float]],
) -> None:
    """It is the smallest of the best thresholds."""
    threshold, found, _ = tune(rows)
    odds = [row[2] for row in rows]
    assert threshold in odds or threshold < min(odds)
    assert math.isfinite(threshold)
    values, has_answer = [row[0] * row[1] for row in rows], [row[1] for row in rows]
    for other in [-math.inf, *odds]:
        if other < threshold and threshold in odds:
            assert mean_score(values, has_answer, odds, other) < found


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1.0, True, 3.0), (1.0, True, -2.0)], 3.0),  # all have an answer
        ([(0.0, False, 3.0), (0.0, False, -2.0)], -3.0),  # none has
        ([(0.5, True, -2.0), (0.0, False, -3.0), (0.0, False, 1.0)], -4.0),  # say nothing at all
        ([(1.0, True, -1.0), (0.0, False, 2.0)], -1.0),
        ([(0.0, True, 5.0)], 4.0),  # a wrong answer is worth as little as none
        ([(1.0, True, 0.0), (0.0, False, 0.0), (1.0, True, 0.0), (0.0, False, 0.0)], -1.0),  # tie
        ([(1.0, True, 0.0), (0.0, False, 0.0), (1.0, True, 0.0)], 0.0),
    ],
)
def test_threshold_by_hand(rows: list[tuple[float, bool, float]], expected: float) -> None:
    assert tune(rows)[0] == expected


# Odds, files, scores


def test_null_odds() -> None:
    answers = [Answer("가", 0, 1, 2.5, 0.7), Answer("나", 1, 2, -1.0, 0.3)]
    assert null_odds(answers) == -2.5
    assert null_odds(answers[1:]) == 1.0
    assert null_odds([]) == NOTHING_FOUND
    assert json.loads(json.dumps(null_odds([]))) == NOTHING_FOUND


texts = st.one_of(
    st.sampled_from(["\n", "\r\n", "\u2028", "\u0085", '"', '",', "\\", '"}', "{", ",", " ", ""]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
entries = st.lists(
    st.tuples(texts, texts, st.floats(-100, 100), st.booleans()),
    min_size=1,
    max_size=6,
    unique_by=lambda entry: entry[0],
)


@fuzz
@given(entries)
def test_blanking_rewrites_the_predictions_only(
    rows: list[tuple[str, str, float, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with PredictionFiles(directory) as files:
            for example_id, text, score, _ in rows:
                files.write(example_id, [Answer(text, 0, len(text), score, 1.0)] if text else [])
            files.blank([is_blank for *_, is_blank in rows])
            files.commit()
        assert sorted(path.name for path in directory.iterdir()) == sorted(
            [PREDICTIONS_FILE, NBEST_FILE, NULL_ODDS_FILE]
        )
        predictions, nbest, odds = (
            read_json(directory / name) for name in (PREDICTIONS_FILE, NBEST_FILE, NULL_ODDS_FILE)
        )
    assert list(predictions.items()) == [
        (example_id, "" if is_blank else text) for example_id, text, _, is_blank in rows
    ]
    assert list(odds.items()) == [
        (example_id, -score if text else NOTHING_FOUND) for example_id, text, score, _ in rows
    ]
    assert [[answer["text"] for answer in answers] for answers in nbest.values()] == [
        [text] if text else [] for _, text, _, _ in rows
    ]


def test_blanked_files_that_are_not_committed_leave_nothing(tmp_path: Path) -> None:
    with PredictionFiles(tmp_path) as files:
        files.write("q", [Answer("가", 0, 1, 1.0, 1.0)])
        files.blank([True])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", METRICS)
def test_unanswered_question_scores_as_an_empty_prediction(name: str) -> None:
    """Where a score knows no unanswerable questions, leaving one unanswered is wrong."""
    asked = [("1921년", ["1921년"]), ("1921년", []), ("푸른골", ["한여울"]), ("강", ["강"])]
    score = Score(name)
    for prediction, golds in asked:
        score.add(prediction, golds)
    before = score.values
    score.leave_unanswered(np.array([True, True, False, False]))
    is_right = 1.0 if METRICS[name].knows_no_answer else 0.0
    assert score.values[:2].tolist() == [[0.0, 0.0], [is_right, is_right]]
    assert score.values[2:].tolist() == before[2:].tolist()
    assert score.values[0].tolist() == list(score_question(name, "", ["1921년"]))
    if METRICS[name].knows_no_answer:
        assert score.values[1].tolist() == list(score_question(name, "", []))


# Evaluation


def make_examples() -> list[Example]:
    """Each article's two questions, and one that another article answers; one of blanks only."""
    examples = []
    for number, (_, context, pairs) in enumerate(ARTICLES):
        for i, (question, answer) in enumerate(pairs):
            place = (answer,), (context.index(answer),)
            examples.append(Example(f"{number}-{i}", question, context, *place))
        question = ARTICLES[number - 1][2][0][0]
        examples.append(Example(f"{number}-none", question, context))
    return [*examples, Example("blank", "누구?", "\u3000 ")]


@pytest.fixture(scope="module")
def span_reader(encoder_dir: Path) -> SpanReader:
    """A new head, with weights large enough that its scores are not all alike."""
    torch.manual_seed(2)
    reader = SpanReader.from_pretrained(str(encoder_dir)).eval()
    torch.nn.init.normal_(reader.model.qa_outputs.weight, std=1.0)
    return reader


@pytest.fixture(scope="module")
def answerer(span_reader: SpanReader) -> Answerer:
    options = DecodeOptions(n_best_size=5, max_answer_length=4)
    collator = Collator(WINDOWS.max_seq_length)
    return Answerer(span_reader, collator, options, Precision("fp32", torch.device("cpu")), 8)


@pytest.fixture(scope="module")
def rows(tokenizer: Any) -> list[Window]:
    return list(iterate_windows(make_examples(), tokenizer, WINDOWS))


@pytest.fixture(scope="module")
def answers(answerer: Answerer, rows: list[Window]) -> list[list[Answer]]:
    return answer_block(answerer, make_examples(), rows).answers


def run(
    answerer: Answerer, rows: list[Window], directory: Path, threshold: float | None, tunes: bool
) -> tuple[Evaluation, dict[str, str]]:
    with PredictionFiles(directory) as files:
        result = evaluate(
            answerer, make_examples(), rows, files=files, threshold=threshold, tunes=tunes
        )
        files.commit()
    assert result is not None
    return result, read_json(directory / PREDICTIONS_FILE)


def golds() -> dict[str, tuple[str, ...]]:
    return {example.id: example.answers for example in make_examples()}


def median(odds: np.ndarray) -> float:
    return float(np.sort(odds)[len(odds) // 2])


@pytest.mark.parametrize("kind", ["never", "number", "integer", "all", "none", "tune"])
def test_evaluation_with_threshold(
    kind: str,
    answerer: Answerer,
    rows: list[Window],
    answers: list[list[Answer]],
    tmp_path: Path,
) -> None:
    odds = np.array([-found[0].score if found else NOTHING_FOUND for found in answers])
    thresholds: dict[str, float | None] = {
        "never": None,
        "number": median(odds),
        "integer": round(median(odds)),
        "all": -1e8,
        "none": 1e8,
        "tune": None,
    }
    result, predictions = run(answerer, rows, tmp_path, thresholds[kind], kind == "tune")
    assert result.null_odds == pytest.approx(odds, abs=1e-6)
    assert result.has_answer.tolist() == [bool(answers) for answers in golds().values()]
    stored = read_json(tmp_path / NULL_ODDS_FILE)
    assert list(stored.values()) == result.null_odds.tolist()
    if kind == "never":
        assert result.threshold is None
    elif kind != "tune":
        assert result.threshold == thresholds[kind]
        assert type(result.threshold) is float
    limit = math.inf if result.threshold is None else result.threshold
    expected = {
        example_id: "" if own_odds > limit or not found else found[0].text
        for (example_id, own_odds), found in zip(stored.items(), answers, strict=True)
    }
    assert predictions == expected
    for name in ("squad2", "klue-mrc"):
        assert result.scores[name] == pytest.approx(score_predictions(name, golds(), predictions))
    assert result.metrics["f1"] == result.scores["squad2"]["f1"]
    # Where an unanswerable question cannot be right, one left unanswered is as wrong as any answer.
    for name in ("korquad1", "squad1"):
        assert result.scores[name] == pytest.approx(score_predictions(name, golds(), predictions))


def test_scores_compare_with_the_reference_answers(
    answerer: Answerer, rows: list[Window], answers: list[list[Answer]]
) -> None:
    """As in MRQA: the model's answer is in the gold list, though training uses another text."""
    examples = [
        replace(e, reference_answers=(found[0].text, "x")) if e.answers else e
        for e, found in zip(make_examples(), answers, strict=True)
    ]
    predictions = {e.id: f[0].text if f else "" for e, f in zip(examples, answers, strict=True)}
    result = evaluate(answerer, examples, rows, scores=[Score("mrqa"), Score("squad2")])
    assert result is not None
    expected = {e.id: e.reference_answers for e in examples}
    for name, found in result.scores.items():
        assert found == pytest.approx(score_predictions(name, expected, predictions))
    learned_from = score_predictions("squad2", golds(), predictions)
    assert result.scores["squad2"]["HasAns_exact"] > learned_from["HasAns_exact"]


def test_tuned_threshold_is_the_best_of_all(
    answerer: Answerer, rows: list[Window], answers: list[list[Answer]]
) -> None:
    """The model is made right where it is surest, so that answering some questions pays."""
    odds = [null_odds(found) for found in answers]
    limit = float(np.quantile(odds, 0.4))
    examples = [
        replace(example, answers=(found[0].text,), answer_starts=(found[0].start,))
        if own_odds <= limit and example.answers
        else example
        for example, found, own_odds in zip(make_examples(), answers, odds, strict=True)
    ]
    result = evaluate(answerer, examples, rows, tunes=True)
    assert result is not None
    texts_of = {e.id: e.answers for e in examples}
    scores = []
    for threshold in [-math.inf, *result.null_odds]:
        predictions = {
            example.id: own[0].text if own and own_odds <= threshold else ""
            for example, own, own_odds in zip(examples, answers, result.null_odds, strict=True)
        }
        scores.append(score_predictions("squad2", texts_of, predictions)["f1"])
    assert result.scores["squad2"]["f1"] == pytest.approx(max(scores))
    assert max(scores) > max(scores[0], scores[int(np.argmax(result.null_odds)) + 1])
    assert result.threshold in result.null_odds


def test_tuning_on_no_questions(answerer: Answerer) -> None:
    scores = [Score("squad2")]
    result = evaluate(answerer, [], [], scores=scores, tunes=True)
    assert result is not None
    assert result.threshold is None
    assert result.null_odds.shape == (0,)


# The reader


def save_reader(directory: Path, reader: SpanReader, tokenizer: Any, **more: Any) -> Path:
    reader.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    values = {name: getattr(WINDOWS, name) for name in WINDOWS.__dataclass_fields__}
    sizes = {"n_best_size": 5, "max_answer_length": 4}
    (directory / "reader.json").write_text(json.dumps({**values, **sizes, **more}))
    return directory


def answers_of(reader: Reader) -> list[list[Answer]]:
    pairs = [(e.question, e.context) for e in make_examples() if e.context.strip()]
    return reader.answer_many(pairs, top_k=2)


def test_reader_answers_nothing_above_its_threshold(
    span_reader: SpanReader, tokenizer: Any, tmp_path: Path
) -> None:
    never = Reader.from_pretrained(save_reader(tmp_path, span_reader, tokenizer), "cpu", "fp32")
    assert never.null_score_diff_threshold is None
    every = answers_of(never)
    assert all(len(found) == 2 for found in every)
    threshold = median(np.array([null_odds(found) for found in every]))
    save_reader(tmp_path, span_reader, tokenizer, **{THRESHOLD: threshold})
    reader = Reader.from_pretrained(tmp_path, "cpu", "fp32")
    assert reader.null_score_diff_threshold == threshold
    kept = answers_of(reader)
    assert kept == [found if null_odds(found) <= threshold else [] for found in every]
    assert [] in kept
    assert any(kept)
    # The call's own threshold counts before the stored one.
    other = Reader.from_pretrained(tmp_path, "cpu", "fp32", null_score_diff_threshold=1e8)
    assert answers_of(other) == every


@pytest.mark.parametrize("content", ['"0.5"', "true", "null", "[0.5]"])
def test_damaged_threshold(
    content: str, span_reader: SpanReader, tokenizer: Any, tmp_path: Path
) -> None:
    save_reader(tmp_path, span_reader, tokenizer, **{THRESHOLD: json.loads(content)})
    with pytest.raises(UserError, match=r"reader\.json"):
        Reader.from_pretrained(tmp_path)


# train.py


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`squad_json()` with a question without an answer in each article, as in SQuAD v2.0."""
    content = squad_json()
    for number, article in enumerate(content["data"]):
        qas = article["paragraphs"][0]["qas"]
        for qa_row in qas:
            qa_row["is_impossible"] = False
        question = ARTICLES[number - 1][2][1][0]
        row = {"id": f"{number}-none", "question": question, "answers": []}
        qas.append({**row, "is_impossible": True})
    path = tmp_path_factory.mktemp("data") / "squad2.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def flags(encoder_dir: Path, data_file: Path) -> list[str]:
    values = {
        "model": encoder_dir,
        "train-data": data_file,
        "eval-data": data_file,
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "max-answer-length": 8,
        "per-device-train-batch-size": 4,
        "max-steps": 8,
        "learning-rate": 0.003,
        "logging-steps": 4,
        "eval-steps": 4,
        "precision": "fp32",
        "device": "cpu",
    }
    return as_flags(values)


@pytest.fixture(scope="module")
def trained(flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "run"
    assert train.main([*flags, "--output-dir", str(directory)]) == 0
    return directory


def test_run_stores_the_tuned_threshold(trained: Path) -> None:
    best = read_json(trained / "metrics.json")["best"]
    assert best["f1"] == best["squad2_f1"]
    threshold = read_json(trained / "best" / "reader.json")[THRESHOLD]
    curves = read_curves(trained)
    points = dict(curves[f"eval/{THRESHOLD}"])
    assert list(points) == [4, 8]
    assert points[best["step"]] == pytest.approx(threshold, rel=1e-6)
    assert dict(curves["eval/squad2_f1"])[best["step"]] == pytest.approx(best["squad2_f1"])
    reader = Reader.from_pretrained(trained / "best")
    assert reader.null_score_diff_threshold == threshold


def test_files_of_the_run_heed_the_threshold(trained: Path, data_file: Path) -> None:
    threshold = read_json(trained / "best" / "reader.json")[THRESHOLD]
    odds, nbest = (read_json(trained / name) for name in (NULL_ODDS_FILE, NBEST_FILE))
    expected = {i: "" if odds[i] > threshold else found[0]["text"] for i, found in nbest.items()}
    predictions = read_json(trained / PREDICTIONS_FILE)
    assert predictions == expected
    rows = [
        qa_row
        for article in read_json(data_file)["data"]
        for qa_row in article["paragraphs"][0]["qas"]
    ]
    answers = {row["id"]: [answer["text"] for answer in row["answers"]] for row in rows}
    best = read_json(trained / "metrics.json")["best"]
    for key, value in score_predictions("squad2", answers, predictions).items():
        assert best[f"squad2_{key}"] == pytest.approx(value)


def test_evaluating_the_saved_model_repeats_it(
    trained: Path, data_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scores"
    arguments = ["--data", str(data_file), "--output-dir", str(output)]
    arguments += ["--device", "cpu", "--precision", "fp32"]
    assert qa.cli.evaluate.main([str(trained / "best"), *arguments]) == 0
    best = read_json(trained / "metrics.json")["best"]
    assert read_json(output / "metrics.json")["squad2"]["f1"] == pytest.approx(best["squad2_f1"])
    assert read_json(output / PREDICTIONS_FILE) == read_json(trained / PREDICTIONS_FILE)


def test_the_threshold_is_among_the_scores(trained: Path, data_file: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data_file), "--output-dir", str(tmp_path / "scores")]
    assert qa.cli.evaluate.main([str(trained / "best"), *arguments]) == 0
    threshold = read_json(trained / "best" / "reader.json")[THRESHOLD]
    assert read_json(tmp_path / "scores" / "metrics.json")[THRESHOLD] == threshold


@pytest.mark.parametrize("scored", [False, True])
def test_a_reader_that_knows_of_no_answers_has_a_threshold_though_none_is_tuned(
    scored: bool, flags: list[str], squad_file: Path, tmp_path: Path
) -> None:
    """Without held-out questions, or with such as all have an answer."""
    index = flags.index("--eval-data")
    own = [*flags[:index], *flags[index + 2 :], *(["--eval-data", str(squad_file)] * scored)]
    directory = tmp_path / "run"
    assert train.main([*own, "--max-steps", "4", "--output-dir", str(directory)]) == 0
    assert read_json(directory / "best" / "reader.json")[THRESHOLD] == 0


def test_an_extracted_reader_has_a_threshold_that_was_not_tuned_for_other_weights(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (*_, checkpoint) = list_checkpoints(trained / "checkpoints")
    output = tmp_path / "reader"
    assert qa.cli.extract.main([str(checkpoint), "--output-dir", str(output)]) == 0
    assert read_json(output / "reader.json")[THRESHOLD] == 0
    assert "null_score_diff_threshold: 0; best/ may have another" in capsys.readouterr().out


def test_a_threshold_that_is_no_number_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("nan", "tuned"):
        arguments = ["m", "--data", "d.json", "--null-score-diff-threshold", wrong]
        assert qa.cli.evaluate.main(arguments) == 2
        assert f"'{wrong}' is no finite number and not tune" in capsys.readouterr().err


def test_run_with_a_threshold_of_its_own(flags: list[str], tmp_path: Path) -> None:
    directory = tmp_path / "run"
    arguments = [*flags, "--output-dir", str(directory), "--max-steps", "4"]
    assert train.main([*arguments, "--null-score-diff-threshold", "-1e8"]) == 0
    assert read_json(directory / "best" / "reader.json")[THRESHOLD] == -1e8
    assert set(read_json(directory / PREDICTIONS_FILE).values()) == {""}
    best = read_json(directory / "metrics.json")["best"]
    assert best["f1"] == pytest.approx(100 * 6 / 18)  # as many questions have no answer
