"""How llama.cpp names and orders the tensors of a Llama."""

from __future__ import annotations

import re

import numpy as np

from benchmarks.cpu.shapes import Shape

_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight", "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def gguf_name(name: str) -> str:
    """What GGUF calls a tensor of a Hugging Face Llama."""
    if name in _NAMES:
        return _NAMES[name]
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name)
    assert found is not None
    return f"blk.{found[1]}.{_NAMES[found[2]]}.weight"


def in_pairs(shape: Shape, name: str, values: np.ndarray) -> np.ndarray:
    """The values, with rows of q and k as llama.cpp's rotary embedding wants them: it turns neighbours, not halves."""
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return np.ascontiguousarray(values)
    halves = values.reshape(-1, 2, shape.head_dim // 2, values.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)
