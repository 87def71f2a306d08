"""best/README.md: the model card that a run writes of itself, as the hub reads it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard, metadata_load
from support.files import as_flags, read_json, write_squad
from support.runs import Launcher

from qa.data.formats import read_examples
from qa.metrics import METRICS, Score
from qa.metrics.resample import bootstrap_interval
from qa.outputs.card_facts import CardFacts, DataFacts
from qa.outputs.model_card import model_card
from qa.training.data_facts import source_names

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).parents[1] / "outputs" / "golden"


def train(launcher: Launcher, folder: Path, encoder: Path, data: Path, *more: str) -> Path:
    """The directory of a run of two steps on a file, scored on the same file unless told not to."""
    values = {
        "model": encoder,
        "train-data": data,
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "per-device-train-batch-size": 4,
        "max-steps": 2,
        "logging-steps": 1,
        "precision": "fp32",
        "device": "cpu",
        "output-dir": folder / "mine",
    }
    run = launcher.run([*as_flags(values), *more])
    assert run.code == 0, run.stderr
    return folder / "mine"


@pytest.fixture(scope="module", params=["answerable", "unanswerable"])
def trained(
    request: pytest.FixtureRequest,
    launcher: Launcher,
    encoder_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """A run that was scored, and its data; also with questions that have no answer."""
    folder = tmp_path_factory.mktemp(request.param)
    data = Path(shutil.copy(GOLDEN / request.param / "squad.json", folder))
    return train(launcher, folder, encoder_dir, data, "--eval-data", str(data)), data


def test_the_hub_reads_the_scores_of_metrics_json(trained: tuple[Path, Path]) -> None:
    run, data = trained
    found: Any = metadata_load(run / "best" / "README.md")
    best = read_json(run / "metrics.json")["best"]
    assert found["language"] == "ko"
    assert found["pipeline_tag"] == "question-answering"
    assert found["library_name"] == "transformers"
    assert "base_model" not in found  # a directory
    assert "license" not in found
    (model,) = found["model-index"]
    (result,) = model["results"]
    assert model["name"] == "mine"
    assert result["task"]["type"] == "question-answering"
    assert result["dataset"]["name"] == data.name
    assert {each["type"]: each["value"] for each in result["metrics"]} == {
        name: best[name] for name in ("exact_match", "f1")
    }
    card = ModelCard.load(run / "best" / "README.md")
    assert card.data.eval_results is not None
    assert {each.metric_type for each in card.data.eval_results} == {"exact_match", "f1"}


def test_the_table_has_each_score_and_its_interval(trained: tuple[Path, Path]) -> None:
    """The oracle: the questions' scores counted afresh from predictions.json."""
    run, data = trained
    card = (run / "best" / "README.md").read_text(encoding="utf-8")
    best = read_json(run / "metrics.json")["best"]
    predictions = read_json(run / "predictions.json")
    examples = read_examples(str(data))
    for name in [name for name in METRICS if any(key.startswith(f"{name}_") for key in best)]:
        score = Score(name)
        for example in examples:
            score.add(predictions[example.id], example.gold_answers)
        low, high = 100 * bootstrap_interval(score.values)
        for key, a, b in zip(METRICS[name].keys, low, high, strict=True):
            assert np.isclose(score.compute()[key], best[f"{name}_{key}"])
            value = f"{best[f'{name}_{key}']:.2f}"
            row = f"| {METRICS[name].title} | {key} | {value} | {a:.2f} to {b:.2f} |"
            assert row in card, row


def test_it_tells_of_the_run_and_of_no_folder(
    trained: tuple[Path, Path], encoder_dir: Path
) -> None:
    run, data = trained
    card = (run / "best" / "README.md").read_text(encoding="utf-8")
    assert f"| training | squad.json | {len(read_examples(str(data)))} |" in card
    identity = read_json(next((run / "checkpoints").iterdir()) / "checkpoint.json")["identity"]
    assert f"`{identity['training data'].partition(',')[0]}`" in card
    assert "| `max_seq_length` | `32` |" in card
    assert "`weight_decay`" not in card  # is as by default
    assert f"started from: {encoder_dir.name}\n" in card
    assert "windows/s (median" in card
    for folder in (str(run.parent), str(encoder_dir.parent)):
        assert folder not in card
    threshold = read_json(run / "best" / "reader.json").get("null_score_diff_threshold")
    assert (threshold is not None) == ("the threshold (" in card)


def test_a_card_that_a_person_changed_stays(
    trained: tuple[Path, Path], launcher: Launcher, tmp_path: Path
) -> None:
    """Until another model takes the place of the whole of best/."""
    run = Path(shutil.copytree(trained[0], tmp_path / "mine"))
    path = run / "best" / "README.md"
    path.write_text("mine", encoding="utf-8")
    assert launcher.run(["--resume", "--output-dir", str(run)]).code == 0
    assert path.read_text(encoding="utf-8") == "mine"
    path.unlink()
    assert launcher.run(["--resume", "--output-dir", str(run)]).code == 0
    assert path.read_bytes() == (trained[0] / "best" / "README.md").read_bytes()


def test_a_run_without_held_out_data_says_so(
    launcher: Launcher, encoder_dir: Path, tmp_path: Path
) -> None:
    data = write_squad(tmp_path / "squad.json")
    run = train(launcher, tmp_path, encoder_dir, data, "--max-answer-length", "1")
    path = run / "best" / "README.md"
    found: Any = metadata_load(path)
    assert "model-index" not in found
    assert "metrics" not in found
    card = path.read_text(encoding="utf-8")
    assert "Not scored: the run had no held-out data." in card
    assert "| held out |" not in card
    assert "answers longer than max_answer_length 1, which can never be given" in card


def test_ids_of_the_hub_are_named_to_the_hub() -> None:
    data = DataFacts("KorQuAD/squad_kor_v1", 3, 4, "f")
    facts = CardFacts(
        name="a|b",
        base="klue/bert-base",
        base_is_on_hub=True,
        is_korean=False,
        has_boundary_head=False,
        has_pair_head=False,
        threshold=None,
        training=data,
        held_out=data,
        hub_data=("KorQuAD/squad_kor_v1",),
        main={"exact_match": 70.5, "f1": 80.25},
        main_title="KorQuAD 1.0",
        scores=(),
        history=(),
        settings={},
        about={},
    )
    card: Any = ModelCard(model_card(facts))
    assert card.data.base_model == "klue/bert-base"
    assert card.data.language is None
    assert card.data.to_dict()["datasets"] == ["KorQuAD/squad_kor_v1"]
    assert card.data.eval_results is not None
    assert {each.dataset_type for each in card.data.eval_results} == {"KorQuAD/squad_kor_v1"}
    assert [each.metric_value for each in card.data.eval_results] == [70.5, 80.25]
    assert "All settings are the defaults of qa." in card.text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("FOLDER/a.json,FOLDER/sub", ["a.json", "sub"]),
        ("FOLDER/sub/", ["sub"]),
        ("FOLDER/sub/:test", ["sub:test"]),
        ("hub:FOLDER/sub", ["sub"]),
        ("hub:owner/name:config:train", ["owner/name"]),
    ],
)
def test_sources_are_named_without_their_folders(
    source: str, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    assert source_names(source.replace("FOLDER", str(tmp_path))) == expected
