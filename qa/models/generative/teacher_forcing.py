"""The probability of given answers, all tokens at once; and the loss that is made of it.

B: windows, T: tokens of the longest window, L: columns of the targets, M: targets, V: vocabulary.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from qa.models.generative.copy_decoder import NEVER, CopyDecoder, WindowMemory
from qa.models.generative.places import behind, end_places

END_ID = -1  # among targets: the answer ends here


def target_log_probs(
    decoder: CopyDecoder,
    memory: WindowMemory,
    table: torch.Tensor,
    in_context: torch.Tensor,
    target_ids: torch.Tensor,
    target_rows: torch.Tensor,
) -> torch.Tensor:
    """Return (M,) fp32: the log-probability of each target after the ones before it.

    Args:
        decoder: Writes.
        memory: The windows.
        table: (V, E) embeddings.
        in_context: (B, T) bool, of `context_places`.
        target_ids: (B, L) token ids of each answer, then `END_ID`; what follows does not count.
        target_rows: (M,) indices of the targets in the flattened matrix.
    """
    written = target_ids[:, :-1]  # all that another target follows
    ends = end_places(written, memory.input_ids, in_context).unsqueeze(1)  # (B, 1, L - 1, T)
    follow = behind(ends) & in_context[:, None, None]
    follow = torch.cat((in_context[:, None, None], follow), 2)  # (B, 1, L, T)
    embeddings = F.embedding(written.clamp(min=0), table).unsqueeze(1)
    inputs = torch.cat(
        (decoder.first_input(len(written)), decoder.inputs(embeddings, ends, memory)), 2
    )
    following, _ = decoder(inputs, follow, memory)
    targets = target_ids.flatten()[target_rows]  # (M,)
    copied, logits = (
        each.flatten(0, 2).index_select(0, target_rows)
        for each in (following.copied, following.logits)
    )  # (M, T), (M, E)
    window = target_rows.div(target_ids.shape[1], rounding_mode="floor")
    is_it = memory.input_ids.index_select(0, window) == targets.unsqueeze(1)  # (M, T)
    copied = copied.masked_fill(~is_it, NEVER).logsumexp(1)
    with torch.autocast(logits.device.type, enabled=False):
        vocabulary = logits.float() @ table.float().T  # (M, V)
        of_target = vocabulary.gather(1, targets.clamp(min=0).unsqueeze(1)).squeeze(1)
        softmax = of_target - vocabulary.logsumexp(1)
    end, written_part = (
        each.flatten().index_select(0, target_rows) for each in (following.end, following.written)
    )
    return torch.where(targets == END_ID, end, torch.logaddexp(copied, written_part + softmax))
