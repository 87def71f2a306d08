"""Which function attends on a device: the fastest that computes there what it should.

Kernels of a GPU differ by its generation and by the release of torch, so they are tried where they
will run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from qa.engine.errors import UserError, cut, notice, out_of_memory
from qa.engine.modes import evaluating
from qa.engine.precision import Precision
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.gpu_attention import attend_flash, attend_padded
from qa.models.packing.probe import two_windows
from qa.models.packing.segments import Attend
from qa.models.packing.trial import has_local_layers, most_tokens, telling_lengths

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# Tokens of two windows: not multiples of the blocks that kernels work in, so that each window ends
# within a block in which another one begins.
DEVICE_WINDOWS = (131, 70)
FILLER = 23
# Share of the largest score: bf16 has 8 bits. What leaks is found exactly, not by this.
DEVICE_TOLERANCE = 3e-2

DESCRIPTIONS: dict[Attend, str] = {
    attend_on_cpu: "attention window by window",
    attend_flash: "flash attention on packed windows",
    attend_padded: "attention on padded windows, all else packed",
}


def candidates(precision: Precision) -> list[Attend]:
    """Return the functions that may attend on a device, the fastest first.

    None on a CPU, whose own is tried when a model is made.
    """
    if precision.device.type == "cpu":
        return []
    has_flash = precision.device.type == "cuda" and precision.name in ("bf16", "fp16")
    return [attend_flash, attend_padded] if has_flash else [attend_padded]


def choose_attention(
    model: PreTrainedModel,
    score_padded: Callable[..., torch.Tensor],
    score_packed: Callable[..., torch.Tensor],
    precision: Precision,
    attend: dict[str, Attend],
) -> bool:
    """Choose how windows attend on the model's device; return whether they can be packed there.

    Args:
        model: transformers' question-answering model, on the device.
        score_padded: Takes a batch and returns (2, B, T) start and end logits of padded windows.
        score_packed: Returns the same of windows packed end to end.
        precision: The number format of the products.
        attend: Gets the function for this type of device.
    """
    tried = candidates(precision)
    for candidate in tried:
        attend[precision.device.type] = candidate
        reason = why_not(model, score_padded, score_packed, precision)
        if reason is None:
            return True
        notice(f"{DESCRIPTIONS[candidate]} cannot be used on this device ({reason})")
    return not tried


def require_precision(
    model: PreTrainedModel,
    score: Callable[..., torch.Tensor],
    precision: Precision,
    is_packed: bool,
) -> None:
    """Raise UserError if a model cannot be run in a number format, as some of transformers' cannot.

    Args:
        model: transformers' question-answering model, on the device.
        score: Takes a batch and returns (2, B, T) start and end logits.
        precision: The number format of the products.
        is_packed: Whether it packs windows, so that `choose_attention` has run it where there was
            a choice.
    """
    if precision.name == "fp32" or (is_packed and candidates(precision)):
        return
    try:
        with torch.no_grad(), evaluating(model), precision.autocast():
            score(**two_windows(model))
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        raise UserError(
            f"{type(model).__name__}: cannot be run in {precision.name} ({cut(str(error))}); pass"
            " --precision fp32"
        ) from error


def describe_attention(attend: Attend | None, is_alone: bool) -> str:
    """Return in words how windows attend; `attend` is None if they are not packed."""
    if attend is None:
        return "windows of one length at a time" if is_alone else "padded windows"
    return DESCRIPTIONS[attend]


@torch.no_grad()
def why_not(
    model: PreTrainedModel,
    score_padded: Callable[..., torch.Tensor],
    score_packed: Callable[..., torch.Tensor],
    precision: Precision,
) -> str | None:
    """Return why packed windows cannot be scored on the model's device; None if they can.

    A window's scores must be the same bit for bit whatever tokens the window behind it has, and
    those of padded windows but for rounding.

    Args:
        model: transformers' question-answering model, on the device.
        score_padded: Takes a batch and returns (2, B, T) start and end logits of padded windows.
        score_packed: Returns the same of windows packed end to end.
        precision: The number format of the products.
    """
    plain = two_windows(model, trial_lengths(model.config))
    batch, longest = with_filler(plain), plain["lengths"][0]
    others = batch["input_ids"].clone()
    others[longest:] = others[0]
    with evaluating(model), precision.autocast():
        padded = score_padded(**plain)
        try:
            first, second = score_packed(**batch), score_packed(**{**batch, "input_ids": others})
        # An operator that is missing, takes other arguments or refuses this GPU.
        except (AttributeError, TypeError, RuntimeError) as error:
            return cut(str(error))
    if not torch.equal(first[:, 0], second[:, 0]):
        return "a window's scores change with the window behind it"
    is_token = padded.isfinite()
    bound = DEVICE_TOLERANCE * padded[is_token].abs().max()
    # Not `>`: a nan must fail too.
    if not bool((first - padded)[is_token].abs().max() <= bound):
        return "its scores are not those of padded windows"
    return None


def trial_lengths(config: PretrainedConfig) -> tuple[int, int]:
    """Return lengths of two windows that a model has positions for; the first is the longer one."""
    lengths = telling_lengths(config) if has_local_layers(config) else None
    if lengths is not None:
        return lengths
    longest = min(DEVICE_WINDOWS[0], most_tokens(config))
    return longest, max(longest * DEVICE_WINDOWS[1] // DEVICE_WINDOWS[0], 1)


def with_filler(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch of `two_windows` with a filler behind them."""
    ids, (first, second) = batch["input_ids"], batch["lengths"]
    filler = min(FILLER, first)
    behind = 2 * first + torch.arange(filler, device=ids.device)
    edges = [0, first, first + second, first + second + filler]
    nothing = ids.new_zeros(filler)
    return {
        **batch,
        "input_ids": torch.cat((ids, nothing)),
        "slots": torch.cat((batch["slots"], behind)),
        "num_characters": torch.cat((batch["num_characters"], nothing)),
        "bounds": torch.tensor(edges, dtype=torch.int32, device=ids.device),
    }
