"""A linear span head of qa's own, for encoders that transformers gives none that qa can run."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from qa.engine.errors import require

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

SUFFIX = "WithSpanHead"  # of the class's name, by which config.json tells how it was saved


def was_saved_with_own_head(config: PretrainedConfig) -> bool:
    """Return whether the weights beside this configuration hold a head of this module's."""
    return any(name.endswith(SUFFIX) for name in config.architectures or ())


def needs_own_head(config: PretrainedConfig, trust_remote_code: bool) -> bool:
    """Return whether neither transformers nor trusted code has a question-answering class."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_QUESTION_ANSWERING_MAPPING

    custom = getattr(config, "auto_map", None) or {}
    if trust_remote_code and custom:
        return "AutoModelForQuestionAnswering" not in custom
    return type(config) not in MODEL_FOR_QUESTION_ANSWERING_MAPPING


def own_head_class(
    config: PretrainedConfig, name: str, revision: str | None, trust_remote_code: bool
) -> type[PreTrainedModel]:
    """Return a class: an encoder's base model with `qa_outputs`, one linear layer, behind it.

    It is a sibling of the encoder's other models, so that it loads the checkpoints that they load,
    and it saves the encoder's weights under the names that they use.

    Args:
        config: The encoder's configuration.
        name: Directory or hub id, where the encoder's own code is, if it has any.
        revision: Commit of a hub id.
        trust_remote_code: Run that code.
    """
    encoder_class = find_encoder_class(config, name, revision, trust_remote_code)
    # The class that the encoder's other models are made from, whatever people derived theirs from.
    bases = (base for base in encoder_class.__mro__ if base.__name__.endswith("PreTrainedModel"))
    family = cast("type[Any]", next(bases))
    part = getattr(encoder_class, "base_model_prefix", "") or "encoder"
    takes_pooler = "add_pooling_layer" in inspect.signature(encoder_class.__init__).parameters

    class SpanHeadModel(family):  # type: ignore[misc,valid-type]
        """The encoder and `qa_outputs`."""

        base_model_prefix = part
        config_class = encoder_class.config_class

        def __init__(self, config: PretrainedConfig) -> None:
            super().__init__(config)
            options = {"add_pooling_layer": False} if takes_pooler else {}
            setattr(self, part, encoder_class(config, **options))
            self.qa_outputs = nn.Linear(config.hidden_size, 2)
            self.post_init()

        def get_input_embeddings(self) -> nn.Module:
            return cast("nn.Module", getattr(self, part).get_input_embeddings())

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any
        ) -> Any:
            from transformers.modeling_outputs import QuestionAnsweringModelOutput

            encoder = getattr(self, part)
            hidden = encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs)[0]
            start_logits, end_logits = self.qa_outputs(hidden).unbind(-1)
            return QuestionAnsweringModelOutput(start_logits=start_logits, end_logits=end_logits)

    SpanHeadModel.__name__ = encoder_class.__name__.removesuffix("Model") + SUFFIX
    return cast("type[PreTrainedModel]", SpanHeadModel)


def find_encoder_class(
    config: PretrainedConfig, name: str, revision: str | None, trust_remote_code: bool
) -> type[PreTrainedModel]:
    """Return the class of the base model; UserError if there is none. For `Args` see above."""
    from transformers.models.auto import modeling_auto as auto

    custom = getattr(config, "auto_map", None) or {}
    if trust_remote_code and "AutoModel" in custom:
        from transformers.dynamic_module_utils import get_class_from_dynamic_module

        found = get_class_from_dynamic_module(custom["AutoModel"], name, revision=revision)
        return cast("type[PreTrainedModel]", found)
    # First, since it has T5's encoder without its decoder.
    mapping = auto.MODEL_FOR_TEXT_ENCODING_MAPPING
    if type(config) not in mapping and not getattr(config, "is_encoder_decoder", False):
        mapping = auto.MODEL_MAPPING
    require(type(config) in mapping, f"{config.model_type} has no text encoder in transformers")
    classes = mapping[type(config)]
    return cast(
        "type[PreTrainedModel]", classes[0] if isinstance(classes, (tuple, list)) else classes
    )
