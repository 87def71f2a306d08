"""How well a first and a last token go together as the two ends of one answer.

A span head scores starts and ends apart, so where two answers are in doubt it may begin with one
and end with the other. This head adds to every pair of tokens a score of its own, and its loss is
one softmax over all pairs (Fajcik et al., 2021, "Rethinking the objectives of extractive question
answering").

B: windows, T: tokens of the longest window, F: hidden size, W: widest answer in tokens.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from qa.models.model_io import NULL_TOKEN
from qa.models.part_files import damaged

RANK = 128
BLOCK = 512  # first tokens at a time, so that memory does not grow with T squared


class PairHead(nn.Module):
    """A bilinear form of two tokens' states, of low rank, and a score for each number of tokens.

    New, it scores every pair 0, so that a reader which gets one answers as before.

    Args:
        hidden_size: F.
        width: W.
        rank: Numbers that a state is mapped to before the product.
    """

    def __init__(self, hidden_size: int, width: int, rank: int = RANK) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Linear(hidden_size, rank)
        self.last = nn.Linear(hidden_size, rank)
        self.lengths = nn.Linear(hidden_size, width)
        for part in (self.last, self.lengths):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    def forward(self, states: torch.Tensor, may_end: torch.Tensor) -> torch.Tensor:
        """Score the pairs of each window, (B, T, W) fp32: [b, i, w] of tokens i and i + w.

        A pair that is no answer has score -inf. The scores are those above the pair that says that
        there is no answer, of the first token with itself.

        Args:
            states: (B, T, F) the encoder's last hidden states.
            may_end: (B, T) bool, the tokens in which an answer may begin or end.
        """
        lengths: torch.Tensor
        with torch.autocast(states.device.type, enabled=False):
            states = states.float()
            first, last = self.first(states), self.last(states)
            products = band_of_product(first / math.sqrt(first.shape[2]), last, self.width)
            lengths = self.lengths(states[:, NULL_TOKEN])  # (B, W)
        scores = products + lengths.unsqueeze(1)  # (B, T, W)
        scores = scores - scores[:, NULL_TOKEN, 0, None, None]
        is_answer = may_end.unsqueeze(2) & following(may_end, self.width, False)
        return scores.masked_fill(~is_answer, float("-inf"))

    def widen(self, width: int) -> None:
        """Score answers of up to `width` tokens, those above W by the number W."""
        extra = width - self.width
        if extra > 0:
            weight, bias = self.lengths.weight.detach(), self.lengths.bias.detach()
            self.lengths.weight = nn.Parameter(torch.cat((weight, weight[-1:].expand(extra, -1))))
            self.lengths.bias = nn.Parameter(torch.cat((bias, bias[-1:].expand(extra))))
            self.lengths.out_features = self.width = width


def saved_width(file: Path) -> int:
    """Return W of a saved head; UserError if the file is damaged."""
    from safetensors import safe_open

    try:
        with safe_open(file, "pt") as weights:
            return int(weights.get_slice("lengths.bias").get_shape()[0])
    except Exception as error:  # safetensors' own, without a common base
        raise damaged(file, error) from error


def following(values: torch.Tensor, width: int, fill: float) -> torch.Tensor:
    """Return (B, T, W), [b, i, w] = values[b, i + w], of (B, T), with `fill` behind the last."""
    return F.pad(values, (0, width - 1), value=fill).unfold(1, width, 1)


def band_of_product(first: torch.Tensor, last: torch.Tensor, width: int) -> torch.Tensor:
    """Return (B, T, W), the products of rows i of `first` and i + w of `last`, both (B, T, R).

    Where i + w lies behind the last row, that of the last row is repeated.
    """
    num_tokens = first.shape[1]
    if torch.compiler.is_exporting() or num_tokens <= BLOCK:  # a graph has no loop over tokens
        return band(first @ last.transpose(1, 2), width)
    blocks = [
        band(first[:, i : i + BLOCK] @ last[:, i : i + BLOCK + width - 1].transpose(1, 2), width)
        for i in range(0, num_tokens, BLOCK)
    ]
    return torch.cat(blocks, 1)


def band(matrix: torch.Tensor, width: int) -> torch.Tensor:
    """Return (B, S, W), [b, i, w] = matrix[b, i, i + w], of a matrix (B, S, S or more).

    Where i + w lies behind the last column, the last column is repeated.
    """
    rows = torch.arange(matrix.shape[1], device=matrix.device)
    behind = torch.arange(width, device=matrix.device)
    columns = (rows.unsqueeze(1) + behind).clamp(max=matrix.shape[2] - 1)  # (S, W)
    return matrix.gather(2, columns.expand(matrix.shape[0], -1, -1))


def pair_loss(
    scores: torch.Tensor,
    start_logits: torch.Tensor,
    end_logits: torch.Tensor,
    start_positions: torch.Tensor,
    end_positions: torch.Tensor,
) -> torch.Tensor:
    """Sum over windows the cross-entropy of the answer's pair among all pairs; a scalar, fp32.

    An answer wider than W has the sum of its ends' cross-entropies instead. A window with negative
    positions does not count.

    Args:
        scores: (B, T, W) of `PairHead`.
        start_logits: (B, T), -inf behind a window's end.
        end_logits: (B, T), -inf behind a window's end.
        start_positions: (B,) the answer's first token.
        end_positions: (B,) the answer's last token.
    """
    width = scores.shape[2]
    ends = following(end_logits, width, float("-inf"))
    pairs = start_logits.unsqueeze(2) + ends + scores  # (B, T, W)
    null = start_logits[:, NULL_TOKEN] + end_logits[:, NULL_TOKEN]
    log_p = torch.cat((null.unsqueeze(1), pairs.flatten(1)), 1).log_softmax(1)
    behind = end_positions - start_positions
    counts, is_pair = start_positions >= 0, behind < width
    pair = 1 + start_positions * width + behind
    pair = pair.masked_fill((start_positions == NULL_TOKEN) | ~counts | ~is_pair, 0)
    of_pair = chosen(log_p, pair)
    apart = chosen(start_logits.log_softmax(1), start_positions.clamp(min=0))
    apart = apart + chosen(end_logits.log_softmax(1), end_positions.clamp(min=0))
    return -torch.where(is_pair, of_pair, apart).masked_fill(~counts, 0.0).sum()


def chosen(values: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return (B,) the value at one column of each row of (B, C)."""
    return values.gather(1, columns.unsqueeze(1)).squeeze(1)
