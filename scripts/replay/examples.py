"""What is replayed: architectures of a few layers, in recipes, for targets whose features are named here.

No weight has a value, so that a model of full width takes no longer than a small one and has the schedules of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosyn.targets import Target, load_target


@dataclass(frozen=True)
class Example:
    """One model for one target."""

    model: str
    recipe: str
    target: str

    def __str__(self) -> str:
        return f"{self.model} {self.recipe} {self.target}"


_COMMON: dict[str, Any] = {
    "num_hidden_layers": 2, "num_attention_heads": 32, "num_key_value_heads": 4, "hidden_size": 2048,
    "intermediate_size": 5632, "vocab_size": 32000, "max_position_embeddings": 2048, "bos_token_id": 1,
    "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip
_SMALL: dict[str, Any] = {
    "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64, "intermediate_size": 96, "vocab_size": 131,
    "max_position_embeddings": 128,
}  # fmt: skip

MODELS: dict[str, dict[str, Any]] = {
    # The shape of TinyLlama 1.1B.
    "llama": _COMMON | {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
    # Windows, soft caps, norms after each part, and tied embeddings.
    "gemma2": _COMMON | {
        "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "head_dim": 64, "sliding_window": 512,
        "query_pre_attn_scalar": 64, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
        "tie_word_embeddings": True,
    },
    # Experts.
    "mixtral": _COMMON | {
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_local_experts": 4,
        "num_experts_per_tok": 2, "sliding_window": None,
    },
    # Norms of queries and keys.
    "qwen3": _COMMON | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 128},
    # Layer norms with biases, part of a head rotated, attention and MLP beside each other; odd widths.
    "gpt_neox": _COMMON | {
        "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "rotary_pct": 0.25, "hidden_size": 768,
        "num_attention_heads": 12, "intermediate_size": 3000, "vocab_size": 50257,
    },
    "small_llama": _COMMON | _SMALL | {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
}  # fmt: skip

MAX_SEQ = 128
CHUNK = 32
FPGA_STEPS = (1, 8)
"""Tokens of the accelerator's steps."""

_V3 = ("ssse3", "sse4_1", "sse4_2", "popcnt", "avx", "avx2", "fma", "f16c", "abm", "bmi1", "bmi2", "movbe")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16")
_CPUS: dict[str, tuple[str, ...]] = {
    "x86-64-v3": _V3,
    "x86-64-v4": _V4,
    "aarch64": ("asimd", "asimddp"),
    "aarch64-i8mm": ("asimd", "asimddp", "i8mm"),
}


def target_of(name: str) -> Target:
    """The target of an example: never what this machine has."""
    if name in _CPUS:
        return Target(name, "cpu", name, name, "supported", features=frozenset(_CPUS[name]))
    return load_target(name)


EXAMPLES: tuple[Example, ...] = (
    *(Example("llama", r, "x86-64-v4") for r in ("fp32", "bf16", "w8a8", "w4a16_g32", "w4a8_g32", "w4a8_g32_kv8")),
    *(Example("llama", r, "x86-64-v3") for r in ("bf16", "w8a8", "w4a16_g32")),
    *(Example("llama", r, "aarch64") for r in ("bf16", "w8a8", "w4a16_g32", "w4a8_g32")),
    Example("llama", "w4a8_g32_kv8", "aarch64-i8mm"),
    *(Example("llama", r, "cuda:h200") for r in ("bf16", "w4a16_g32")),
    *(Example("llama", r, "opencl:generic") for r in ("bf16", "w8a8_kv8")),
    *(Example(m, r, "x86-64-v4") for m in ("gemma2", "mixtral", "qwen3", "gpt_neox") for r in ("bf16", "w4a8_g32")),
    *(Example(m, "w4a16_g32", "opencl:generic") for m in ("gemma2", "mixtral")),
    *(Example("small_llama", r, "fpga:tiny") for r in ("w8a8", "w4a8_g32")),
)
