"""Tiny random models of many families, saved as their checkpoints are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

HIDDEN, HEADS, LAYERS, FFN = 32, 2, 2, 64
POSITIONS = 256

# What configurations call their sizes. The first value that a class takes counts.
SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "d_model": HIDDEN,
    "dim": HIDDEN,
    "n_embd": HIDDEN,
    "emb_dim": HIDDEN,
    "embedding_size": HIDDEN,
    "word_embed_proj_dim": HIDDEN,
    "input_embedding_size": HIDDEN,
    "output_embedding_size": HIDDEN,
    "entity_emb_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_layers": LAYERS,
    "num_decoder_layers": LAYERS,
    "n_layers": LAYERS,
    "n_layer": LAYERS,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "num_heads": HEADS,
    "n_heads": HEADS,
    "n_head": HEADS,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "head_dim": HIDDEN // HEADS,
    "d_kv": HIDDEN // HEADS,
    "d_head": HIDDEN // HEADS,
    "intermediate_size": FFN,
    "ffn_dim": FFN,
    "hidden_dim": FFN,
    "d_ff": FFN,
    "d_inner": FFN,
    "encoder_ffn_dim": FFN,
    "decoder_ffn_dim": FFN,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.2,
    "init_std": 0.2,
    "entity_vocab_size": 10,
}

# What else a family needs, or is made smaller by. RoBERTa's kin count positions from pad + 1.
SHIFTED = {"pad_token_id": 1}
EXTRAS: dict[str, dict[str, Any]] = {
    "roberta": SHIFTED,
    "xlm-roberta": SHIFTED,
    "xlm-roberta-xl": SHIFTED,
    "camembert": SHIFTED,
    "data2vec-text": SHIFTED,
    "roberta-prelayernorm": SHIFTED,
    "ibert": SHIFTED,
    "mpnet": SHIFTED,
    "luke": SHIFTED,
    "markuplm": SHIFTED,
    "xmod": {**SHIFTED, "languages": ["ko_KR"], "default_language": "ko_KR"},
    "convbert": {"head_ratio": 1},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "modernbert": {"local_attention": 16, "global_attn_every_n_layers": 2},
    "mobilebert": {
        "intra_bottleneck_size": HIDDEN,
        "true_hidden_size": HIDDEN,
        "embedding_size": HIDDEN,
    },
    "funnel": {"block_sizes": [1, 1], "num_decoder_layers": 1},
    "lilt": {"hidden_size": 48, "intermediate_size": 96},
    "longformer": {"attention_window": [16, 16], **SHIFTED},
    "led": {"attention_window": [16, 16], "max_encoder_position_embeddings": POSITIONS},
    "mra": {"block_per_row": 4},
    "nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 8},
    "fnet": {"tpu_short_seq_length": POSITIONS},
    "gemma3_text": {"use_bidirectional_attention": True, "sliding_window": 16},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "squeezebert": {"embedding_size": HIDDEN},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 16},
    "gptj": {"rotary_dim": 8},
    "reformer": {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [16, 16], "is_decoder": False},
    "jina_embeddings_v3": {"default_lora_task": None},
}

FAMILIES = (
    *("bert", "roberta", "electra", "distilbert", "albert", "xlm-roberta", "xlm-roberta-xl"),
    *("camembert", "ernie", "data2vec-text", "roberta-prelayernorm", "xmod", "markuplm"),
    *("jina_embeddings_v3", "modernbert", "deberta", "deberta-v2", "roformer", "mpnet", "xlnet"),
    *("xlm", "flaubert", "megatron-bert", "mobilebert", "squeezebert", "rembert", "ibert"),
    *("luke", "mra", "roc_bert", "big_bird", "convbert", "yoso", "funnel", "fnet"),
    *("nystromformer", "splinter", "longformer", "lilt", "canine", "layoutlm", "reformer"),
    *("nomic_bert", "eurobert", "gemma3_text", "t5", "mt5", "umt5", "led", "bart", "mbart"),
    *("mvp", "gpt2", "gpt_neo", "gpt_neox", "gptj", "bloom", "falcon", "mpt", "opt", "llama"),
    *("mistral", "qwen2", "qwen3", "gemma", "gemma2", "exaone4"),
)


def build(family: str, vocabulary: int) -> Any:
    """A tiny model of a family, with the head that its published checkpoints have."""
    import transformers as t
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[family]
    names = {*vars(config_class()), *getattr(config_class, "attribute_map", {})}
    wanted = {"vocab_size": vocabulary, "pad_token_id": 0, **SIZES, **EXTRAS.get(family, {})}
    tokens = dict.fromkeys(("bos_token_id", "cls_token_id"), 2)
    wanted |= {**tokens, **dict.fromkeys(("eos_token_id", "sep_token_id"), 3)}
    config = config_class(**{k: v for k, v in wanted.items() if k in names})
    torch.manual_seed(0)
    for mapping, maker in (
        (auto.MODEL_FOR_MASKED_LM_MAPPING, t.AutoModelForMaskedLM),
        (auto.MODEL_FOR_CAUSAL_LM_MAPPING, t.AutoModelForCausalLM),
        (auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING, t.AutoModelForSeq2SeqLM),
    ):
        if type(config) in mapping:
            return maker.from_config(config)
    return t.AutoModel.from_config(config)


def save(family: str, tokenizer: Any, directory: Path) -> str:
    """Save a tiny model with its tokenizer; the name of its class."""
    model = build(family, len(tokenizer))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return type(model).__name__
