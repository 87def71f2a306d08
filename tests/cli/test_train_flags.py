"""The command line: where values come from, and one clear line for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.runs import ROOT

import qa.cli.evaluate
import train
from qa.cli.known_flags import KNOWN_FLAGS, Answer, Choice, Same
from qa.cli.parser import Parser
from qa.cli.train_flags import Command, make_parser, parse_arguments
from qa.config import Config, config_fields
from qa.engine import UserError
from qa.recipes import RECIPES

COMMANDS = [
    "recipe",
    "list-recipes",
    "config",
    "resume",
    "overwrite",
    "push-to-hub",
    "push-private",
]
# fmt: off
SETTINGS = [
    "train-data", "eval-data", "holdout", "nfc", "max-seq-length", "window-overlap",
    "max-question-length",
    "negative-window-ratio", "hard-negatives", "max-train-examples", "max-eval-examples",
    "model", "attention-dropout", "hidden-dropout", "character-boundaries", "pair-head",
    "head-learning-rate",
    "trust-remote-code", "r-drop", "gradient-checkpointing", "compile", "freeze",
    "reader", "decoder-layers", "span-loss-weight", "decoding",
    "learning-rate", "weight-decay", "adam-beta1", "adam-beta2", "adam-epsilon",
    "num-train-epochs", "max-steps", "warmup-ratio", "warmup-steps",
    "lr-scheduler", "max-grad-norm",
    "per-device-train-batch-size", "gradient-accumulation-steps", "precision", "device", "seed",
    "num-workers", "cuda-graphs", "deterministic",
    "sharding",
    "eval-steps", "per-device-eval-batch-size", "metric-for-best-model", "early-stopping-patience",
    "n-best-size", "max-answer-length", "null-score-diff-threshold", "temperature",
    "output-dir", "logging-steps", "save-steps", "save-total-limit", "async-save", "profile",
]
# fmt: on
OWN_DATA = ["--model", "m", "--train-data", "t.json"]


def parse(*arguments: str) -> Config:
    return parse_command(*arguments).config


def parse_command(*arguments: str) -> Command:
    command = parse_arguments(arguments)
    assert command is not None
    return command


def error_of(*arguments: str) -> str:
    """The message of the UserError, which must be one line."""
    with pytest.raises(UserError) as error:
        parse_arguments(arguments)
    message = str(error.value)
    assert "\n" not in message
    return message


def config_file(path: Path, values: Any) -> str:
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    return str(path)


def test_no_flags_mean_the_quickstart() -> None:
    command = parse_command()
    assert command.config.recipe == "quickstart"
    assert command.config.data.train_data == command.config.model.model == "embedded"
    assert (command.resume, command.overwrite) == (False, False)


@pytest.mark.parametrize(
    ("flag", "values"),
    [("--head-learning-rate", ["0", "-1", "nan", "inf"]), ("--r-drop", ["-1", "nan", "inf"])],
)
def test_rate_of_heads_and_weight_of_r_drop_are_checked(flag: str, values: list[str]) -> None:
    for value in values:
        assert flag.removeprefix("--").replace("-", "_") in error_of(*OWN_DATA, flag, value)


def test_embedded_job_has_one_rate_for_all_that_is_new() -> None:
    assert "head_learning_rate" in error_of("--head-learning-rate", "1e-3")


def test_flags_that_are_not_about_data_keep_the_quickstart() -> None:
    config = parse("--max-steps", "5", "--output-dir", "x")
    assert config.recipe == "quickstart"
    assert config.train.max_steps == 5


@pytest.mark.parametrize("flags", [OWN_DATA, ["--train-data", "t.json"]])
def test_own_data_mean_custom(flags: list[str]) -> None:
    config = parse(*flags)
    assert config.recipe == "custom"
    assert config.data.train_data == "t.json"
    assert config.model.model == ("m" if "m" in flags else "klue/bert-base")


def test_dashes_and_underscores_are_the_same() -> None:
    dashes = parse("--max-seq-length", "99", "--output-dir=my_dir", *OWN_DATA)
    underscores = parse("--max_seq_length", "99", "--output_dir=my_dir", *OWN_DATA)
    mixed = parse("--max_seq-length=99", "--output_dir", "my_dir", *OWN_DATA)
    assert dashes == underscores == mixed
    assert dashes.windows.max_seq_length == 99
    assert dashes.output.output_dir == "my_dir"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("--model_name_or_path m --train_file t.json", "--model m --train-data t.json"),
        ("--validation_file=e.json --lr 1e-4", "--eval-data e.json --learning-rate 1e-4"),
        ("--bf16", "--precision bf16"),
        ("--fp16 True", "--precision fp16"),
        ("--fp16=false --bf16=1", "--precision bf16"),
        ("--no_cuda", "--device cpu"),
        ("--use_cpu", "--device cpu"),
        ("--lr_scheduler_type linear", "--lr-scheduler linear"),
        # transformers' "constant" has no warm-up, whatever the ratio.
        ("--lr_scheduler_type constant", "--lr-scheduler constant --warmup-ratio 0"),
        ("--lr_scheduler_type constant_with_warmup", "--lr-scheduler constant"),
        ("--overwrite_output_dir --output_dir x", "--overwrite --output-dir x"),
        ("--dataloader_num_workers 2", "--num-workers 2"),
        ("--eval_strategy epoch", "--eval-steps epoch"),
        ("--evaluation_strategy steps --eval_steps 7", "--eval-steps 7"),
        ("--save_strategy epoch", "--save-steps epoch"),
        ("--doc_stride 64 --n_best_size 5", "--window-overlap 64 --n-best-size 5"),
        ("--max_train_samples 9", "--max-train-examples 9"),
        ("--max_eval_samples 9", "--max-eval-examples 9"),
    ],
)
def test_flags_of_transformers_are_taken_and_said_in_a_line(
    theirs: str, ours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with_model = [] if "model" in theirs else OWN_DATA
    command = parse_command(*theirs.split(), *with_model)
    lines = capsys.readouterr().out.splitlines()
    assert command == parse_command(*ours.split(), *with_model)
    given = [text.partition("=")[0].replace("_", "-") for text in theirs.split()]
    assert [line.split()[0] for line in lines] == [flag for flag in given if flag in KNOWN_FLAGS]
    assert all(line.endswith("here") for line in lines)


def test_a_checkpoint_to_resume_from_by_the_name_of_transformers(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoints" / "step-00000005"
    checkpoint.mkdir(parents=True)
    command = parse_command("--resume_from_checkpoint", str(checkpoint), *OWN_DATA)
    assert command.resume == checkpoint
    assert command.config.output.output_dir == str(tmp_path)


def test_flags_of_transformers_that_have_no_equal_say_what_to_do() -> None:
    for flag, what in KNOWN_FLAGS.items():
        if isinstance(what, Answer):
            assert error_of(*OWN_DATA, flag, "7") == f"{flag}: {what.line}"
    with pytest.raises(UserError) as error:  # all at once
        parse_arguments(["--do_train", "--max_steps", "3", "--report_to=none", "--do_train"])
    lines = str(error.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["--do-train", "--report-to"]


def test_what_is_known_leads_to_flags_that_are_there() -> None:
    ours = make_parser()._option_string_actions.keys()
    for known, what in KNOWN_FLAGS.items():
        assert known not in ours
        texts = [str(part) for part in what] if isinstance(what, Choice) else [str(what[0])]
        # Those of other programs stand in quotes.
        named = re.findall(r"--[a-z][a-z0-9-]*", re.sub("`.*?`", "", " ".join(texts)))
        assert set(named) - {"--data"} <= ours, known


def test_a_flag_of_ours_goes_before_a_known_one() -> None:
    parser = Parser(known={"--seed": Answer("no"), "--old": Same("--seed")})
    parser.add_argument("--seed", type=int)
    assert parser.parse_args(["--seed", "3"]).seed == 3
    assert parser.parse_args(["--old", "-3"]).seed == -3


def test_a_known_flag_and_ours_are_not_both_taken() -> None:
    for flags in (
        "--bf16 --fp16",
        "--bf16 --precision bf16",
        "--eval-steps 3 --eval-strategy epoch",
    ):
        first, second = re.findall(r"--[a-z0-9-]+", flags)
        assert error_of(*flags.split()) == f"pass {first} or {second}, not both"
    assert parse("--seed", "1", "--seed", "2").train.seed == 2


def test_a_switch_takes_true_or_false() -> None:
    assert error_of("--bf16=maybe") == "--bf16 is true or false, not 'maybe'"
    assert parse("--bf16", "False") == parse()


def test_a_flag_wins_over_the_recipe_and_the_recipe_over_the_default() -> None:
    recipe = ["--recipe", "klue-bert-korquad-512"]
    default, named = parse("--model", "m", "--train-data", "t"), parse(*recipe)
    flagged = parse(*recipe, "--per-device-train-batch-size", "4")
    sizes = [c.data.per_device_train_batch_size for c in (default, named, flagged)]
    assert sizes == [16, 8, 4]
    assert flagged.windows.max_seq_length == named.windows.max_seq_length == 512


def test_a_flag_wins_over_the_config_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    values = {"model": "m", "train_data": "t", "seed": 7, "learning_rate": 1, "max_steps": None}
    path = config_file(tmp_path / "c.json", values)
    config = parse("--config", path, "--seed", "8", "--max-steps", "3")
    assert (config.train.seed, config.train.max_steps, config.train.learning_rate) == (8, 3, 1)
    assert config.train.num_train_epochs == 2


def test_a_flag_can_take_back_what_a_recipe_set() -> None:
    config = parse("--recipe", "klue-bert-korquad", "--early-stopping-patience", "none")
    assert RECIPES["klue-bert-korquad"][1]["early_stopping_patience"] == 3
    assert config.evaluation.early_stopping_patience is None


@pytest.mark.parametrize("text", ["-1e8", "-1E+8", "-100000000", "-.5", "-5.", "-1_000", "-2.5e-3"])
@pytest.mark.parametrize("flag", ["--null-score-diff-threshold", "--null_score_diff_threshold"])
def test_negative_numbers_in_any_notation(flag: str, text: str) -> None:
    """Some of these argparse alone would take for flags."""
    for flags in ([flag, text], [f"{flag}={text}"]):
        config = parse(*flags, *OWN_DATA)
        assert config.decoding.null_score_diff_threshold == float(text)
        options = qa.cli.evaluate.make_parser().parse_args(["m", *flags, "--data", "d.json"])
        assert options.null_score_diff_threshold == float(text)
        assert (options.model, options.data) == ("m", "d.json")
    # verify_resume hands on the flags that it does not know.
    _, flags = Parser().parse_known_args(["--kills", "2", flag, text, *OWN_DATA])
    assert parse(*flags[2:]).decoding.null_score_diff_threshold == float(text)


def test_what_is_no_negative_number_stays_apart() -> None:
    parser = Parser()
    parser.add_argument("numbers", nargs="*")
    parser.add_argument("--yes", action="store_true")
    assert parser.parse_args(["--", "-5", "-1e8"]).numbers == ["-5", "-1e8"]
    assert parser.parse_args(["-5", "--yes"]).numbers == ["-5"]
    with pytest.raises(UserError, match="--yes"):
        parser.parse_args(["--yes", "-5"])
    for text in ("-inf", "-nan", "-x"):
        with pytest.raises(UserError, match="null-score-diff-threshold"):
            qa.cli.evaluate.make_parser().parse_args(
                ["m", "--data", "d", "--null-score-diff-threshold", text]
            )
    message = error_of("--null-score-diff-threshold", "-1e10", *OWN_DATA)
    assert "between -1e9 and 1e9, not -10000000000.0" in message


@pytest.mark.parametrize("recipe", RECIPES)
def test_config_json_gives_the_configuration_of_its_recipe_again(
    tmp_path: Path, recipe: str
) -> None:
    config = parse("--recipe", recipe, "--seed", "7")
    assert config.flat().keys() == {"recipe", *config_fields()}
    assert RECIPES[recipe][1].items() <= config.flat().items()
    again = parse("--config", config_file(tmp_path / "config.json", config.flat()))
    assert again == config


@pytest.mark.parametrize("is_resume", [False, True])
def test_the_config_of_a_run_of_before_there_was_a_pair_head_trains_without_it(
    tmp_path: Path, is_resume: bool
) -> None:
    """Runs name all settings; a file that a person wrote has the defaults of today."""
    flags = ["--resume", "--output-dir", str(tmp_path)] if is_resume else ["--config"]
    flags += [] if is_resume else [str(tmp_path / "config.json")]
    whole = parse(*OWN_DATA).flat()
    old = {name: value for name, value in whole.items() if name != "pair_head"}
    for values, expected in (
        (whole, True),
        (old, False),
        ({**old, "pair_head": True}, True),
        ({"model": "m", "train_data": "t.json", "seed": 3}, True),
    ):
        config_file(tmp_path / "config.json", values)
        assert parse(*flags).model.pair_head is expected


@pytest.mark.parametrize("name", ["training.md", "training.ko.md"])
def test_the_page_on_training_lists_the_recipes(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    table = text[text.index("--list-recipes") :].split("\n\n")[1]
    assert re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE) == list(RECIPES)


def test_a_recipe_says_that_its_values_were_not_measured() -> None:
    line, values = RECIPES["korquad-r-drop"]
    assert values["r_drop"] == 1.0
    assert "not measured" in line


def test_resume_alone_takes_up_the_configuration_of_the_run(tmp_path: Path) -> None:
    config = parse(*OWN_DATA, "--seed", "7", "--output-dir", str(tmp_path))
    config_file(tmp_path / "config.json", config.flat())
    command = parse_command("--resume", "--output-dir", str(tmp_path))
    assert command.config == config
    assert command.resume
    longer = parse("--resume", "--output-dir", str(tmp_path), "--num-train-epochs", "9")
    assert (longer.train.num_train_epochs, longer.train.seed) == (9, 7)


def test_the_quickstart_does_not_take_the_place_of_another_run_unasked(tmp_path: Path) -> None:
    """Who passes --overwrite like --resume, without the run's flags, means that run."""
    saved = config_file(tmp_path / "config.json", {**parse(*OWN_DATA).flat(), "seed": 7})
    place = ["--overwrite", "--output-dir", str(tmp_path)]
    assert f"pass --config {saved}" in error_of(*place)
    again = parse_command(*place, "--config", saved)
    assert (again.overwrite, again.config.train.seed, again.config.recipe) == (True, 7, "custom")
    assert parse(*place, "--recipe", "quickstart").recipe == "quickstart"
    config_file(tmp_path / "config.json", parse().flat())
    assert parse(*place).recipe == "quickstart"


def test_resume_with_a_recipe_takes_the_recipe(tmp_path: Path) -> None:
    config_file(tmp_path / "config.json", parse(*OWN_DATA, "--seed", "7").flat())
    config = parse("--resume", "--output-dir", str(tmp_path), "--recipe", "quickstart")
    assert (config.recipe, config.train.seed) == ("quickstart", 42)


def test_steps_are_a_number_or_the_word_epoch() -> None:
    config = parse("--eval-steps", "25", "--save-steps", "epoch")
    assert (config.evaluation.eval_steps, config.output.save_steps) == (25, "epoch")


def test_epochs_are_whole_or_not(tmp_path: Path) -> None:
    for text, value in (("3", 3), ("1.5", 1.5), ("0.25", 0.25)):
        epochs = parse("--num-train-epochs", text).train.num_train_epochs
        assert (epochs, type(epochs)) == (value, type(value))  # config.json has 3, not 3.0
        path = config_file(tmp_path / "c.json", {"num_train_epochs": value})
        assert parse("--config", path, *OWN_DATA).train.num_train_epochs == value


def test_warm_up_is_a_number_of_steps_or_a_share_of_them(tmp_path: Path) -> None:
    """A flag takes the place of the other kind in a recipe or a file."""
    recipe = ["--recipe", "klue-bert-korquad"]
    assert parse(*recipe).train.warmup_steps is None
    steps = parse(*recipe, "--warmup-steps", "50")
    assert (steps.train.warmup_steps, steps.train.warmup_ratio) == (50, 0.1)
    path = config_file(tmp_path / "c.json", steps.flat())
    assert parse("--config", path).train.warmup_steps == 50
    share = parse("--config", path, "--warmup-ratio", "0.2").train
    assert (share.warmup_steps, share.warmup_ratio) == (None, 0.2)


def test_a_setting_that_is_on_or_off_has_two_flags(tmp_path: Path) -> None:
    assert parse().output.async_save is False
    for flag in ("--async-save", "--async_save"):
        assert parse(flag).output.async_save is True
    path = config_file(tmp_path / "c.json", parse("--async-save", *OWN_DATA).flat())
    assert parse("--config", path).output.async_save is True
    assert parse().model.character_boundaries is True
    assert parse("--no-character-boundaries").model.character_boundaries is False
    for flag in ("--no-async-save", "--no_async_save"):
        assert parse("--config", path, flag).output.async_save is False


def test_list_recipes_is_no_run() -> None:
    assert parse_arguments(["--list-recipes"]) is None


BAD_VALUES = [
    ("per_device_train_batch_size", "0"),
    ("per_device_train_batch_size", "1.5"),
    ("per_device_eval_batch_size", "0"),
    ("gradient_accumulation_steps", "0"),
    ("max_steps", "0"),
    ("max_steps", "many"),
    ("num_train_epochs", "0"),
    ("num_train_epochs", "-0.5"),
    ("num_train_epochs", "nan"),
    ("freeze", ""),
    ("num_train_epochs", "inf"),
    ("warmup_steps", "-1"),
    ("warmup_steps", "0.5"),
    ("adam_beta1", "1"),
    ("adam_beta2", "-0.1"),
    ("adam_beta2", "nan"),
    ("adam_epsilon", "-1"),
    ("negative_window_ratio", "2"),
    ("negative_window_ratio", "nan"),
    ("holdout", "0"),
    ("holdout", "0.9"),
    ("holdout", "nan"),
    ("precision", "foo"),
    ("lr_scheduler", "foo"),
    ("metric_for_best_model", "foo"),
    ("learning_rate", "nan"),
    ("learning_rate", "inf"),
    ("learning_rate", "0"),
    ("learning_rate", "-1"),
    ("learning_rate", "fast"),
    ("learning_rate", "-1e-3"),
    ("weight_decay", "-1"),
    ("weight_decay", "nan"),
    ("max_grad_norm", "inf"),
    ("warmup_ratio", "1.1"),
    ("warmup_ratio", "nan"),
    ("eval_steps", "0"),
    ("eval_steps", "often"),
    ("save_steps", "-5"),
    ("save_total_limit", "0"),
    ("early_stopping_patience", "0"),
    ("logging_steps", "0"),
    ("attention_dropout", "1"),
    ("hidden_dropout", "nan"),
    ("max_seq_length", "0"),
    ("window_overlap", "-1"),
    ("max_question_length", "0"),
    ("max_train_examples", "0"),
    ("max_eval_examples", "0"),
    ("n_best_size", "0"),
    ("max_answer_length", "0"),
    ("seed", "-1"),
    ("seed", "18446744073709551616"),  # 2^64: torch takes no such seed
    ("num_workers", "-1"),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_bad_value_is_refused_by_the_name_of_its_setting(name: str, value: str) -> None:
    message = error_of(f"--{name}", value, *OWN_DATA)
    assert name in message.replace("-", "_")
    assert value.replace("-1e-3", "-0.001") in message


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--recipe", "nonsense"], ["nonsense", "quickstart", "korquad-r-drop"]),
        (["--recipe", ""], ["recipe", "quickstart"]),
        (["--recipe", "custom"], ["--train-data"]),
        (["--lerning-rate", "1"], ["--lerning-rate", "did you mean --learning-rate"]),
        (["--max_step=3"], ["--max-step", "did you mean --max-steps"]),
        (["--xyzzy", "1"], ["--xyzzy", "--help"]),
        (["--max_length", "1"], ["--max-seq-length or --max-question-length or --max-answer-"]),
        (["--batch-size", "1"], ["--per-device-train-batch-size or --per-device-eval-batch-size"]),
        (["--steps", "1"], ["--steps; see --help"]),  # six flags have the word
        (["--seeed", "1"], ["did you mean --seed?"]),
        (["--resumes", "1"], ["did you mean --resume?"]),
        (["--freezer", "1"], ["did you mean --freeze?"]),
        (["--ema", "1"], ["--ema; see --help"]),
        (["--lr-decay", "1"], ["--lr-decay; see --help"]),
        (["--eval_strategy", "no"], ["--eval-strategy no", "--eval-steps"]),
        (["--eval_strategy"], ["--eval-strategy:", "--eval-steps"]),
        # Of transformers it means every --logging_steps, or 500; here the default is an epoch.
        (["--eval_strategy", "steps"], ["--eval-strategy steps", "use --eval-steps N"]),
        (["--save_strategy=steps"], ["--save-strategy steps", "use --save-steps N"]),
        (["--lr_scheduler_type", "polynomial"], ["polynomial", "cosine, linear or constant"]),
        (["stray"], ["stray"]),
        ([""], ["an argument is empty"]),
        (["--resume", ""], ["--resume is empty"]),
        (["--async-save", "yes"], ["yes"]),  # it takes no value
        (["--seed"], ["--seed"]),
        (["--holdout", "0.2", "--eval-data", "e.json"], ["holdout", "eval_data"]),
        (["--resume", "--overwrite", "--output-dir", "x"], ["--resume", "--overwrite"]),
        (["--resume"], ["--resume", "--output-dir"]),
        (["--resume", "--output-dir", "none"], ["--resume", "--output-dir"]),
        (["--recipe", "quickstart", "--config", "c.json"], ["--recipe", "--config"]),
        (["--warmup-steps", "9", "--warmup-ratio", "0.2"], ["--warmup-steps", "--warmup-ratio"]),
        (["--model", "m"], ["--train-data"]),
        (["--model", "embedded", "--train-data", "t.json"], ["embedded", "--model"]),
        (["--train-data", "embedded"], ["embedded", "--train-data"]),
        (["--recipe", "quickstart", "--train-data", "t.json"], ["embedded", "--train-data"]),
        (["--recipe", "quickstart", "--model", "m"], ["embedded", "--model"]),
        (
            [*OWN_DATA, "--cuda-graphs", "auto", "--gradient-checkpointing"],
            ["cuda_graphs", "gradient_checkpointing"],
        ),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    arguments: list[str], named: list[str]
) -> None:
    message = error_of(*arguments)
    assert all(name in message for name in named), message


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1]", "object"),
        (b'{"lerning_rate": 1}', "lerning_rate"),
        (b'{"seed": "7"}', "seed"),
        (b'{"seed": 7.5}', "seed"),
        (b'{"seed": true}', "seed"),
        (b'{"seed": null}', "seed"),
        (b'{"train_data": 3}', "train_data"),
        (b'{"max_steps": []}', "max_steps"),
        (b'{"eval_steps": null}', "eval_steps"),
        (b'{"async_save": "yes"}', "async_save"),
        (b'{"async_save": 1}', "async_save"),
        (b'{"recipe": 3, "train_data": "t", "model": "m"}', "recipe"),
        (b'{"recipe": ["a"], "train_data": "t", "model": "m"}', "recipe"),
    ],
)
@pytest.mark.parametrize("is_resume", [False, True])
def test_a_bad_config_file_is_refused_by_its_name(
    tmp_path: Path, content: bytes, named: str, is_resume: bool
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    flags = ["--resume", "--output-dir", str(tmp_path)] if is_resume else ["--config", str(path)]
    message = error_of(*flags)
    assert str(path) in message
    assert named in message


def test_a_config_file_with_a_value_out_of_range_is_refused(tmp_path: Path) -> None:
    values = {**parse().flat(), "learning_rate": float("nan")}
    assert "learning_rate" in error_of("--config", config_file(tmp_path / "c.json", values))


def test_a_config_file_that_is_missing_or_a_directory_is_refused(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "absent.json", "no such file"), (tmp_path, "is a directory")):
        assert f"{path}: {reason}" in error_of("--config", str(path))


def test_resume_without_a_saved_configuration_takes_the_flags(tmp_path: Path) -> None:
    config = parse("--resume", "--output-dir", str(tmp_path), *OWN_DATA)
    assert (config.recipe, config.data.train_data) == ("custom", "t.json")


def test_every_setting_has_a_help_text_and_a_flag() -> None:
    assert sorted(config_fields()) == sorted(name.replace("-", "_") for name in SETTINGS)
    for name, field in config_fields().items():
        assert field.metadata["help"].strip(), name
        assert "\n" not in field.metadata["help"], name


def test_help_lists_every_flag_without_importing_torch() -> None:
    done = run_train("--help")
    listed = re.findall(r"^  (?:-h, )?--([a-z0-9-]+)", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted([*SETTINGS, *COMMANDS, "help"])
    assert "--async-save, --no-async-save" in done.stdout


def test_list_recipes_names_every_recipe_without_importing_torch() -> None:
    lines = run_train("--list-recipes").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(text in line for line, (text, _) in zip(lines, RECIPES.values(), strict=True))


def run_train(flag: str) -> subprocess.CompletedProcess[str]:
    """`python train.py FLAG`, which must succeed without anything heavy."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "train.py", flag],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "qa.cli.train_flags" in imported  # so the trace was parsed
    heavy = {"torch", "numpy", "transformers", "datasets", "tqdm", "tensorboard"}
    assert not heavy & {name.partition(".")[0] for name in imported}
    return done


def test_a_mistake_ends_with_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--max-steps", "0"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: max_steps must be at least 1, not 0\n"
