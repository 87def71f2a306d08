"""train.py from the outside: a whole run, resuming, repeating and asking it, and refusals."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.articles import squad_json
from support.files import as_flags, read_curve_lines, read_curves, read_json, write_squad
from support.runs import ROOT, Launcher, as_python, environment

import qa
import qa.cli.evaluate
import qa.cli.predict
import train
from qa.cli import run_differences
from qa.data.formats import read_examples
from qa.data.holdout import split_holdout
from qa.data.windows.cache import windows_fingerprint
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.engine.checkpoint import list_checkpoints, load_checkpoint
from qa.metrics import score_predictions
from qa.models.part_files import BOUNDARY_FILE, HEADS
from qa.models.pretrained import load_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

HOLDOUT = 0.33  # articles 0 and 3 of the 6
CONTEXT = "강나루는 1921년에 푸른골에서 태어난 화가이다."
QUESTION = "강나루가 태어난 해는?"

# In a prelude: kills the run, without any chance to tidy up, when it is to evaluate after step 9.
KILL_AT_STEP_9 = """
import os, signal
from qa.training.session import Session
evaluate = Session.evaluate
def evaluate_or_die(session):
    if session.run.global_step == 9:
        session.tensorboard.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    evaluate(session)
Session.evaluate = evaluate_or_die
"""
# In a prelude: as PYTHONIOENCODING=ascii does.
ONLY_ASCII = "import sys\nsys.stdout.reconfigure(encoding='ascii')\n"


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this Python, afresh, which takes seconds where a fork of `launcher` takes none."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`squad_json()` for the whole module."""
    return write_squad(tmp_path_factory.mktemp("data") / "squad.json")


@pytest.fixture(scope="module")
def flags(encoder_dir: Path, data_file: Path) -> list[str]:
    """A run of 12 steps over windows of 32 tokens; logging, evaluating, saving out of step."""
    values = {
        "model": encoder_dir,
        "train-data": data_file,
        "holdout": HOLDOUT,
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "max-answer-length": 8,
        "negative-window-ratio": 0.5,
        "per-device-train-batch-size": 2,
        "gradient-accumulation-steps": 2,
        "max-steps": 12,
        "num-train-epochs": 99,
        "learning-rate": 0.003,
        "logging-steps": 2,
        "eval-steps": 3,
        "save-steps": 5,
        "save-total-limit": "none",
        "precision": "fp32",
        "device": "cpu",
    }
    return as_flags(values)


@pytest.fixture(scope="module")
def trained(flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of an uninterrupted run; not to be changed."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    result = run_python("train.py", *flags, "--output-dir", str(directory))
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    (directory.parent / "stdout").write_text(result.stdout, encoding="utf-8")
    return directory


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def snapshot(directory: Path) -> dict[str, str]:
    """Relative path -> content of every file but the lock; {} if there is no such directory."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(directory)): sha256(path) for path in files}


def held_out_golds(path: Path) -> dict[str, tuple[str, ...]]:
    _, held_out = split_holdout(read_examples(str(path)), HOLDOUT)
    return {example.id: example.answers for example in held_out}


def assert_same_run(directory: Path, other: Path) -> None:
    """Two runs ended with the same bits: models, evaluations, answers, curves."""
    names = [f"best/{name}" for name in ("model.safetensors", *HEADS.values())]
    names.append("null_odds.json")
    for name in (*names, "predictions.json", "nbest_predictions.json"):
        assert sha256(directory / name) == sha256(other / name), name
    assert read_json(directory / "metrics.json") == read_json(other / "metrics.json")
    last, other_last = (list_checkpoints(run / "checkpoints")[-1] for run in (directory, other))
    assert last.name == other_last.name == "step-00000012"
    weights, other_weights = (load_checkpoint(path)["run"]["model"] for path in (last, other_last))
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    curves, other_curves = read_curves(directory), read_curves(other)
    for tag in ("train/loss", "train/learning_rate", "train/grad_norm", "eval/korquad1_f1"):
        assert curves[tag] == other_curves[tag], tag


def refusal(
    capsys: pytest.CaptureFixture[str], arguments: list[str], main: Callable[..., int] = train.main
) -> str:
    """Run a command line that must be refused; returns the one line on stderr."""
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in captured.out
    return lines[0]


# A whole run


def test_run_leaves_all_outputs(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        ".lock",
        "best",
        "checkpoints",
        "config.json",
        "curves.jsonl",
        "metrics.json",
        "nbest_predictions.json",
        "null_odds.json",
        "predictions.json",
        "report.html",
        "tensorboard",
    ]
    names = [path.name for path in list_checkpoints(trained / "checkpoints")]
    assert names == ["step-00000005", "step-00000010", "step-00000012"]
    summary = read_json(trained / "checkpoints" / names[0] / "checkpoint.json")
    assert summary["step"] == 5
    assert summary["config"] == read_json(trained / "config.json")


def test_run_ends_with_where_everything_is(trained: Path) -> None:
    output = (trained.parent / "stdout").read_text(encoding="utf-8")
    assert "8 questions" in output
    assert "4 questions" in output
    assert f"output: {trained}" in output
    assert f"python -m qa predict {trained / 'best'}" in output
    assert f"errors:  {trained / 'report.html'}" in output
    assert "KorQuAD 1.0" in output
    assert "SQuAD v1.1" in output


def test_metrics_are_the_scores_of_the_predictions(trained: Path, data_file: Path) -> None:
    metrics = read_json(trained / "metrics.json")
    predictions = read_json(trained / "predictions.json")
    golds = held_out_golds(data_file)
    assert predictions.keys() == golds.keys()
    best = metrics["best"]
    for name in ("korquad1", "squad1"):
        scores = score_predictions(name, golds, predictions)
        for key, value in scores.items():
            assert best[f"{name}_{key}"] == pytest.approx(value, abs=1e-9)
    assert best["f1"] == best["korquad1_f1"]
    assert [record["step"] for record in metrics["history"]] == [3, 6, 9, 12]
    assert best["f1"] == max(record["f1"] for record in metrics["history"])
    first_best = next(r for r in metrics["history"] if r["f1"] == best["f1"])
    assert best == first_best


def test_first_of_the_nbest_is_the_prediction(trained: Path, data_file: Path) -> None:
    predictions = read_json(trained / "predictions.json")
    contexts = {example.id: example.context for example in read_examples(str(data_file))}
    nbest = read_json(trained / "nbest_predictions.json")
    assert nbest.keys() == predictions.keys()
    for example_id, answers in nbest.items():
        assert len(answers) == 20
        assert answers[0]["text"] == predictions[example_id]
        for answer in answers:
            assert contexts[example_id][answer["start"] : answer["end"]] == answer["text"]


def test_the_report_has_the_scores_of_the_best_model(trained: Path) -> None:
    page = (trained / "report.html").read_text(encoding="utf-8")
    content = json.loads(page.partition('id="content">')[2].partition("</script>")[0])
    best = read_json(trained / "metrics.json")["best"]
    for row in content["scores"][0]:
        assert row["value"] == best[f"{row['name']}_{row['key']}"]
    assert content["exact_match"] == best["exact_match"]
    predictions = read_json(trained / "predictions.json")
    assert {each["id"]: each["prediction"] for each in content["questions"]} == predictions


def test_transformers_loads_best(trained: Path, encoder_dir: Path) -> None:
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model, loading = AutoModelForQuestionAnswering.from_pretrained(
        trained / "best", output_loading_info=True
    )
    assert not any(loading.values())
    tokenizer = AutoTokenizer.from_pretrained(trained / "best")
    before = AutoTokenizer.from_pretrained(encoder_dir)
    assert tokenizer(QUESTION, CONTEXT).data == before(QUESTION, CONTEXT).data
    assert model.config.vocab_size == len(tokenizer)


def test_settings_lie_beside_the_model(trained: Path) -> None:
    assert read_json(trained / "best" / "reader.json") == {
        "max_seq_length": 32,
        "window_overlap": 6,
        "max_question_length": 16,
        "n_best_size": 20,
        "max_answer_length": 8,
    }


def test_curves(trained: Path) -> None:
    every_2 = [2, 4, 6, 8, 10, 12]
    curves = read_curves(trained)
    for tag in ("loss", "learning_rate", "grad_norm", "loss_scale", "epoch"):
        assert [step for step, _ in curves[f"train/{tag}"]] == every_2
    for tag in ("windows_per_second", "tokens_per_second", "padding_share", "peak_memory_gib"):
        assert [step for step, _ in curves[f"speed/{tag}"]] == every_2
    metrics = read_json(trained / "metrics.json")
    for tag in ("korquad1_f1", "korquad1_exact_match", "squad1_f1", "squad1_exact_match"):
        history = {r["step"]: r[tag] for r in metrics["history"]}
        assert dict(curves[f"eval/{tag}"]) == pytest.approx(history)
    losses = {r["step"]: r["eval_loss"] for r in metrics["history"]}
    assert dict(curves["eval/loss"]) == pytest.approx(losses)
    errors = [dict(points) for tag, points in curves.items() if tag.startswith("errors/")]
    for record in metrics["history"]:
        total = sum(points[record["step"]] for points in errors)
        assert total + record["korquad1_exact_match"] == pytest.approx(100, abs=1e-3)


def test_loss_falls(trained: Path) -> None:
    assert read_curve_lines(trained) == read_curves(trained)
    losses = [value for _, value in read_curves(trained)["train/loss"]]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("head", "shapes"),
    [
        ("boundary_head", {"linear.weight": (16, 64), "linear.bias": (16,)}),
        (
            "pair_head",
            {
                **{f"{part}.weight": (128, 32) for part in ("first", "last")},
                **{f"{part}.bias": (128,) for part in ("first", "last")},
                "lengths.weight": (8, 32),  # max_answer_length
                "lengths.bias": (8,),
            },
        ),
    ],
)
def test_run_trains_and_saves_heads_of_its_own(
    head: str, shapes: dict[str, tuple[int, ...]], trained: Path
) -> None:
    from safetensors.torch import load_file

    checkpoints = [load_checkpoint(p)["run"] for p in list_checkpoints(trained / "checkpoints")]
    heads = [
        {n: w for n, w in state["model"].items() if n.startswith(f"{head}.")}
        for state in checkpoints
    ]
    assert heads[0].keys() == {f"{head}.{name}" for name in shapes}
    for name, weight in heads[0].items():
        assert not torch.equal(weight, heads[-1][name])
    saved = load_file(trained / "best" / f"{head}.safetensors")
    assert {name: tuple(w.shape) for name, w in saved.items()} == shapes


def word_ends(tokenizer: Any, context: str) -> tuple[set[int], set[int]]:
    """Where tokens begin and where they end."""
    encoded = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
    spans = encoded["offset_mapping"]
    return {start for start, _ in spans}, {end for _, end in spans}


def share_of_whole_tokens(directory: Path, tokenizer: Any, data_file: Path) -> float:
    """How many of a run's n best answers begin and end with a token."""
    contexts = {example.id: example.context for example in read_examples(str(data_file))}
    are_whole = []
    for example_id, answers in read_json(directory / "nbest_predictions.json").items():
        starts, ends = word_ends(tokenizer, contexts[example_id])
        are_whole += [a["start"] in starts and a["end"] in ends for a in answers]
    return sum(are_whole) / len(are_whole)


def test_run_without_heads_of_its_own(
    flags: list[str], tokenizer: Any, data_file: Path, tmp_path: Path
) -> None:
    """Then all is as in transformers: weights, loss, and answers of whole tokens."""
    directory, with_heads = tmp_path / "run", tmp_path / "with"
    short = [*flags, "--max-steps", "3", "--eval-steps", "3"]
    extra = ["--no-character-boundaries", "--no-pair-head", "--output-dir", str(directory)]
    assert train.main([*short, *extra]) == 0
    assert train.main([*short, "--output-dir", str(with_heads)]) == 0
    assert not (directory / "best" / BOUNDARY_FILE).exists()
    assert read_json(directory / "config.json")["character_boundaries"] is False
    (checkpoint,) = list_checkpoints(directory / "checkpoints")
    weights = load_checkpoint(checkpoint)["run"]["model"]
    assert all(name.startswith("model.") for name in weights)
    assert share_of_whole_tokens(directory, tokenizer, data_file) == 1
    assert share_of_whole_tokens(with_heads, tokenizer, data_file) < 1
    assert mean_loss_of_transformers(directory / "best", data_file) == pytest.approx(
        read_json(directory / "metrics.json")["best"]["eval_loss"], rel=1e-5
    )


@torch.no_grad()
def mean_loss_of_transformers(model_directory: Path, data_file: Path) -> float:
    """The held-out part's loss as transformers' own model gives it, window by window."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model = AutoModelForQuestionAnswering.from_pretrained(model_directory).eval()
    _, held_out = split_holdout(read_examples(str(data_file)), HOLDOUT)
    losses = []
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    for window in iterate_windows(held_out, tokenizer, WindowOptions(32, 6, 16)):
        inputs = {
            name: torch.from_numpy(window[name][None]).long()
            for name in ("input_ids", "token_type_ids")
        }
        labels = {
            f"{name}s": torch.tensor([window[name]]) for name in ("start_position", "end_position")
        }
        losses.append(float(model(**inputs, **labels).loss))
    return sum(losses) / len(losses)


# Resuming and repeating


def test_killed_and_resumed_run_equals_the_whole_one(
    trained: Path, flags: list[str], launcher: Launcher, tmp_path: Path
) -> None:
    """Resuming reads config.json by itself, and drops the points after the checkpoint."""
    directory = tmp_path / "killed"
    killed = launcher.run([*flags, "--output-dir", str(directory)], KILL_AT_STEP_9)
    assert killed.code == -signal.SIGKILL, killed.stderr
    assert list_checkpoints(directory / "checkpoints")[-1].name == "step-00000005"
    assert read_curves(directory)["train/loss"][-1][0] == 8
    resumed = launcher.run(["--resume", "--output-dir", str(directory)])
    assert resumed.code == 0, resumed.stderr
    assert "step-00000005" in resumed.stdout
    assert_same_run(directory, trained)
    assert list(run_differences.differences(directory, trained)) == []  # what users verify it with


def test_resumed_from_an_older_checkpoint_equals_the_whole_run(
    trained: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "older"
    shutil.copytree(trained, directory)
    for path in list_checkpoints(directory / "checkpoints")[1:]:
        shutil.rmtree(path)
    assert train.main(["--resume", "--output-dir", str(directory)]) == 0
    assert_same_run(directory, trained)


def test_resumed_from_a_copied_checkpoint_and_the_best_model(
    trained: Path, flags: list[str], tmp_path: Path
) -> None:
    """Without config.json the flags configure the run; history comes from the checkpoint."""
    directory = tmp_path / "copied"
    for name in ("checkpoints/step-00000010", "best"):
        shutil.copytree(trained / name, directory / name)
    for name in ("predictions.json", "nbest_predictions.json"):
        shutil.copy(trained / name, directory / name)
    assert train.main([*flags, "--resume", "--output-dir", str(directory)]) == 0
    metrics, whole = (read_json(path / "metrics.json") for path in (directory, trained))
    assert metrics == whole
    assert [step for step, _ in read_curves(directory)["train/loss"]] == [12]


def test_resumed_without_the_best_model(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint moved alone, of a run whose best model is older: refused, or a usable best/."""
    never_better = ["--learning-rate", "1e-30", "--eval-steps", "1", "--save-steps", "1"]
    arguments = [*flags, *never_better, "--max-steps", "3"]
    assert train.main([*arguments, "--output-dir", str(tmp_path / "run")]) == 0
    checkpoint = Path("checkpoints") / "step-00000002"
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "run" / checkpoint, moved / checkpoint)
    capsys.readouterr()
    if train.main([*arguments, "--resume", "--output-dir", str(moved)]) == 2:
        assert capsys.readouterr().err.startswith("error: ")
    else:
        qa.Reader.from_pretrained(moved / "best")


def test_resuming_a_finished_run_changes_no_result(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "finished"
    shutil.copytree(trained, directory)
    assert train.main(["--resume", "--output-dir", str(directory)]) == 0
    assert "KorQuAD 1.0" in capsys.readouterr().out
    assert_same_run(directory, trained)


def test_config_file_repeats_the_run(trained: Path, tmp_path: Path) -> None:
    directory = tmp_path / "again"
    config = trained / "config.json"
    assert train.main(["--config", str(config), "--output-dir", str(directory)]) == 0
    assert_same_run(directory, trained)
    expected = {**read_json(config), "output_dir": str(directory)}
    assert read_json(directory / "config.json") == expected


def test_used_directory_is_refused_unless_told_to_overwrite(
    trained: Path, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "used"
    shutil.copytree(trained, directory)
    (directory / "notes.txt").write_text("mine")
    before = snapshot(directory)
    arguments = [*flags, "--output-dir", str(directory)]
    line = refusal(capsys, arguments)
    assert "--overwrite" in line
    assert "--resume" in line
    assert snapshot(directory) == before
    assert train.main([*arguments, "--max-steps", "1", "--overwrite"]) == 0
    assert (directory / "notes.txt").read_text() == "mine"
    metrics = read_json(directory / "metrics.json")
    assert [record["step"] for record in metrics["history"]] == [1]
    assert [path.name for path in list_checkpoints(directory / "checkpoints")] == ["step-00000001"]
    assert [step for step, _ in read_curves(directory)["train/loss"]] == [1]


def test_run_without_evaluation_saves_the_last_model(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = flags.index("--holdout")
    arguments = flags[:index] + flags[index + 2 :]
    assert train.main([*arguments, "--max-steps", "2", "--output-dir", str(tmp_path / "run")]) == 0
    assert "not scored" in capsys.readouterr().out
    answers = qa.Reader.from_pretrained(tmp_path / "run" / "best").answer(
        question=QUESTION, context=CONTEXT
    )
    assert len(answers) == 1
    assert not (tmp_path / "run" / "predictions.json").exists()


def test_early_stopping_and_a_limit_of_checkpoints(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A learning rate of nearly 0 never improves: the first evaluation stays the best."""
    directory = tmp_path / "run"
    extra = ["--learning-rate", "1e-30", "--early-stopping-patience", "2", "--eval-steps", "1"]
    extra += ["--save-steps", "1", "--save-total-limit", "1", "--output-dir", str(directory)]
    assert train.main([*flags, *extra]) == 0
    metrics = read_json(directory / "metrics.json")
    assert [record["step"] for record in metrics["history"]] == [1, 2, 3]
    assert metrics["best"]["step"] == 1
    names = [path.name for path in list_checkpoints(directory / "checkpoints")]
    assert names == ["step-00000001", "step-00000003"]  # the best one is kept beyond the limit
    told = "stopped early at step 3 of "
    assert told in capsys.readouterr().out
    assert 3 in dict(read_curves(directory)["train/loss"])  # no run ends without its last point
    assert train.main(["--resume", "--output-dir", str(directory), "--max-steps", "99"]) == 0
    assert read_json(directory / "metrics.json") == metrics
    out = capsys.readouterr().out
    assert told in out
    assert "the run now has" not in out  # it makes none of these steps


# What is refused


def bad_offsets(path: Path) -> None:
    content = squad_json()
    content["data"][1]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] += 1
    path.write_text(json.dumps(content), encoding="utf-8")


def one_article(path: Path) -> None:
    content = squad_json()
    content["data"] = content["data"][:1]
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["--train-data", "nowhere.json"], "nowhere.json: no such file"),
        (["--model", "./nowhere"], "./nowhere: no such model directory"),
        (["--model", "somebody/no-such-model-here"], "cannot be had from the hub"),
        (["--train-data", "hub:somebody/no-such-data-here"], "hub:somebody/no-such-data-here: "),
        (["--window-overlap", "20"], "window_overlap 20 must be smaller than the room"),
        (["--max-seq-length", "161"], "max_seq_length 161 is more than the 160 tokens"),
        (["--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (["--device", "toaster"], "device 'toaster' cannot be used"),
        (["--resume"], "no checkpoint to resume from"),
        (["--holdout", "0.9"], "holdout must be above 0 and at most 0.5"),
        (["--learning-rate", "fast"], "learning"),
        (["--learning-rte", "1"], "--learning-rate"),
    ],
)
def test_wrong_setting(
    extra: list[str],
    expected: str,
    flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refusal(capsys, [*flags, "--output-dir", str(tmp_path / "out"), *extra])
    assert expected in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "expected"),
    [(bad_offsets, "1 answers do not stand"), (one_article, "no training examples are left")],
)
def test_wrong_data(
    make: Callable[[Path], None],
    expected: str,
    flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "data.json"
    make(path)
    output = tmp_path / "out"
    line = refusal(capsys, [*flags, "--train-data", str(path), "--output-dir", str(output)])
    assert expected in line
    assert str(path) in line
    assert not output.exists()


def test_output_directory_below_a_file(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("text")
    line = refusal(capsys, [*flags, "--output-dir", str(tmp_path / "file" / "out")])
    assert "not a directory" in line
    assert (tmp_path / "file").read_text() == "text"


def flip_a_byte(checkpoint: Path) -> None:
    content = bytearray((checkpoint / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (checkpoint / "state.pt").write_bytes(content)


def cut_state(checkpoint: Path) -> None:
    content = (checkpoint / "state.pt").read_bytes()
    (checkpoint / "state.pt").write_bytes(content[: len(content) // 2])


def lose_state(checkpoint: Path) -> None:
    (checkpoint / "state.pt").unlink()


def cut_summary(checkpoint: Path) -> None:
    (checkpoint / "checkpoint.json").write_text('{"step": 12,')


@pytest.mark.parametrize("damage", [flip_a_byte, cut_state, lose_state, cut_summary])
def test_damaged_checkpoint(
    damage: Callable[[Path], None],
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is named in one line, and the run continues from the checkpoint before to the same end."""
    directory = tmp_path / "run"
    shutil.copytree(trained, directory)
    checkpoints = list_checkpoints(directory / "checkpoints")
    damage(checkpoints[-1])
    damage(checkpoints[-2])
    assert train.main(["--resume", "--output-dir", str(directory)]) == 0
    lines = capsys.readouterr().out.splitlines()
    reports = [line for line in lines if line.startswith("not used: ")]
    assert len(reports) == 2
    for report, checkpoint in zip(reports, checkpoints[:0:-1], strict=True):
        assert str(checkpoint) in report
    assert f"resuming from {checkpoints[0]}" in lines
    assert_same_run(directory, trained)


def test_all_checkpoints_damaged(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "run"
    shutil.copytree(trained, directory)
    for checkpoint in list_checkpoints(directory / "checkpoints"):
        flip_a_byte(checkpoint)
    before = snapshot(directory)
    line = refusal(capsys, ["--resume", "--output-dir", str(directory)])
    assert "none of the 3 checkpoints is whole" in line
    assert snapshot(directory) == before


def differences(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> dict[str, tuple[str, str]]:
    """Resume another run, which must be refused; returns name -> (checkpoint's, this) values."""
    capsys.readouterr()
    assert train.main(["--resume", *arguments]) == 2
    first, header, *rows = capsys.readouterr().err.splitlines()
    assert first.startswith("error: --resume would continue another run")
    assert header.split() == ["checkpoint", "now"]
    cells = [re.split(r"\s{2,}", row.strip()) for row in rows]
    return {name: (saved, now) for name, saved, now in cells}


CHANGES = [
    ("learning-rate", "0.004", {"learning_rate": ("0.003", "0.004")}),
    ("lr-scheduler", "linear", {"lr_scheduler": ("cosine", "linear")}),
    ("seed", "1", {"seed": ("42", "1")}),
    ("gradient-accumulation-steps", "1", {"global batch (micro-batches per step)": ("2", "1")}),
    ("per-device-train-batch-size", "1", {"per_device_train_batch_size": ("2", "1")}),
    ("precision", "bf16", {"precision": ("fp32", "bf16")}),
    ("max-answer-length", "9", {"max_answer_length": ("8", "9")}),
]


@pytest.mark.parametrize(("name", "value", "expected"), CHANGES)
def test_resuming_with_another_setting(
    name: str,
    value: str,
    expected: dict[str, tuple[str, str]],
    trained: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = snapshot(trained)
    arguments = ["--output-dir", str(trained), f"--{name}", value]
    assert differences(capsys, arguments) == expected
    assert snapshot(trained) == before


def test_resuming_without_the_boundary_head(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(trained)
    arguments = ["--output-dir", str(trained), "--no-character-boundaries"]
    assert differences(capsys, arguments) == {
        "new heads": (
            "model.qa_outputs, boundary_head, pair_head",
            "model.qa_outputs, pair_head",
        ),
        "character_boundaries": ("True", "False"),
    }
    assert snapshot(trained) == before


def test_resuming_without_the_pair_head(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(trained)
    assert differences(capsys, ["--output-dir", str(trained), "--no-pair-head"]) == {
        "new heads": (
            "model.qa_outputs, boundary_head, pair_head",
            "model.qa_outputs, boundary_head",
        ),
        "pair_head": ("True", "False"),
    }
    assert snapshot(trained) == before


def test_resuming_with_several_other_settings_and_windows(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other windows are other data, so these are named too."""
    arguments = ["--output-dir", str(trained), "--max-seq-length", "40", "--weight-decay", "0.5"]
    found = differences(capsys, arguments)
    assert found.keys() == {"training data", "held-out data", "max_seq_length", "weight_decay"}
    assert found["max_seq_length"] == ("32", "40")
    assert found["weight_decay"] == ("0.01", "0.5")


def test_resuming_with_other_data(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = squad_json()
    content["data"][1]["paragraphs"][0]["qas"][0]["question"] += "?"
    (tmp_path / "other.json").write_text(json.dumps(content), encoding="utf-8")
    arguments = ["--output-dir", str(trained), "--train-data", str(tmp_path / "other.json")]
    assert differences(capsys, arguments).keys() == {"training data"}  # article 1 is not held out


def test_resuming_with_questions_that_were_cut_at_their_end(
    flags: list[str], data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoints of before were trained on the front of long questions, on other windows.

    They know their data by a fingerprint that says nothing of it. Without long questions it has
    stayed as it was (tests/outputs/test_formats_stay.py).
    """
    place = flags.index("--max-question-length") + 1
    arguments = [*flags[:place], "6", *flags[place + 1 :], "--max-steps", "1"]
    arguments += ["--output-dir", str(tmp_path / "run")]
    assert train.main(arguments) == 0
    state = load_checkpoint(list_checkpoints(tmp_path / "run" / "checkpoints")[-1])
    training, held_out = split_holdout(read_examples(str(data_file)), HOLDOUT)
    tokenizer = load_tokenizer(str(tmp_path / "run" / "best"))
    for name, examples in (("training data", training), ("held-out data", held_out)):
        fingerprint = windows_fingerprint(examples, tokenizer, WindowOptions(32, 6, 6))
        assert state["identity"][name] == f"{fingerprint}, long questions by their end"


def test_resuming_with_other_gold_answers(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MRQA lists the answers to compare with apart from those that windows are labelled with."""
    start = CONTEXT.index("1921년")
    detected = [{"text": "1921년", "char_spans": [[start, start + len("1921년") - 1]]}]
    row = {"id": "1", "context": CONTEXT, "question": QUESTION, "detected_answers": detected}
    path = tmp_path / "mrqa.json"
    path.write_text(json.dumps([{**row, "answers": ["1921년", "1921"]}]), encoding="utf-8")
    place = flags.index("--holdout")
    arguments = [*flags[:place], *flags[place + 2 :], "--eval-data", str(path)]
    arguments += ["--max-steps", "1", "--output-dir", str(tmp_path / "run")]
    assert train.main(arguments) == 0
    path.write_text(json.dumps([{**row, "answers": ["1921년", "21년"]}]), encoding="utf-8")
    assert differences(capsys, arguments).keys() == {"held-out gold answers"}


def test_resuming_with_what_may_change(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outputs, logging, workers, and a longer run, which prints what that changes."""
    directory = tmp_path / "run"
    shutil.copytree(trained, directory)
    extra = ["--logging-steps", "1", "--save-steps", "4", "--save-total-limit", "9", "--async-save"]
    extra += ["--num-workers", "1", "--eval-steps", "13", "--max-steps", "14"]
    extra += ["--per-device-eval-batch-size", "3"]
    assert train.main(["--resume", "--output-dir", str(directory), *extra]) == 0
    output = capsys.readouterr().out
    assert "the run now has 14 steps instead of 12" in output
    history = read_json(directory / "metrics.json")["history"]
    assert [record["step"] for record in history] == [3, 6, 9, 12, 13, 14]
    assert [step for step, _ in read_curves(directory)["train/loss"]] == [
        2,
        4,
        6,
        8,
        10,
        12,
        13,
        14,
    ]
    names = [path.name for path in list_checkpoints(directory / "checkpoints")]
    assert names[-2:] == ["step-00000012", "step-00000014"]


def test_checkpoint_of_another_model(
    trained: Path, tokenizer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=16,
        max_position_embeddings=160,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    directory = tmp_path / "run"
    shutil.copytree(trained, directory)
    before = snapshot(directory)
    arguments = ["--output-dir", str(directory), "--model", str(tmp_path / "other")]
    assert differences(capsys, arguments).keys() == {"model"}
    assert snapshot(directory) == before


def test_refusal_of_a_real_process(flags: list[str], launcher: Launcher) -> None:
    """Exit code 2 and one line on stderr, from the outside."""
    result = run_python("train.py", *flags, "--max-steps", "0")  # before torch is imported
    assert result.returncode == 2
    assert result.stderr == "error: max_steps must be at least 1, not 0\n"
    run = launcher.run([*flags, "--train-data", "nowhere.json"])
    assert run.code == 2
    assert run.stderr == "error: nowhere.json: no such file\n"


# Asking and scoring a trained reader


def test_predict_prints_the_answer(trained: Path) -> None:
    arguments = ["--context", CONTEXT, "--question", QUESTION, "--top-k", "3", "--device", "cpu"]
    result = run_python("-m", "qa", "predict", str(trained / "best"), *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(lines) == 3
    for text, probability, place in lines:
        start, end = place.removeprefix("characters ").split("-")
        assert CONTEXT[int(start) : int(end)] == text
        assert 0 <= float(probability) <= 1


def test_predict_answers_a_file_as_the_training_did(
    trained: Path, data_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(trained / "best"), "--data", str(data_file), "--json", "--top-k", "20"]
    assert qa.cli.predict.main([*arguments, "--device", "cpu", "--precision", "fp32"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    rows = {row["id"]: row for row in map(json.loads, captured.out.splitlines())}
    assert len(rows) == 12
    for example_id, answers in read_json(trained / "nbest_predictions.json").items():
        found = rows[example_id]["answers"]
        assert [a["text"] for a in found] == [a["text"] for a in answers]
        assert [a["score"] for a in found] == pytest.approx([a["score"] for a in answers], abs=1e-4)


def test_predict_prints_a_file_for_people(
    trained: Path, data_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qa.cli.predict.main([str(trained / "best"), "--data", str(data_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 24
    assert lines[0] == "0-0\t강나루가 태어난 해는?"


def test_evaluate_repeats_the_best_evaluation(
    trained: Path, data_file: Path, launcher: Launcher, tmp_path: Path
) -> None:
    arguments = ["--data", str(data_file), "--output-dir", str(tmp_path / "scores")]
    arguments += ["--holdout", str(HOLDOUT), "--device", "cpu", "--precision", "fp32"]
    result = launcher.python("-m", "qa", "evaluate", trained / "best", *arguments)
    assert result.code == 0, result.stderr
    assert result.stderr == ""
    assert "4 questions" in result.stdout
    assert read_json(tmp_path / "scores" / "predictions.json") == read_json(
        trained / "predictions.json"
    )
    best = read_json(trained / "metrics.json")["best"]
    metrics = read_json(tmp_path / "scores" / "metrics.json")
    for name in ("korquad1", "squad1"):
        for key in ("exact_match", "f1"):
            assert metrics[name][key] == best[f"{name}_{key}"]
    assert metrics["eval_loss"] == pytest.approx(best["eval_loss"], abs=1e-5)


def test_evaluate_scores_a_whole_file(
    trained: Path, data_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "deep" / "scores"
    arguments = [str(trained / "best"), "--data", str(data_file), "--output-dir", str(output)]
    assert qa.cli.evaluate.main([*arguments, "--batch-size", "3"]) == 0
    assert "12 questions" in capsys.readouterr().out
    golds = {example.id: example.answers for example in read_examples(str(data_file))}
    predictions = read_json(output / "predictions.json")
    metrics = read_json(output / "metrics.json")
    assert metrics["korquad1"] == pytest.approx(score_predictions("korquad1", golds, predictions))
    assert metrics["squad1"] == pytest.approx(score_predictions("squad1", golds, predictions))


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ([], "pass --context and --question"),
        (["--context", CONTEXT], "pass --context and --question"),
        (["--context", " ", "--question", QUESTION], "--context is empty"),
        (["--context", CONTEXT, "--question", ""], "--question is empty"),
        (["--data", "nowhere.json"], "nowhere.json: no such file"),
        (["--data", "x.json", "--question", QUESTION], "not both"),
        (["--context", CONTEXT, "--question", QUESTION, "--top-k", "0"], "top_k must be at least"),
        (["--context", CONTEXT, "--question", QUESTION, "--device", "toaster"], "'toaster'"),
        (["--context", CONTEXT, "--question", QUESTION, "--precision", "int3"], "precision"),
    ],
)
def test_predict_refuses(
    extra: list[str], expected: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refusal(capsys, [str(trained / "best"), *extra], qa.cli.predict.main)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["--data", "nowhere.json"], "nowhere.json: no such file"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--holdout", "2"], "holdout must be above 0"),
        (["--precision", "int3"], "precision"),
        (["--output-dir", "/proc/version/out"], "/proc/version is not a directory"),
    ],
)
def test_evaluate_refuses(
    extra: list[str],
    expected: str,
    trained: Path,
    data_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(trained / "best"), "--data", str(data_file), *extra]
    assert expected in refusal(capsys, arguments, qa.cli.evaluate.main)


@pytest.mark.parametrize("extra", [[], ["--overwrite"]])
def test_evaluate_leaves_the_files_of_a_run_alone(
    extra: list[str], trained: Path, data_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(trained)
    arguments = [str(trained / "best"), "--data", str(data_file), "--output-dir", str(trained)]
    assert str(trained) in refusal(capsys, [*arguments, *extra], qa.cli.evaluate.main)
    assert snapshot(trained) == before


@pytest.mark.parametrize("main", [qa.cli.predict.main, qa.cli.evaluate.main])
def test_encoder_that_was_not_trained_is_refused(
    main: Callable[..., int],
    encoder_dir: Path,
    data_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refusal(capsys, [str(encoder_dir), "--data", str(data_file)], main)
    assert "has no trained span head" in line
    assert "nowhere" in refusal(capsys, ["./nowhere", "--data", str(data_file)], main)


@pytest.mark.parametrize(
    ("main", "advice"),
    [(qa.cli.evaluate.main, "pass a lower --batch-size"), (qa.cli.predict.main, "--device")],
)
def test_out_of_memory_is_a_line_with_what_to_do(
    main: Callable[..., int],
    advice: str,
    trained: Path,
    data_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def exhaust(*arguments: Any, **options: Any) -> None:
        torch.empty(2**50, dtype=torch.uint8)

    monkeypatch.setattr("qa.answering.answerer.Answerer.answer_blocks", exhaust)
    arguments = [str(trained / "best"), "--data", str(data_file)]
    if main is qa.cli.evaluate.main:
        arguments += ["--output-dir", str(tmp_path / "scores")]
    assert main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: out of memory (DefaultCPUAllocator: can't allocate memory")
    assert advice in lines[0]


def test_a_model_that_does_not_fit_is_not_called_a_broken_one(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhaust(*arguments: Any, **options: Any) -> None:
        torch.empty(2**50, dtype=torch.uint8)

    name = "transformers.AutoModelForQuestionAnswering.from_pretrained"
    monkeypatch.setattr(name, exhaust)
    pair = ["--context", CONTEXT, "--question", QUESTION]
    assert qa.cli.predict.main([str(trained / "best"), *pair]) == 1
    assert capsys.readouterr().err.startswith("error: out of memory (")


def test_answers_on_a_console_that_cannot_print_korean(
    trained: Path, data_file: Path, launcher: Launcher, tmp_path: Path
) -> None:
    """Then, in JSON, the same answers; and scores as ever."""
    arguments = ["-m", "qa", "predict", str(trained / "best"), "--data", str(data_file), "--json"]
    wide, narrow = (launcher.python(*arguments, prelude=before) for before in ("", ONLY_ASCII))
    assert (wide.code, narrow.code) == (0, 0), narrow.stderr
    assert "?" in wide.stdout
    assert narrow.stdout.isascii()
    rows = [json.loads(line) for line in narrow.stdout.splitlines()]
    assert rows == [json.loads(line) for line in wide.stdout.splitlines()]
    own = ["--data", str(data_file), "--output-dir", str(tmp_path / "scores")]
    command = "-m", "qa", "evaluate", trained / "best"
    scores = launcher.python(*command, *own, prelude=ONLY_ASCII)
    assert scores.code == 0, scores.stderr


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_command_whose_reader_leaves_ends_quietly(
    command: str, trained: Path, data_file: Path, launcher: Launcher, tmp_path: Path
) -> None:
    arguments = [command, str(trained / "best"), "--data", str(data_file)]
    if command == "evaluate":
        arguments += ["--output-dir", str(tmp_path / "scores")]
    pipe = tmp_path / "stdout"
    os.mkfifo(pipe)
    run = launcher.start([], as_python(["-m", "qa", *arguments]), stdout=pipe)
    pipe.open().close()
    assert run.wait() == 141
    assert run.stderr == ""
    assert command == "predict" or (tmp_path / "scores" / "metrics.json").exists()
