"""The command line of `train.py`: every configuration field is a flag, plus a few commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qa.cli.known_flags import KNOWN_FLAGS
from qa.cli.option_flags import add_option
from qa.cli.parser import Parser
from qa.config import Config, config_fields, config_from_flat, read_config_file
from qa.engine.console import told_by_main
from qa.engine.errors import require
from qa.outputs.directory import CHECKPOINTS
from qa.outputs.hub import check_upload
from qa.recipes import RECIPES


@dataclass(frozen=True)
class Command:
    """A parsed command line."""

    config: Config
    resume: bool | Path  # True: from the newest checkpoint
    overwrite: bool
    push_to_hub: str | None = None  # the id on the hub that gets best/ in the end
    push_private: bool = False


@told_by_main()
def parse_arguments(arguments: Sequence[str]) -> Command | None:
    """Parse flags into a Command; return None if only the recipes are to be listed.

    Values come from the defaults, then from a recipe or a --config file, then from flags. Without
    any of these the recipe is quickstart. --resume alone starts from OUTPUT/config.json.
    """
    parser = make_parser()
    options = vars(parser.parse_args(arguments))
    if options.pop("list_recipes"):
        return None
    resume, overwrite = options.pop("resume"), options.pop("overwrite")
    recipe, config_file = options.pop("recipe"), options.pop("config")
    hub_id, is_private = options.pop("push_to_hub"), options.pop("push_private")
    require(hub_id is not None or not is_private, "--push-private needs --push-to-hub OWNER/NAME")
    require(not (resume and overwrite), "pass --resume or --overwrite, not both")
    require(recipe is None or config_file is None, "pass --recipe or --config, not both")
    if "warmup_ratio" in options:
        require(
            options.setdefault("warmup_steps") is None,
            "pass --warmup-steps or --warmup-ratio, not both",
        )
    require(resume != "", "--resume is empty: is a variable unset?")
    if resume:
        resume = chosen_checkpoint(resume, options)
        require(options.get("output_dir"), "--resume needs --output-dir: which run to resume")
    base = base_values(options, recipe, config_file, resume)
    if overwrite and recipe is None and config_file is None and base["recipe"] == "quickstart":
        require_quickstart(options.get("output_dir"))
    config = config_from_flat({**base, **options})
    if hub_id is not None:
        check_upload(hub_id)
    return Command(config, resume, overwrite, hub_id, is_private)


def chosen_checkpoint(resume: bool | str, flags: dict[str, Any]) -> bool | Path:
    """Return the checkpoint that --resume names, if it names one; it tells the run's directory."""
    if isinstance(resume, bool):
        return resume
    path = Path(resume)
    require(
        path.parent.name == CHECKPOINTS and path.is_dir(),
        f"{resume}: is no checkpoint; pass RUN/{CHECKPOINTS}/step-00000100 or such, or --resume"
        " --output-dir RUN for the newest one",
    )
    directory = flags["output_dir"] = flags.get("output_dir") or str(path.parents[1])
    require(
        path.parents[1].resolve() == Path(directory).resolve(),
        f"{resume}: is not a checkpoint of --output-dir {directory}; leave one of them out",
    )
    return path


def base_values(
    flags: dict[str, Any], recipe: str | None, config_file: str | None, resume: bool | Path
) -> dict[str, Any]:
    """Return the values that flags override.

    Args:
        flags: Those that were given, by field name.
        recipe: --recipe, if given.
        config_file: --config, if given.
        resume: Whether --resume was given.
    """
    if config_file is not None:
        # Without its directory, which belongs to the run that wrote the file.
        return {**read_config_file(Path(config_file)), "output_dir": None}
    if recipe is None and resume:
        saved = Path(flags["output_dir"]) / "config.json"
        if saved.is_file():
            return read_config_file(saved)
        require(
            "train_data" in flags,
            f"{saved}: is missing, so the settings of the run to resume are not known; pass them"
            " again, or --config",
        )
    if recipe is None:
        has_own_data = "train_data" in flags or "model" in flags
        recipe = "custom" if has_own_data else "quickstart"
    if recipe == "custom":
        return {"recipe": "custom"}
    require(
        recipe in RECIPES,
        f"unknown recipe {recipe!r}; there are {', '.join(RECIPES)} (--list-recipes)",
    )
    return {"recipe": recipe, **RECIPES[recipe][1]}


def require_quickstart(output_dir: str | None) -> None:
    """Raise UserError if the quickstart, which nobody named, would replace a run of other data."""
    saved = Path(output_dir or "") / "config.json"
    if output_dir and saved.is_file():
        recipe = read_config_file(saved).get("recipe")
        require(
            recipe == "quickstart",
            f"{output_dir}: holds a run of the recipe {recipe}, in whose place --overwrite alone"
            f" trains the quickstart; pass --config {saved} to start that run again, or --recipe"
            " quickstart",
        )


def make_parser() -> Parser:
    """Return the parser of train.py: one flag per configuration field, and the commands."""
    parser = Parser(
        prog="train.py",
        description="Train an extractive question-answering reader. Without flags: the embedded"
        " quickstart. The defaults below are those for your own data. Flags may be written with"
        " dashes or underscores; transformers' names of them are understood.",
        known=KNOWN_FLAGS,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--recipe", default=None, help="start from a named configuration")
    parser.add_argument("--list-recipes", action="store_true", default=False, help="name them")
    parser.add_argument("--config", default=None, help="start from the config.json of another run")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="CHECKPOINT",
        help="go on from the newest checkpoint of output_dir, or from this one",
    )
    parser.add_argument(
        "--overwrite", action="store_true", default=False, help="replace the run in output_dir"
    )
    parser.add_argument(
        "--push-to-hub",
        nargs="?",
        const="",
        default=None,
        metavar="OWNER/NAME",
        help="upload best/ to the Hugging Face hub after the run, as `qa push` does",
    )
    parser.add_argument(
        "--push-private", action="store_true", default=False, help="a new repository is private"
    )
    for field in config_fields().values():
        add_option(parser, field)
    return parser
