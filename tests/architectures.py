"""Tiny models with random weights, one per architecture that must compile, for the tests of all rooms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

VOCABULARY = 131
MAX_SEQ = 256
_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": MAX_SEQ,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}


def _config(name: str, **changes: Any) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(name, **(_COMMON | changes))


def _llama(scaling: dict[str, Any] | None = None, **changes: Any) -> Any:
    rope = {"rope_type": "default"} if scaling is None else scaling
    return _config("llama", rope_parameters={"rope_theta": 10000.0, **rope}, **changes)


def _yarn() -> dict[str, Any]:
    return {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": MAX_SEQ // 4}


def _llama3() -> dict[str, Any]:
    return {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": MAX_SEQ // 8,
    }  # fmt: skip


def _longrope() -> dict[str, Any]:
    return {
        "rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 2.2, 2.4, 2.6],
        "original_max_position_embeddings": MAX_SEQ, "rope_theta": 10000.0,
    }  # fmt: skip


CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": _llama,
    "llama_tied": lambda: _llama(tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama_llama3": lambda: _llama(_llama3()),
    "llama_linear": lambda: _llama({"rope_type": "linear", "factor": 4.0}),
    "llama_dynamic": lambda: _llama({"rope_type": "dynamic", "factor": 2.0}),
    "llama_yarn": lambda: _llama(_yarn()),
    "mistral": lambda: _config("mistral", sliding_window=16),
    "qwen2": lambda: _config("qwen2"),
    "qwen2_window": lambda: _config("qwen2", use_sliding_window=True, sliding_window=16, max_window_layers=1),
    "qwen3": lambda: _config("qwen3", head_dim=12),
    "gemma2": lambda: _config(
        "gemma2", head_dim=8, sliding_window=16, query_pre_attn_scalar=24, attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0, tie_word_embeddings=True,
    ),
    "gemma3": lambda: _config(
        "gemma3_text", head_dim=8, sliding_window=16, query_pre_attn_scalar=24, tie_word_embeddings=True,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "phi3": lambda: _config("phi3"),
    "phi3_longrope": lambda: _config(
        "phi3", rope_parameters=_longrope(), max_position_embeddings=4 * MAX_SEQ,
        original_max_position_embeddings=MAX_SEQ,
    ),
    "gpt2": lambda: _config(
        "gpt2", n_positions=MAX_SEQ, n_embd=48, n_head=6, n_layer=2, tie_word_embeddings=True
    ),
    "gpt_neox": lambda: _config("gpt_neox", rotary_pct=0.5),
    "gpt_neox_serial": lambda: _config("gpt_neox", rotary_pct=1.0, use_parallel_residual=False),
    "opt": lambda: _config("opt", ffn_dim=80, word_embed_proj_dim=48, tie_word_embeddings=True),
    "opt_projected": lambda: _config("opt", ffn_dim=80, word_embed_proj_dim=32, tie_word_embeddings=True),
    "bloom": lambda: _config("bloom", n_layer=2, n_head=6, tie_word_embeddings=True),
    "falcon": lambda: _config(
        "falcon", multi_query=True, parallel_attn=True, new_decoder_architecture=False, alibi=False
    ),
    "falcon_new": lambda: _config(
        "falcon", num_kv_heads=2, new_decoder_architecture=True, alibi=False, bias=False
    ),
    "falcon_multihead": lambda: _config(
        "falcon", multi_query=False, parallel_attn=False, new_decoder_architecture=False, alibi=False,
        bias=True,
    ),
    "stablelm": lambda: _config("stablelm", use_qkv_bias=True, partial_rotary_factor=0.5),
    "stablelm_qk_norm": lambda: _config("stablelm", qk_layernorm=True, use_parallel_residual=True),
    "starcoder2": lambda: _config("starcoder2", sliding_window=16),
    "olmo2": lambda: _config("olmo2"),
    "glm4": lambda: _config("glm4", head_dim=8, partial_rotary_factor=0.5),
    "granite": lambda: _config(
        "granite", embedding_multiplier=3.0, attention_multiplier=0.2, residual_multiplier=0.5,
        logits_scaling=2.0,
    ),
    "mixtral": lambda: _config("mixtral", num_local_experts=4, num_experts_per_tok=2, sliding_window=None),
    "qwen2_moe": lambda: _config(
        "qwen2_moe", num_experts=6, num_experts_per_tok=3, moe_intermediate_size=32,
        shared_expert_intermediate_size=40, norm_topk_prob=True,
    ),
    "qwen3_moe": lambda: _config(
        "qwen3_moe", num_experts=6, num_experts_per_tok=2, moe_intermediate_size=32, head_dim=8
    ),
}  # fmt: skip
"""Name → a function that returns the transformers configuration of a tiny model of that architecture."""


def tiny_model(name: str, seed: int = 0) -> tuple[Any, Any]:
    """(configuration, Hugging Face model in float32) of `CONFIGS[name]`, weights seeded, eager attention."""
    from transformers import AutoModelForCausalLM

    config = CONFIGS[name]()
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    # Biases and norm weights start as constants: random ones tell whether they are read, and from where.
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return config, model


def save_folder(name: str, folder: Path, seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """Write `tiny_model(name)` as a Hugging Face folder (config.json, model.safetensors); gives the model."""
    model = tiny_model(name, seed)[1].to(dtype)
    model.save_pretrained(folder)
    return model


def hf_logits(model: Any, token_ids: list[int]) -> Any:
    """Float32 logits `[tokens, vocabulary]` of a Hugging Face model for one sequence."""
    with torch.no_grad():
        return model(torch.tensor([token_ids]), use_cache=False).logits[0].numpy()
