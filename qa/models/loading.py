"""From what transformers loads to a model that can be trained: checked, or with another head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from qa.engine.errors import UserError
from qa.models.head_parts import UnfitModelError, head_parts
from qa.models.other_task import draw_last_layer, is_of_another_task
from qa.models.weights_report import (
    Loading,
    describe,
    has_strange_weights,
    require_shapes,
    require_weights,
    require_whole_encoder,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

Reader = TypeVar("Reader")


def load_fitting(
    name: str,
    load: Callable[..., Loading],
    make: Callable[[PreTrainedModel], Reader],
    require_head: bool,
) -> tuple[Loading, Reader, list[str]]:
    """Load a model and make a reader of it; under a head of qa's own if the model's is unfit.

    Args:
        name: A directory or hub id.
        load: `load_model` with all but `own_head`.
        make: Makes the reader; UnfitModelError if it cannot.
        require_head: Refuse a checkpoint without a trained span head.

    Returns:
        What was loaded, the reader, and lines for people.
    """
    notes = []
    try:
        loading = load()
        require_weights(name, loading, require_head)
        reader = make(loading.model)
    except UnfitModelError as unfit:
        if require_head:  # a trained head works with the model's own forward only
            raise UserError(f"{name}: {unfit}") from unfit
        try:
            loading = load(own_head=True)
            require_weights(name, loading, False)
            reader = make(loading.model)
        except UserError as error:
            second = str(error).removeprefix(f"{name}: ")
            raise UserError(f"{name}: {unfit}; nor can its encoder alone ({second})") from error
        notes.append(f"{name}: {unfit}")
    # Of a trained reader only what is odd: most are saved with a pooler.
    is_told = not require_head or has_strange_weights(loading.unused)
    note = describe(name, loading) if is_told else None
    return loading, reader, [*notes, *([note] if note else [])]


def check_loaded(
    name: str,
    model: PreTrainedModel,
    info: Mapping[str, Any],
    labels: int | None,
    own_head: bool,
    is_first: bool,
) -> Loading:
    """Return what was loaded, with a new head where the saved one is none of this model's.

    Args:
        name: A directory or hub id.
        model: The model.
        info: What transformers says of its weights.
        labels: See `Loading`.
        own_head: The head is qa's own.
        is_first: The checkpoint was not saved with a head of qa's own.
    """
    parts = head_parts(model)
    missing, shapes = list(info["missing_keys"]), list(info["mismatched_keys"])
    of_head = [weight for weight, *_ in shapes if weight.partition(".")[0] in parts]
    require_shapes(name, [each for each in shapes if each[0] not in of_head])
    require_whole_encoder(name, model, list(info["unexpected_keys"]))
    missing += of_head
    unused = [*info["unexpected_keys"], *of_head]
    last = f"{parts[-1]}.weight"
    # ModernBERT's classifiers call their last layer as its span head is called; and a head that
    # was trained on more than the encoder's output is none of qa's own.
    is_foreign = is_of_another_task(model.config) or (own_head and is_first)
    if last not in missing and is_foreign:
        draw_last_layer(model, parts[-1])
        missing.append(last)
        unused.append(last)
    return Loading(model, parts, missing, unused, labels, own_head)


def base_renaming(config: PretrainedConfig) -> dict[str, str] | None:
    """Return how a causal language model's weights are renamed for a question-answering model.

    None if both call the encoder the same. LLaMA's and Qwen's do not, and transformers leaves it at
    that.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING

    if type(config) not in MODEL_FOR_QUESTION_ANSWERING_MAPPING:
        return None
    model_class = MODEL_FOR_QUESTION_ANSWERING_MAPPING[type(config)]
    own = model_class.base_model_prefix
    prefixes = [vars(base).get("base_model_prefix") for base in model_class.__mro__[1:]]
    usual = [each for each in prefixes if each]
    if not usual or usual[0] == own:
        return None
    return {rf"^{usual[0]}\.": f"{own}."}
