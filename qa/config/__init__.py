"""The configuration of `train.py`: sections of frozen dataclasses, one flag per field.

Nothing heavy is imported here, so that `--help` prints at once.
"""

from __future__ import annotations

from qa.config.flat import (
    OLD_VALUES,
    Config,
    config_fields,
    config_from_flat,
    read_config_file,
)
from qa.config.sections import (
    EMBEDDED,
    GENERATIVE,
    SPAN,
    DataConfig,
    EvalConfig,
    ModelConfig,
    OutputConfig,
)

__all__ = [
    "EMBEDDED",
    "GENERATIVE",
    "OLD_VALUES",
    "SPAN",
    "Config",
    "DataConfig",
    "EvalConfig",
    "ModelConfig",
    "OutputConfig",
    "config_fields",
    "config_from_flat",
    "read_config_file",
]
