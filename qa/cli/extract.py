"""Make a reader of any checkpoint, as best/ holds it.

python -m qa extract runs/korquad/checkpoints/step-00000400 --output-dir reader-400
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qa.cli.parser import Parser, run_command
from qa.cli.startup import no_collection, prepare_hub
from qa.config import EMBEDDED, Config, config_from_flat, read_config_file
from qa.engine.errors import require
from qa.evaluation.null_threshold import DEFAULT_THRESHOLD
from qa.outputs.directory import BEST, CONFIG_FILE, check_output

if TYPE_CHECKING:
    from qa.answering.reader import Reader


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m qa extract`."""
    parser = Parser(
        prog="python -m qa extract",
        description="Make a reader of a checkpoint of train.py, in the form of best/: `qa predict`,"
        " `qa evaluate`, Reader and transformers load it.",
    )
    parser.add_argument(
        "checkpoint", help="a checkpoint, e.g. runs/korquad/checkpoints/step-00000400"
    )
    parser.add_argument("--output-dir", required=True, help="gets the reader; must not exist")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    return run_command(lambda: extract(make_parser().parse_args(arguments)))


def extract(options: argparse.Namespace) -> None:
    """Load the checkpoint's weights into the model of its run, and save that as a reader."""
    checkpoint, output = Path(options.checkpoint), Path(options.output_dir)
    run = checkpoint.resolve().parent.parent  # of "/" it is "/"
    require(
        checkpoint.is_dir() and (run / CONFIG_FILE).is_file(),
        f"{checkpoint}: is no checkpoint of a run, such as RUN/checkpoints/step-00000400",
    )
    require(not output.exists(), f"{output}: exists; name another --output-dir")
    check_output(options.output_dir, resume=None, overwrite=False)
    config = config_from_flat(read_config_file(run / CONFIG_FILE))
    prepare_hub(config.model.model, config.data.train_data)
    with no_collection():
        from qa.engine.atomic_files import replace_directory
        from qa.engine.checkpoint import load_checkpoint
        from qa.engine.full_state import require_same_model

        weights = load_checkpoint(checkpoint)["run"]["model"]
        reader = empty_reader(config, run)
    require_same_model(reader.model, weights)
    reader.model.load_state_dict(weights)
    with replace_directory(output) as directory:
        reader.save_pretrained(directory)
    print(f"output: {output}")
    own = config.decoding.null_score_diff_threshold
    if own is None and reader.null_score_diff_threshold is not None:
        print(
            f"null_score_diff_threshold: {reader.null_score_diff_threshold:g}; {BEST}/ may have"
            " another, which was tuned for its weights"
        )


def empty_reader(config: Config, run: Path) -> Reader:
    """Return a reader with a run's model, tokenizer and settings; its weights are any.

    It is best/ if there is one, else what the run started from. Thresholds and a temperature that
    were tuned for best/ do not hold for other weights: the configured ones are taken, if any, else
    the usual threshold if best/ leaves questions unanswered.
    """
    import torch

    from qa.answering.answerer import make_answerer
    from qa.answering.options import CollectionOptions
    from qa.answering.reader import Reader
    from qa.engine.precision import Precision
    from qa.training.load import load_model, read_data

    if (run / BEST).is_dir():
        reader = Reader.from_pretrained(run / BEST, device="cpu", precision="fp32")
        own = config.decoding.null_score_diff_threshold
        if own is None and reader.null_score_diff_threshold is not None:
            own = DEFAULT_THRESHOLD
        reader.null_score_diff_threshold = own
        reader.collection = CollectionOptions()
        reader.answerer.options = replace(
            reader.answerer.options, temperature=config.decoding.temperature
        )
        return reader
    examples = read_data(config)[0] if config.model.model == EMBEDDED else []
    tokenizer, model = load_model(config, examples)
    precision = Precision("fp32", torch.device("cpu"))
    longest = config.windows.max_seq_length
    answerer = make_answerer(model, longest, config.decoding, precision, tokenizer=tokenizer)
    return Reader(answerer, tokenizer, config.windows)
