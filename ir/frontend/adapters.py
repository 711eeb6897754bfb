"""How Hugging Face models are made to call the two custom ops while they are traced.

Most models reach attention and experts through transformers' own interfaces, for which one function each is
registered. The few that spell attention out are listed in `OWN_ATTENTION`, by the class of their attention
block: the only place in the compiler that knows the name of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
import torch

from cosyn.ir.errors import RequestError, UnsupportedOp, UnsupportedOps
from cosyn.ir.frontend import custom_ops  # noqa: F401 - registers the ops
from cosyn.ir.frontend.masks import CausalMask
from cosyn.ir.ops.elementwise import UNARY

IMPLEMENTATION = "cosyn"

# Keywords of the attention interface that change nothing here: no cache, no dropout, positions are an input.
_HARMLESS = {
    "dropout", "position_ids", "use_cache", "cache_position", "output_attentions", "output_hidden_states",
    "return_dict", "head_mask", "layer_head_mask", "layer_idx", "output_router_logits", "position_embeddings",
    "past_key_values", "is_causal", "deterministic", "target_dtype", "logits_to_keep",
}  # fmt: skip


def _refuse(module: torch.nn.Module, reason: str) -> UnsupportedOps:
    return UnsupportedOps([UnsupportedOp("attention", type(module).__name__, reason=reason)])


def attention_interface(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: object,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """The function registered with transformers: one `cosyn::attention` for all of attention."""
    if isinstance(attention_mask, CausalMask):
        sliding_window = attention_mask.window  # what the reference masks; the keyword may say otherwise
    elif attention_mask is not None:
        raise _refuse(module, "attention with a mask of its own; expected causal attention or a sliding window")
    causal = kwargs.get("is_causal")
    if (causal if causal is not None else getattr(module, "is_causal", True)) is False:
        raise _refuse(module, "attention that sees later tokens; expected causal attention")
    unknown = sorted(k for k, v in kwargs.items() if k not in _HARMLESS and v is not None and v is not False)
    if unknown:
        raise _refuse(module, f"attention with {', '.join(unknown)}, for which the IR has no attribute")
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    out = torch.ops.cosyn.attention(query, key, value, None, scale, int(sliding_window or 0), float(softcap or 0.0))
    return out, None


def experts_interface(
    module: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """The function registered with transformers: one `cosyn::moe` for all experts of a layer."""
    from transformers.integrations.moe import _default_apply_gate

    own_gate = type(module)._apply_gate is not _default_apply_gate
    if own_gate or not module.is_concatenated or module.has_post_expert_norm or not hasattr(module, "activation"):
        raise UnsupportedOps(
            [UnsupportedOp("moe", type(module).__name__, reason="experts with a gate or norm of their own")]
        )
    up = module.gate_up_proj if module.has_gate else module.up_proj
    down = module.down_proj
    if module.is_transposed:
        up, down = up.transpose(-2, -1), down.transpose(-2, -1)
    up_bias = down_bias = None
    if module.has_bias:
        up_bias = module.gate_up_proj_bias if module.has_gate else module.up_proj_bias
        down_bias = module.down_proj_bias
    return torch.ops.cosyn.moe(  # type: ignore[no-any-return]  # torch.ops is untyped
        hidden_states, top_k_weights, top_k_index, up, down, up_bias, down_bias,
        module.activation, module.has_gate,
    )  # fmt: skip


def activation_name(function: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """The op that an activation function is, found by comparing values."""
    with torch.no_grad():
        grid = torch.linspace(-6, 6, 97, dtype=torch.float64)
        values = function(grid).numpy()
    for name, (_doc, reference) in UNARY.items():
        with np.errstate(all="ignore"):
            if np.allclose(reference(grid.numpy()), values, rtol=1e-9, atol=1e-9):
                return name
    raise UnsupportedOps([UnsupportedOp("activation", str(function), reason="experts with an activation of their own")])


def register() -> None:
    """Make the two functions known to transformers under the name `cosyn`."""
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(IMPLEMENTATION, attention_interface)
    ALL_EXPERTS_FUNCTIONS.register(IMPLEMENTATION, experts_interface)


def prepare(model: torch.nn.Module, max_seq: int) -> None:
    """Make every block of `model` call the custom ops, with rotary tables for up to `max_seq` tokens."""
    register()
    for name, module in model.named_modules():
        config = getattr(module, "config", None)
        if config is not None:
            config._attn_implementation = IMPLEMENTATION
            config._experts_implementation = IMPLEMENTATION
        adapter = OWN_ATTENTION.get(type(module).__name__)
        if adapter is not None:
            adapter(module)
        if hasattr(module, "is_concatenated") and hasattr(
            module, "act_fn"
        ):  # experts: name the activation while values can be computed
            module.activation = activation_name(module.act_fn)
        _fix_rotary_table(name, module, max_seq)


def longest_fixed_table(model: torch.nn.Module) -> int | None:
    """The longest sequence for which rotary tables do not change with length; None where they never do."""
    limits = [limit for m in model.modules() for limit in _table_limits(m)]
    return min(limits, default=None)


def _table_limits(module: Any) -> list[int]:
    kinds = getattr(module, "rope_type", None)
    named = kinds if isinstance(kinds, dict) else {None: kinds}
    limits = []
    for layer_type, kind in named.items():
        if not isinstance(kind, str):
            continue
        if "dynamic" in kind:
            limits.append(int(module.original_max_seq_len))
        elif kind == "longrope":
            parameters = module.config.rope_parameters
            parameters = parameters[layer_type] if layer_type else parameters
            limits.append(int(parameters["original_max_position_embeddings"]))
    return limits


def _fix_rotary_table(name: str, module: Any, max_seq: int) -> None:
    """Tables that grow with the sequence stay as they are while the sequence fits into the first of them."""
    limits = _table_limits(module)
    if not limits:
        return
    if max_seq > min(limits):
        raise RequestError(
            f"{name} ({module.rope_type}) changes its rotary frequencies beyond {min(limits)} tokens, which "
            f"one program cannot follow; expected at most --max-seq {min(limits)}, found {max_seq}"
        )
    kinds = module.rope_type
    module.rope_type = dict.fromkeys(kinds, "default") if isinstance(kinds, dict) else "default"


def _alibi_then_product(module: Any) -> None:
    """BLOOM's block: fused QKV by head, ALiBi, then the output projection and the residual."""
    from transformers.models.bloom.modeling_bloom import _get_alibi_slopes

    module.register_buffer("slopes", _get_alibi_slopes(module.num_heads, torch.device("cpu")).float(), persistent=False)

    def forward(self: Any, hidden_states: torch.Tensor, residual: torch.Tensor, *_: Any, **__: Any) -> Any:
        q, k, v = self._reshape(self.query_key_value(hidden_states))
        out = torch.ops.cosyn.attention(q, k, v, self.slopes, self.inv_norm_factor, 0, 0.0)
        return self.dense(out.flatten(2)) + residual, None

    module.forward = MethodType(forward, module)


def _grouped_then_rotary(module: Any) -> None:
    """Falcon's block: QKV fused by group of heads, rotary embedding, then the output projection."""
    from transformers.models.falcon.modeling_falcon import apply_rotary_pos_emb

    if module.config.alibi:
        raise _refuse(module, "ALiBi rounded to bf16, which the IR does not express; expected rotary embedding")

    def forward(
        self: Any,
        hidden_states: torch.Tensor,
        *_: Any,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **__: Any,
    ) -> Any:
        fused = self.query_key_value(hidden_states)
        old = 1 if self.multi_query else self.num_heads
        groups = self.num_kv_heads if self.new_decoder_architecture else old
        queries = self.num_heads // groups
        grouped = fused.view(*fused.shape[:2], groups, queries + 2, self.head_dim)
        q = grouped[:, :, :, :queries].flatten(2, 3).transpose(1, 2)
        k, v = (grouped[:, :, :, queries + i].transpose(1, 2) for i in range(2))
        q, k = apply_rotary_pos_emb(q, k, *position_embeddings)  # type: ignore[no-untyped-call]
        out = torch.ops.cosyn.attention(q, k, v, None, self.inv_norm_factor, 0, 0.0)
        return self.dense(out.flatten(2)), None

    module.forward = MethodType(forward, module)


OWN_ATTENTION: dict[str, Callable[[Any], None]] = {
    "BloomAttention": _alibi_then_product,
    "FalconAttention": _grouped_then_rotary,
}
"""Class name of an attention block that the interface does not reach → what makes it call the op."""
