"""What a checkpoint may hold: what can be loaded again without running code."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import Any

import torch

from qa.engine.errors import UserError, out_of_memory, shown, type_name

PLAIN = (type(None), bool, int, float, str, torch.Tensor, torch.nn.Parameter)


def require_loadable(value: Any, place: str = "") -> None:
    """Raise UserError unless `torch.load(weights_only=True)` takes this value.

    The message names its place in the whole state, e.g. "tracker.best.f1".
    """
    if type(value) in PLAIN:
        return
    if type(value) in (dict, OrderedDict):  # the second is what a module's state_dict returns
        for key, item in value.items():
            name = f"{place}.{key}".removeprefix(".")
            require_loadable(key, f"the key {name}")
            require_loadable(item, name)
        if type(value) is OrderedDict:  # with its own attributes, as a module's `_metadata`
            require_loadable(vars(value), place)
    elif type(value) in (list, tuple):
        for number, item in enumerate(value):
            require_loadable(item, f"{place}[{number}]")
    else:
        file = io.BytesIO()
        try:
            torch.save(value, file)
            file.seek(0)
            torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # which ones depends on the value
            if out_of_memory(error):
                raise
            raise UserError(
                f"a checkpoint cannot hold {shown(place)}, which is {type_name(value)}: it could"
                " not be loaded again; store tensors and plain values, e.g. float(...)"
            ) from error
