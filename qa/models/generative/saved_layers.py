"""How deep a saved decoder is, so that one like it can be made before its weights are loaded."""

from __future__ import annotations

import re
from pathlib import Path

from qa.models.part_files import damaged


def saved_layers(file: Path) -> int:
    """Return how many layers a saved decoder has; UserError if the file is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as weights:
            numbers = [re.match(r"layers\.layers\.(\d+)\.", name) for name in weights.keys()]  # noqa: SIM118 (it is no dict)
    except (OSError, SafetensorError) as error:
        raise damaged(file, error) from error
    return 1 + max((int(found[1]) for found in numbers if found), default=-1)
