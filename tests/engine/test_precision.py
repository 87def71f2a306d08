"""Which CPUs multiply in bf16."""

from __future__ import annotations

import pytest
import torch
from support.regression import make_run

from qa.engine import UserError
from qa.engine.precision import resolve_precision

CPU = torch.device("cpu")
PROBES = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")

CASES = [
    ({"avx512_bf16": True, "amx_tile": False}, "bf16"),
    ({"avx512_bf16": False, "amx_tile": True}, "bf16"),
    ({"avx512_bf16": False, "amx_tile": False}, "fp32"),
    ({"avx512_f": True, "amx_fp16": True}, "fp32"),
    ({"architecture": "aarch64", "bf16": True}, "fp32"),  # measured on x86 alone
]


@pytest.mark.parametrize(("capabilities", "expected"), CASES)
def test_auto_is_bf16_where_the_cpu_has_it(
    capabilities: dict[str, object], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch's public function alone, without the private probes."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    for probe in PROBES:
        monkeypatch.delattr(torch.cpu, probe, raising=False)
    assert resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize("found", [[], [0], [1], [0, 1]])
def test_the_same_in_releases_without_it(found: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for number, probe in enumerate(PROBES):
        monkeypatch.setattr(torch.cpu, probe, lambda has=number in found: has, raising=False)
    assert resolve_precision("auto", CPU) == ("bf16" if found else "fp32")


def test_this_torch_can_be_asked() -> None:
    is_known = hasattr(torch.cpu, "get_capabilities") or all(
        hasattr(torch.cpu, probe) for probe in PROBES
    )
    assert is_known, f"torch {torch.__version__}: nothing says whether a CPU has bf16"
    if hasattr(torch.cpu, "get_capabilities"):
        names = torch.cpu.get_capabilities()
        if names["architecture"] == "x86_64":
            assert {"avx512_bf16", "amx_tile"} <= names.keys()


def test_loss_scaling_and_sharding_do_not_go_together_even_if_nobody_asked_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qa.engine.precision.cpu_multiplies_bf16", lambda: False)
    monkeypatch.setattr("qa.engine.precision.resolve_precision", lambda *_: "fp16")  # as on a T4
    with pytest.raises(UserError, match="sharding fsdp does not go with precision fp16"):
        make_run(sharding="fsdp", precision="auto")
