"""Compiling an encoder's layers: one program for all of them and for any number of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from qa.engine.errors import cut, require
from qa.models.packing.gpu_attention import attend_flash
from qa.models.packing.segments import Attend


def compile_layers(encoder: nn.Module, attend: Attend | None, backend: Any = "inductor") -> None:
    """Compile the layers of an encoder in place; the names of their weights stay as they are.

    Args:
        encoder: transformers' base model, on its device.
        attend: Attends there; None: windows are not packed.
        backend: What `torch.compile` compiles with.

    Raises:
        UserError: This cannot be compiled here. Nothing has been changed then.
    """
    require(
        attend is attend_flash,
        "compile: needs packed windows and torch's flash attention, i.e. bf16 or fp16 on an NVIDIA"
        " GPU of compute capability 8.0 or more; leave --compile out",
    )
    if backend == "inductor":
        require_compiler()
    for layer in layers(encoder):
        # Dynamic, or every number of tokens would be a program of its own.
        layer.compile(dynamic=True, fullgraph=True, backend=backend)


def require_compiler() -> None:
    """Raise UserError unless torch.compile works for this machine's GPU: it needs Triton."""
    try:
        doubled = torch.compile(lambda x: x * 2 + 1)(torch.ones(3, device="cuda"))
    except Exception as error:  # Triton, the C compiler and Inductor raise their own
        require(
            False,
            f"compile: torch.compile does not work here ({cut(str(error))}); it needs Triton and a"
            " C compiler; install them, or leave --compile out",
        )
    require(doubled.tolist() == [3.0] * 3, "compile: torch.compile computes wrong numbers here")


def layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the members of the uppermost lists of modules: an encoder's layers, in their order."""
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else layers(child)
