"""The whole configuration, and its flat form: one value per field name, as in config.json."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qa.answering.options import DecodeOptions
from qa.config.sections import (
    EMBEDDED,
    GENERATIVE,
    DataConfig,
    EvalConfig,
    ModelConfig,
    OutputConfig,
)
from qa.data.windows.options import WindowOptions
from qa.engine.config import TrainConfig, from_values
from qa.engine.errors import require
from qa.engine.json_files import read_json


@dataclass(frozen=True)
class Config:
    """All sections together; field names are unique across them, so that flags are flat."""

    recipe: str = "custom"
    data: DataConfig = field(default_factory=DataConfig)
    windows: WindowOptions = field(default_factory=WindowOptions)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    decoding: DecodeOptions = field(default_factory=DecodeOptions)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        require(
            self.data.train_data is not None,
            "no training data: pass --train-data FILE, or a --recipe that names its data",
        )
        require(
            (self.data.train_data == EMBEDDED) == (self.model.model == EMBEDDED),
            "the embedded data and the embedded model go together: with --train-data pass --model,"
            " and the other way round",
        )
        require(
            self.train.cuda_graphs == "off" or not self.model.gradient_checkpointing,
            "cuda_graphs does not go with gradient_checkpointing, which reads random generators in"
            " the middle of a step; leave one of them out",
        )
        self._check_reader()
        if self.model.model == EMBEDDED:
            names = ("attention_dropout", "hidden_dropout", "head_learning_rate")
            values = [getattr(self.model, name) for name in names]
            require(
                values == [getattr(ModelConfig, name) for name in names]
                and self.data.holdout is None,
                "attention_dropout, hidden_dropout, head_learning_rate and holdout do not apply to"
                " the embedded job, which makes its own model and held-out part",
            )

    def _check_reader(self) -> None:
        """Raise UserError for settings that the other reader has."""
        is_generative = self.model.reader == GENERATIVE
        refused = {
            "r_drop": self.model.r_drop != 0,
            "cuda_graphs": self.train.cuda_graphs != "off",
            "sharding": self.train.sharding != "none",
        }
        of_the_other = {
            "decoding": self.decoding.decoding is not None,
            "decoder_layers": self.model.decoder_layers != ModelConfig.decoder_layers,
            "span_loss_weight": self.model.span_loss_weight != ModelConfig.span_loss_weight,
        }
        names = [n for n, given in (refused if is_generative else of_the_other).items() if given]
        other = "span" if is_generative else "generative"
        require(
            not names,
            f"{', '.join(names)}: of --reader {other} only; leave out what is not of --reader"
            f" {self.model.reader}, or pass 0 or off for what the recipe sets",
        )

    def flat(self) -> dict[str, Any]:
        """Return every value by its field name, as config.json holds them."""
        values: dict[str, Any] = {"recipe": self.recipe}
        for name in SECTIONS:
            values.update(dataclasses.asdict(getattr(self, name)))
        return values


OLD_VALUES: dict[str, Any] = {"pair_head": False}
"""What runs did before there was a setting, where the default says otherwise; for the others that
came later see `qa.training.resume`"""

SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "windows": WindowOptions,
    "model": ModelConfig,
    "train": TrainConfig,
    "evaluation": EvalConfig,
    "decoding": DecodeOptions,
    "output": OutputConfig,
}


def config_fields() -> dict[str, dataclasses.Field[Any]]:
    """Return the fields of all sections by name."""
    return {f.name: f for section in SECTIONS.values() for f in dataclasses.fields(section)}


def config_from_flat(values: dict[str, Any]) -> Config:
    """Make a Config of flat values; UserError if one is wrong.

    Fields that are not named keep their defaults.
    """
    known = config_fields()
    unknown = sorted(values.keys() - known.keys() - {"recipe"})
    require(not unknown, f"unknown settings: {', '.join(unknown)}")
    sections: dict[str, Any] = {
        name: from_values(section, values) for name, section in SECTIONS.items()
    }
    return Config(recipe=values.get("recipe", "custom"), **sections)


def read_config_file(path: Path) -> dict[str, Any]:
    """Read the flat values of a config.json; UserError if it is none or has a wrong type.

    What a run of an older qa wrote has OLD_VALUES where it names nothing else.
    """
    values = read_json(path, "settings")
    known = config_fields()
    recipe = values.get("recipe", "custom")
    require(
        isinstance(recipe, str) and recipe.replace("-", "").isalnum(),
        f"{path}: recipe must be a name, not {json.dumps(recipe)}",
    )
    for name, value in values.items():
        if name != "recipe":
            require(name in known, f"{path}: unknown setting {name!r}")
            require(
                fits_type(value, str(known[name].type)),
                f"{path}: {name} must be {known[name].type}, not {json.dumps(value)}",
            )
    # A run names its recipe and every setting that there was, a person those that matter.
    return {**OLD_VALUES, **values} if "recipe" in values else values


def fits_type(value: Any, annotation: str) -> bool:
    """Return whether a JSON value has a field's type, such as "int | None"."""
    kinds: dict[str, Any] = {
        "int": int,
        "float": (int, float),
        "str": str,
        "bool": bool,
        "None": type(None),
    }
    if isinstance(value, bool):
        return annotation == "bool"
    return any(isinstance(value, kinds[name]) for name in annotation.split(" | "))
