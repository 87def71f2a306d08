"""The number format of the matrix products, and the loss scaling that fp16 needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from qa.engine.config import PRECISIONS
from qa.engine.errors import require

AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """The number format of the matrix products on one device, and the loss scaling it needs.

    `name` is "auto", "fp32", "bf16" or "fp16"; UserError if it is something else.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = resolve_precision(name, device)
        self.device = device
        # Only fp16 needs scaling; with bf16 and fp32 every call of the scaler does nothing.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.name == "fp16")

    def restart_scaling(self) -> None:
        """Go on with the same scale, as if no step were in the middle of its unscaling."""
        if self.scaler.is_enabled():
            state = self.scaler.state_dict()
            self.scaler = torch.amp.GradScaler(self.device.type)
            self.scaler.load_state_dict(state)

    def autocast(self, keeps_casts: bool = True) -> AbstractContextManager[None]:
        """Return the context of a forward pass, which does nothing with fp32.

        With `keeps_casts` the weights must not change in it, since their casts are used again.
        """
        dtype = AUTOCAST_DTYPES.get(self.name)
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=dtype, cache_enabled=keeps_casts)


def resolve_precision(name: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16 for "auto", as fits `device`; return any other name as it is."""
    require(name in PRECISIONS, f"precision must be one of {', '.join(PRECISIONS)}, not {name!r}")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and cpu_multiplies_bf16():
        return "bf16"
    return "fp32"


def cpu_multiplies_bf16() -> bool:
    """Return whether this CPU has bf16 dot-product or tile instructions (AVX512_BF16 or AMX).

    Without them bf16 is emulated and slower than fp32. The older releases of torch that qa accepts
    lack the public `get_capabilities` and have two private probes instead.
    """
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_tile"))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)
