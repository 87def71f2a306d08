"""What became of a checkpoint's weights: which are used, which are not, which do not fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from qa.engine.errors import first_few, require

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What a name is searched for, and what its weight belongs to: parts that a span reader has no use
# for. The first that fits counts.
NORMAL_PARTS = (
    (r"seq_relationship|sop_classifier", "the next-sentence head"),
    (r"(^|\.)pooler\.|^pooled_proj", "the pooler"),
    (r"discriminator_predictions", "the discriminator head"),
    (
        r"^cls\.|lm_head|lm_loss|mask_predictions|^lm_predictions|^(generator_)?predictions?\.|"
        r"generator_(lm_head|predictions)|^vocab_|^pred_layer|^decoder\.(bias|weight)$|"
        r"^embed_out|final_logits_bias|^entity_predictions|^head\.",
        "the language-model head",
    ),
    (
        r"^(pre_)?classif|^classification_head|^score\.|^logits_proj|^out_proj|^sequence_summary",
        "the classifier of another task",
    ),
    (r"^decoder\.", "the decoder"),
    (r"^(qa_outputs|qa_classifier|span_)", "a span head that is not this one"),
)
# Constants that older versions saved.
BUFFERS = re.compile(
    r"(position_ids|token_type_ids|inv_freq|masked_bias|attn\.bias|attention\.bias)$"
)
Shape = Sequence[int]


class Loading(NamedTuple):
    """A loaded model, and what transformers says of its weights."""

    model: PreTrainedModel
    parts: tuple[str, ...]  # the names of the head's modules
    missing: list[str]  # weights that were drawn anew
    unused: list[str]  # weights of the checkpoint that the model has no place for
    labels: int | None  # of another task's configuration, if not 2
    has_own_head: bool

    @property
    def new_parts(self) -> list[str]:
        """The modules of the head of which weights were drawn anew."""
        names = {name.partition(".")[0] for name in self.missing}
        return [part for part in self.parts if part in names]


def require_shapes(name: str, mismatched: Sequence[tuple[str, Shape, Shape]]) -> None:
    """Raise UserError if weights of the model `name` are of another shape than configured.

    `mismatched`: for each its name, its shape in the file, and the one by the configuration.
    """
    if mismatched:
        weight, saved, configured = min(mismatched, key=lambda each: each[0])
        more = f" (and {len(mismatched) - 1} more)" if len(mismatched) > 1 else ""
        require(
            False,
            f"{name}: weights do not fit config.json: {weight} is {list(saved)} in the file and"
            f" {list(configured)} by the configuration{more}",
        )


def require_whole_encoder(name: str, model: PreTrainedModel, unused: Sequence[str]) -> None:
    """Raise UserError if whole modules of the encoder are in the checkpoint and not in the model.

    Such as layers beyond the number in config.json: a model cut short would be trained.
    """
    dropped = [weight for weight in unused if is_of_encoder(weight, model)]
    require(
        not dropped,
        f"{name}: {len(dropped)} weights of the encoder would be dropped, e.g."
        f" {first_few(sorted(dropped))}: config.json describes another encoder than the weights"
        " are of (fewer layers?); mend it, or save the model that you mean",
    )


def is_of_encoder(weight: str, model: PreTrainedModel) -> bool:
    """Return whether a weight's module has no place in the encoder though it is the encoder's."""
    if BUFFERS.search(weight) or kind_of(weight) == "the pooler":
        return False
    encoder = model.base_model
    names = {model.base_model_prefix, type(encoder).base_model_prefix, "model", "transformer"}
    parts = weight.split(".")
    if len(parts) > 2 and parts[0] in names and parts[0] not in dict(encoder.named_children()):
        parts = parts[1:]
    if parts[0] not in dict(encoder.named_children()):
        return False
    return ".".join(parts[:-1]) not in dict(encoder.named_modules())


def kind_of(weight: str) -> str | None:
    """Return which part of another model a weight belongs to; None if that is not known."""
    return next((kind for pattern, kind in NORMAL_PARTS if re.search(pattern, weight)), None)


def require_weights(name: str, loading: Loading, require_head: bool) -> None:
    """Raise UserError if weights of the model `name` are missing, other than a head's.

    `require_head`: the span head's must not be missing either.
    """
    absent = [key for key in loading.missing if key.partition(".")[0] not in loading.parts]
    require(not absent, f"{name}: weights are missing, e.g. {', '.join(sorted(absent)[:2])}")
    if require_head and loading.missing:
        unused = describe_unused(loading.unused)
        require(
            False,
            f"{name}: has no trained span head ({', '.join(loading.new_parts)}); train it first"
            " with train.py --model" + (f" (not used: {unused})" if unused else ""),
        )


def describe_unused(unused: Sequence[str]) -> str:
    """Return which weights of a checkpoint are not used, "" if all are."""
    counts: dict[str, int] = {}
    others = []
    for weight in sorted(unused):
        if BUFFERS.search(weight):
            continue
        kind = kind_of(weight)
        if kind is None:
            others.append(weight)
        else:
            counts[kind] = counts.get(kind, 0) + 1
    told = [f"{kind} ({count} weight{'s' * (count > 1)})" for kind, count in counts.items()]
    if others:
        told.append(f"{len(others)} weights that belong to nothing here ({first_few(others)})")
    return ", ".join(told)


def has_strange_weights(unused: Sequence[str]) -> bool:
    """Return whether there are weights that belong to no part that models usually have."""
    return any(kind_of(weight) is None and not BUFFERS.search(weight) for weight in unused)


def describe(name: str, loading: Loading) -> str | None:
    """Return a line on a checkpoint's weights; None if all of them are used and none is new."""
    told = []
    if loading.labels is not None:
        told.append(f"the {loading.labels} labels in its config.json are those of another task")
    if loading.new_parts:
        told.append(f"new head ({', '.join(loading.new_parts)})")
    if loading.new_parts and loading.has_own_head:
        told.append("a linear one of qa's own, which Reader loads and transformers does not")
    unused = describe_unused(loading.unused)
    if unused:
        told.append(f"not used: {unused}")
    return f"{name}: {'; '.join(told)}" if told else None
