"""Where inside its tokens an answer begins and ends, in characters.

A tokenizer may glue a particle to a noun, so that no token ends where the answer ends. For every
token this head predicts how many of its characters come before the answer if the answer begins in
it (side 0), and how many come after the answer if the answer ends in it (side 1).

N: packed tokens, F: hidden size, E: embedding size, K: choices, 0 to K - 1 characters.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

NUM_CHOICES = 8  # 0 to 7 characters; a longer particle after the answer is left in it
IGNORE_TRIM = -100


class BoundaryHead(nn.Module):
    """One linear layer over a token's hidden state and its word embedding.

    The hidden state knows the sentence, the embedding knows which characters the token is made of.
    """

    def __init__(self, hidden_size: int, embedding_size: int, choices: int = NUM_CHOICES) -> None:
        super().__init__()
        self.choices = choices
        self.linear = nn.Linear(hidden_size + embedding_size, 2 * choices)

    def forward(
        self, hidden: torch.Tensor, embeddings: torch.Tensor, num_characters: torch.Tensor
    ) -> torch.Tensor:
        """Return the log-probability of each choice, (N, 2, K) fp32.

        Args:
            hidden: (N, F) the encoder's last hidden states.
            embeddings: (N, E) word embeddings of the tokens.
            num_characters: (N,) characters that each token covers; a choice that would leave none
                of them has probability 0.
        """
        # Word embeddings are small numbers. Normalised, they are learned from as fast as the
        # hidden states are.
        normed = F.layer_norm(embeddings.float(), embeddings.shape[-1:])
        with torch.autocast(hidden.device.type, enabled=False):
            logits: torch.Tensor = self.linear(torch.cat((hidden.float(), normed), dim=1))
        logits = logits.view(-1, 2, self.choices)  # (N, 2, K)
        choice = torch.arange(self.choices, device=hidden.device)
        is_left = choice < num_characters.clamp(min=1).unsqueeze(1)  # (N, K)
        return logits.masked_fill(~is_left.unsqueeze(1), float("-inf")).log_softmax(2)


def boundary_loss(
    trims: torch.Tensor,
    start_positions: torch.Tensor,
    end_positions: torch.Tensor,
    start_trims: torch.Tensor,
    end_trims: torch.Tensor,
) -> torch.Tensor:
    """Sum over windows the mean of both sides' cross-entropy at the answer's tokens; a scalar.

    A window does not count for a side whose wanted trim is not 0 to K - 1, such as `IGNORE_TRIM`.

    Args:
        trims: (B, T, 2, K) log-probabilities.
        start_positions: (B,) the answer's first token.
        end_positions: (B,) the answer's last token.
        start_trims: (B,) characters to drop from the front of the first token.
        end_trims: (B,) characters to drop from the end of the last token.
    """
    total = trims.new_zeros(())
    rows = torch.arange(len(trims), device=trims.device)
    labels = ((start_positions, start_trims), (end_positions, end_trims))
    for side, (positions, wanted) in enumerate(labels):
        log_probabilities = trims[rows, positions.clamp(min=0), side]  # (B, K)
        is_known = (wanted >= 0) & (wanted < trims.shape[3]) & (positions >= 0)
        chosen = log_probabilities.gather(1, wanted.clamp(0, trims.shape[3] - 1).unsqueeze(1))
        total = total - chosen.squeeze(1).masked_fill(~is_known, 0.0).sum()
    return total / 2
