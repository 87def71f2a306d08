"""Which number format the matrix products use, and what that needs."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from qa.engine.config import PRECISIONS
from qa.engine.errors import require

AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """The number format of the matrix products on one device, and the loss scaling it needs.

    Args:
        name: "auto", "fp32", "bf16" or "fp16"; UserError if it is something else.
        device: Where the products are computed.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = resolve_precision(name, device)
        self.device = device
        # fp16 alone needs scaling; for bf16 and fp32 every call of the scaler is a no-op.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.name == "fp16")

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a forward pass; does nothing for fp32."""
        dtype = AUTOCAST_DTYPES.get(self.name)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)


def resolve_precision(name: str, device: torch.device) -> str:
    """Turn "auto" into fp32, bf16 or fp16 for `device`; any other name is returned as it is."""
    require(name in PRECISIONS, f"precision must be one of {', '.join(PRECISIONS)}, not {name!r}")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and cpu_multiplies_bf16():
        return "bf16"
    return "fp32"


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has bf16 dot-product or tile instructions (AVX512_BF16 or AMX).

    Without them bf16 is emulated and slower than fp32. Not all the releases of torch that qa
    accepts have the public `get_capabilities`; those before it have two private probes.
    """
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_tile"))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)
