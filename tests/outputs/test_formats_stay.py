"""What runs leave behind stays readable and goes on: files of an older qa are the measure.

golden/ was written by commit 4a6ef77, with torch 2.13 and transformers 5.24. Where a format changes
on purpose, make it again with the code that changes it. In a copy of golden/ without the two run/:

    cd answerable    # then the same in unanswerable/, whose data has questions without an answer
    OMP_NUM_THREADS=1 python .../train.py FLAGS    # the list `FLAGS` below

Of answerable/run keep best/, checkpoints/step-00000005 and the .json files; of unanswerable/run
keep best/reader.json and the .json files. Leave out the rest: it is large, or names your machine.
Put the curve that TensorBoard shows into `TRAIN_LOSS`. golden/encoder is a BERT of random weights
and hidden size 16 with `train_tokenizer`'s tokenizer, and answerable/squad.json is
`support.articles.squad_json()`; both can stay as they are.

Another processor multiplies matrices in another order, so numbers are compared with a tolerance:
torch's slowest and fastest kernels were 2e-6 apart at the end of these runs. Texts are compared
exactly, since every answer is ahead of the next by 0.01 or more. Dropout masks are made of random
integers and are the same everywhere.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from support.runs import Launcher

from qa.answering.nbest import null_odds
from qa.answering.reader import Reader
from qa.data.formats import read_examples
from qa.engine.checkpoint import list_checkpoints, load_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).with_name("golden")
ENCODER = GOLDEN / "encoder"
RUN = GOLDEN / "answerable" / "run"
CHECKPOINT = Path("checkpoints") / "step-00000005"
TOLERANCE = 1e-4

FLAGS = (
    "--model ../encoder --train-data squad.json --eval-data squad.json --max-seq-length 32"
    " --window-overlap 6 --max-question-length 16 --max-answer-length 8 --n-best-size 5"
    " --per-device-train-batch-size 4 --gradient-accumulation-steps 2 --max-steps 12"
    " --num-train-epochs 99 --learning-rate 0.02 --head-learning-rate 0.02 --logging-steps 2"
    " --eval-steps 4 --save-steps 5 --save-total-limit none --precision fp32 --device cpu"
    " --output-dir run --no-pair-head"
).split()

# Settings that came after the golden files; these values leave a run as it was.
ADDED_SETTINGS: dict[str, Any] = {
    "warmup_steps": None,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "trust_remote_code": False,
    "gradient_checkpointing": False,
    "temperature": None,
    "freeze": None,
    "compile": False,
    "cuda_graphs": "off",
    "deterministic": False,
    "reader": "span",
    "decoder_layers": 2,
    "span_loss_weight": 0.0,
    "hard_negatives": False,
    "decoding": None,
    "pair_head": False,
}
# Those of them that a resumed run must share with its checkpoint.
FREE = ("trust_remote_code", "gradient_checkpointing", "cuda_graphs", "temperature")
ADDED_IDENTITY = {name: value for name, value in ADDED_SETTINGS.items() if name not in FREE}

# The old run's, whose checkpoint lies in the middle of the mean at step 6.
TRAIN_LOSS = {2: 4.02328, 4: 3.479566, 6: 2.725921, 8: 2.090529, 10: 1.733848, 12: 1.613448}

# What transformers puts into its own files is its own affair: 5.0 has other names for weights.
GOLDEN_TRANSFORMERS = "5.24"
same_transformers = pytest.mark.skipif(
    transformers.__version__.split(".")[:2] != GOLDEN_TRANSFORMERS.split("."),
    reason=f"golden files are of transformers {GOLDEN_TRANSFORMERS}",
)

RECORD = {
    "step": "int",
    "exact_match": "float",
    "f1": "float",
    "eval_loss": "float",
    "korquad1_exact_match": "float",
    "korquad1_f1": "float",
    "squad1_exact_match": "float",
    "squad1_f1": "float",
}
IDENTITY = {
    "model": "str",
    "training data": "str",
    "held-out data": "str",
    "held-out gold answers": "str",
    "precision": "str",
    "packed windows": "bool",
    "new heads": "str",
    "global batch (micro-batches per step)": "int",
    "max_seq_length": "int",
    "window_overlap": "int",
    "max_question_length": "int",
    "negative_window_ratio": "float",
    "learning_rate": "float",
    "weight_decay": "float",
    "warmup_ratio": "float",
    "lr_scheduler": "str",
    "max_grad_norm": "float",
    "per_device_train_batch_size": "int",
    "sharding": "str",
    "attention_dropout": "null",
    "hidden_dropout": "null",
    "character_boundaries": "bool",
    "head_learning_rate": "float",
    "r_drop": "float",
    "metric_for_best_model": "str",
    "n_best_size": "int",
    "max_answer_length": "int",
    "null_score_diff_threshold": "null",
    "seed": "int",
}
LAYER = "model.bert.encoder.layer.0"
WEIGHTS = {
    "model.bert.embeddings.word_embeddings.weight": "float32 234x16",
    "model.bert.embeddings.position_embeddings.weight": "float32 40x16",
    "model.bert.embeddings.token_type_embeddings.weight": "float32 2x16",
    "model.bert.embeddings.LayerNorm.weight": "float32 16",
    "model.bert.embeddings.LayerNorm.bias": "float32 16",
    f"{LAYER}.attention.self.query.weight": "float32 16x16",
    f"{LAYER}.attention.self.query.bias": "float32 16",
    f"{LAYER}.attention.self.key.weight": "float32 16x16",
    f"{LAYER}.attention.self.key.bias": "float32 16",
    f"{LAYER}.attention.self.value.weight": "float32 16x16",
    f"{LAYER}.attention.self.value.bias": "float32 16",
    f"{LAYER}.attention.output.dense.weight": "float32 16x16",
    f"{LAYER}.attention.output.dense.bias": "float32 16",
    f"{LAYER}.attention.output.LayerNorm.weight": "float32 16",
    f"{LAYER}.attention.output.LayerNorm.bias": "float32 16",
    f"{LAYER}.intermediate.dense.weight": "float32 32x16",
    f"{LAYER}.intermediate.dense.bias": "float32 32",
    f"{LAYER}.output.dense.weight": "float32 16x32",
    f"{LAYER}.output.dense.bias": "float32 16",
    f"{LAYER}.output.LayerNorm.weight": "float32 16",
    f"{LAYER}.output.LayerNorm.bias": "float32 16",
    "model.qa_outputs.weight": "float32 2x16",
    "model.qa_outputs.bias": "float32 2",
    "boundary_head.linear.weight": "float32 16x32",
    "boundary_head.linear.bias": "float32 16",
}
# The optimizer numbers the weights: first those that decay, matrices, then the others.
DECAYING = [shape for shape in WEIGHTS.values() if "x" in shape]
NOT_DECAYING = [shape for shape in WEIGHTS.values() if "x" not in shape]
STATE = {
    "run": {
        "model": WEIGHTS,
        "optimizer": {
            "state": {
                number: {"step": "float32 scalar", "exp_avg": shape, "exp_avg_sq": shape}
                for number, shape in enumerate(DECAYING + NOT_DECAYING)
            },
            "param_groups": [
                {
                    "weight_decay": "float",
                    "initial_weight_decay": "float",
                    "initial_betas": ("float", "float"),
                    "initial_eps": "float",
                    "lr": "float",
                    "initial_lr": "float",
                    "params": numbers,
                }
                for numbers in (["int"] * len(DECAYING), ["int"] * len(NOT_DECAYING))
            ],
        },
        "scaler": {},
        "rng": [
            {
                "python": ("int", ("int",) * 625, "null"),
                "numpy": ("str", "int64 624", "int", "int", "float"),
                "torch": "uint8 5056",
            }
        ],
        "global_step": "int",
        "epoch": "int",
        "position": "int",
    },
    "tracker": {"history": [RECORD], "best": RECORD, "evaluations_since_best": "int"},
    "log": {
        "loss": {"total": "float32 scalar", "count": "float"},
        "grad_norm": {"total": "float32 scalar", "count": "float"},
        "sickness": {"skipped": "int64 scalar", "skipped_in_a_row": "int64 scalar"},
    },
    "pending_evaluation": "bool",
    "identity": IDENTITY,
    "total_steps": "int",
}
ADAMW_SETTINGS = {"betas", "eps", "amsgrad", "maximize", "foreach", "capturable"} | {
    "differentiable", "fused", "decoupled_weight_decay"
}  # fmt: skip

TAGS = {
    "scalars": {
        "train/loss",
        "train/learning_rate",
        "train/grad_norm",
        "train/loss_scale",
        "train/skipped_steps",
        "train/epoch",
        "speed/windows_per_second",
        "speed/tokens_per_second",
        "speed/padding_share",
        "speed/utilisation",
        "speed/data_ms",
        "speed/forward_ms",
        "speed/backward_ms",
        "speed/optimizer_ms",
        "speed/peak_memory_gib",
        "eval/loss",
        "eval/korquad1_exact_match",
        "eval/korquad1_f1",
        "eval/squad1_exact_match",
        "eval/squad1_f1",
        "errors/too_wide",
        "errors/too_narrow",
        "errors/ending_kept",
        "errors/word_cut",
        "errors/shifted",
        "errors/other_wording",
        "errors/similar_elsewhere",
        "errors/wrong_place",
        "errors/left_unanswered",
        "errors/answered_in_vain",
    },
    "tensors": {"config/text_summary", "samples/text_summary"},
}
NO_ANSWER_TAGS = {
    "scalars": {
        "eval/squad2_exact",
        "eval/squad2_f1",
        "eval/squad2_HasAns_exact",
        "eval/squad2_HasAns_f1",
        "eval/squad2_NoAns_exact",
        "eval/squad2_NoAns_f1",
        "eval/klue-mrc_exact_match",
        "eval/klue-mrc_rouge_w",
        "eval/null_score_diff_threshold",
    },
    "tensors": {"eval/has_answer"},
}


def train(launcher: Launcher, folder: Path, *arguments: str) -> Path:
    """Run train.py in `folder`; returns the directory of the run."""
    run = launcher.run(arguments, prelude=f"import os\nos.chdir({str(folder)!r})")
    assert run.code == 0, run.stderr
    # The golden runs were made so.
    assert [line for line in run.error_lines if "stand in the training data" not in line] == []
    return folder / "run"


def copy_input(kind: str, place: Path) -> Path:
    """The encoder, and a folder with the data of golden/`kind`, which is returned."""
    shutil.copytree(ENCODER, place / "encoder")
    (place / kind).mkdir()
    shutil.copy(GOLDEN / kind / "squad.json", place / kind)
    return place / kind


@pytest.fixture(scope="module")
def answerable(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new run whose every question has an answer."""
    folder = copy_input("answerable", tmp_path_factory.mktemp("fresh"))
    return train(launcher, folder, *FLAGS)


@pytest.fixture(scope="module")
def unanswerable(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new run with questions that have no answer."""
    folder = copy_input("unanswerable", tmp_path_factory.mktemp("fresh"))
    return train(launcher, folder, *FLAGS)


@pytest.fixture(scope="module")
def resumed(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old run's checkpoint and config.json, taken to the end by this code.

    best/ and predictions.json must be there; they are left empty, for this code to write.
    """
    folder = copy_input("answerable", tmp_path_factory.mktemp("resumed"))
    shutil.copytree(RUN / CHECKPOINT, folder / "run" / CHECKPOINT)
    shutil.copy(RUN / "config.json", folder / "run")
    (folder / "run" / "best").mkdir()
    (folder / "run" / "predictions.json").write_text("{}", encoding="utf-8")
    return train(launcher, folder, "--resume", "--output-dir", "run")


def best_reader(run: Path) -> Reader:
    return Reader.from_pretrained(run / "best", device="cpu", precision="fp32")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def types_of(value: Any) -> Any:
    """`value` with the name of its type in the place of every plain value and tensor."""
    if isinstance(value, torch.Tensor):
        shape = "x".join(map(str, value.shape)) or "scalar"
        return f"{value.dtype} {shape}".removeprefix("torch.")
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(types_of(item) for item in value)
    return "null" if value is None else type(value).__name__


def close(value: Any) -> Any:
    return pytest.approx(value, abs=TOLERANCE)


def curve(directory: Path, tag: str) -> dict[int, float]:
    """A curve's step -> value, as TensorBoard shows it."""
    return {event.step: event.value for event in read_events(directory).Scalars(tag)}


def read_events(directory: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return events


# What an older qa wrote is read


def test_old_reader_answers_as_it_did() -> None:
    reader = best_reader(RUN)
    examples = read_examples(str(GOLDEN / "answerable" / "squad.json"))
    found = list(reader.iterate_answers(examples, top_k=5))
    answers = dict(zip((example.id for example in examples), found, strict=True))
    predictions = {key: candidates[0].text for key, candidates in answers.items()}
    assert predictions == read_json(RUN / "predictions.json")
    assert len(predictions) == 12
    odds = {key: null_odds(candidates) for key, candidates in answers.items()}
    assert odds == close(read_json(RUN / "null_odds.json"))
    for key, expected in read_json(RUN / "nbest_predictions.json").items():
        assert [vars(answer) for answer in answers[key]] == [close(row) for row in expected]


def test_old_settings_are_those_of_the_old_reader() -> None:
    reader = best_reader(RUN)
    windows, options = reader.windows, reader.answerer.options
    assert (windows.max_seq_length, windows.window_overlap) == (32, 6)
    assert windows.max_question_length == 16
    assert (options.n_best_size, options.max_answer_length) == (5, 8)
    assert reader.null_score_diff_threshold is None


def test_old_checkpoint_goes_on_to_the_end_of_the_old_run(resumed: Path) -> None:
    """From step 5 to 12 by this code, as the old one did without a stop."""
    names = [path.name for path in list_checkpoints(resumed / "checkpoints")]
    assert names == ["step-00000005", "step-00000010", "step-00000012"]
    assert read_json(resumed / "config.json") == read_json(RUN / "config.json") | ADDED_SETTINGS
    assert read_json(resumed / "predictions.json") == read_json(RUN / "predictions.json")
    assert read_json(resumed / "null_odds.json") == close(read_json(RUN / "null_odds.json"))
    nbest, old_nbest = (read_json(path / "nbest_predictions.json") for path in (resumed, RUN))
    assert nbest.keys() == old_nbest.keys()
    for key, answers in nbest.items():
        assert answers == [close(answer) for answer in old_nbest[key]]
    metrics, old_metrics = (read_json(path / "metrics.json") for path in (resumed, RUN))
    assert metrics["history"] == [close(record) for record in old_metrics["history"]]
    assert metrics["best"] == close(old_metrics["best"])
    assert curve(resumed, "train/loss") == close({s: v for s, v in TRAIN_LOSS.items() if s > 5})
    weights, old_weights = (weights_in_best(path) for path in (resumed, RUN))
    torch.testing.assert_close(weights, old_weights, atol=TOLERANCE, rtol=0)


def weights_in_best(run: Path) -> dict[str, torch.Tensor]:
    """The best model's weights whose size means something.

    A constant on all keys, or on all scores, drops out of a softmax: the gradient of these two
    biases is rounding, which Adam makes into steps of full length.
    """
    weights = best_reader(run).model.state_dict()
    for name in (f"{LAYER}.attention.self.key.bias", "model.qa_outputs.bias"):
        del weights[name]
    return weights


@pytest.mark.parametrize("written_by", ["old", "answerable"])
def test_state_of_a_checkpoint(written_by: str, request: pytest.FixtureRequest) -> None:
    run = RUN if written_by == "old" else request.getfixturevalue(written_by)
    state = load_checkpoint(run / CHECKPOINT)
    for generators in state["run"]["rng"]:  # what these hold is for the machine to say
        del generators["mps"], generators["cuda"]
    for group in state["run"]["optimizer"]["param_groups"]:  # torch's own differ by its version
        for name in ADAMW_SETTINGS & group.keys():
            del group[name]
        if written_by == "old":  # which has the peak rate as a share of the configured one
            assert group.pop("lr_scale") == 1.0
            group |= {"initial_lr": 0.02, "initial_weight_decay": group["weight_decay"]}
            group |= {"initial_betas": (0.9, 0.999), "initial_eps": 1e-8}
    for name in ADDED_IDENTITY.keys() & state["identity"].keys():
        assert written_by != "old"
        del state["identity"][name]
    assert types_of(state) == STATE


@pytest.mark.parametrize("written_by", ["old", "answerable", "resumed"])
def test_transformers_loads_the_best_reader(
    written_by: str, request: pytest.FixtureRequest
) -> None:
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    run = RUN if written_by == "old" else request.getfixturevalue(written_by)
    model, loading = AutoModelForQuestionAnswering.from_pretrained(
        run / "best", output_loading_info=True
    )
    assert not any(loading.values())
    weights = best_reader(run).model.model.state_dict()
    assert {f"model.{name}" for name in weights} == {n for n in WEIGHTS if n.startswith("model.")}
    torch.testing.assert_close(model.state_dict(), weights, atol=0, rtol=0)
    tokenizer, before = (AutoTokenizer.from_pretrained(p) for p in (run / "best", ENCODER))
    pair = ("솔뫼산의 높이는?", "솔뫼산은 높이가 812미터인 산이다.")
    assert tokenizer(*pair).data == before(*pair).data


# What this qa writes has the old form


def test_fresh_run_leaves_the_files_of_the_old_one(answerable: Path) -> None:
    """Not one more either: `best/` is handed on as it is."""

    def names(folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir())

    added = [".lock", "tensorboard", "curves.jsonl", "report.html"]
    assert names(answerable) == sorted([*names(RUN), *added])
    assert names(answerable / "best") == sorted([*names(RUN / "best"), "README.md"])
    assert names(answerable / CHECKPOINT) == names(RUN / CHECKPOINT)


JSON_FILES = ["metrics.json", "predictions.json", "nbest_predictions.json", "null_odds.json"]
JSON_FILES += ["best/reader.json", "config.json"]
OF_TRANSFORMERS = ["config.json", "tokenizer_config.json", "tokenizer.json"]


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize("kind", ["answerable", "unanswerable"])
def test_keys_and_types_of_json(kind: str, name: str, request: pytest.FixtureRequest) -> None:
    fresh = read_json(request.getfixturevalue(kind) / name)
    golden = read_json(GOLDEN / kind / "run" / name)
    if name == "config.json":
        golden |= ADDED_SETTINGS
    assert types_of(fresh) == types_of(golden)


@pytest.mark.parametrize("kind", ["answerable", "unanswerable"])
def test_settings_of_the_run(kind: str, request: pytest.FixtureRequest) -> None:
    """Same flags, same config.json: no name and no default changed."""
    fresh = read_json(request.getfixturevalue(kind) / "config.json")
    assert fresh == read_json(GOLDEN / kind / "run" / "config.json") | ADDED_SETTINGS


def test_summary_of_a_checkpoint(answerable: Path) -> None:
    """checkpoint.json; only the versions and the size and digest of state.pt may be others."""
    fresh, old = (read_json(path / CHECKPOINT / "checkpoint.json") for path in (answerable, RUN))
    old["config"] |= ADDED_SETTINGS
    old["identity"] |= ADDED_IDENTITY
    assert types_of(fresh) == types_of(old)
    assert (fresh["step"], fresh["epoch"]) == (old["step"], old["epoch"])
    assert fresh["config"] == old["config"]


def test_identity_of_the_run(answerable: Path) -> None:
    """Same model, data and settings: what a resume compares is the same."""
    fresh, old = (load_checkpoint(path / CHECKPOINT)["identity"] for path in (answerable, RUN))
    assert fresh == old | ADDED_IDENTITY


@same_transformers
@pytest.mark.parametrize("name", OF_TRANSFORMERS)
def test_what_transformers_wrote_into_best(answerable: Path, name: str) -> None:
    assert read_json(answerable / "best" / name) == read_json(RUN / "best" / name)


@pytest.mark.parametrize(
    "name",
    [pytest.param("model.safetensors", marks=same_transformers), "boundary_head.safetensors"],
)
def test_weights_in_best(answerable: Path, name: str) -> None:
    fresh, old = (load_file(path / "best" / name) for path in (answerable, RUN))
    assert types_of(fresh) == types_of(old)


def test_lines_of_the_curves(answerable: Path) -> None:
    """One line a log point and one an evaluation, with TensorBoard's tags."""
    text = (answerable / "curves.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 4, 6, 8, 8, 10, 12, 12]
    for line in lines:
        assert next(iter(line)) == "step"
        of_evaluations = {tag for tag in TAGS["scalars"] if tag.startswith(("eval/", "errors/"))}
        is_evaluation = "eval/loss" in line
        tags = of_evaluations if is_evaluation else TAGS["scalars"] - of_evaluations
        assert line.keys() == {"step", *tags}
    losses = {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}
    assert losses == close(curve(answerable, "train/loss"))


@pytest.mark.parametrize("kind", ["answerable", "unanswerable"])
def test_tags_of_tensorboard(kind: str, request: pytest.FixtureRequest) -> None:
    tags = read_events(request.getfixturevalue(kind)).Tags()
    for sort, expected in TAGS.items():
        more = NO_ANSWER_TAGS[sort] if kind == "unanswerable" else set()
        assert set(tags[sort]) == expected | more
    assert not any(tags[sort] for sort in ("images", "audio", "histograms", "distributions"))
