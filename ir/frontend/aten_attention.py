"""Lowering of attention: the custom op that Hugging Face models are traced with, torch's, and masks."""

from __future__ import annotations

import math

import torch

from cosyn.ir.dtype import DType
from cosyn.ir.frontend.causality import read_bias
from cosyn.ir.frontend.lowering import CannotLower, Handler, Lowering, PositionInput
from cosyn.ir.frontend.positional import Dependence
from cosyn.ir.ops.attention import AttentionAttrs

_HIDDEN = -1e4  # a fill value this low hides a key completely


def heads_inside(low: Lowering, node: torch.fx.Node) -> str:
    """A traced `[1, h, s, d]` as `[s, h, d]`."""
    shape = low.exported.shape(node)
    if len(shape) != 4 or shape[0] != 1:
        raise CannotLower(f"attention over shape {shape}; expected [1, heads, tokens, head_dim]")
    return low.builder.transpose(low.builder.as_f32(low.value(node)), (1, 0, 2))


def _custom(low: Lowering, node: torch.fx.Node) -> str:
    """`cosyn::attention`, whose result is `[1, s, h, d]`."""
    arguments = low.arguments(node)
    q, k, v = (heads_inside(low, arguments[name]) for name in "qkv")
    slopes = arguments["slopes"]
    attrs = AttentionAttrs(
        scale=arguments["scale"],
        window=arguments["window"] or None,
        softcap=arguments["softcap"] or None,
        alibi=slopes is not None,
    )
    extra = [] if slopes is None else [low.builder.as_f32(low.any_value(slopes))]
    return low.emit("attention", [q, k, v, "%positions", *extra], attrs)


def _fused(low: Lowering, node: torch.fx.Node) -> str:
    """scaled_dot_product_attention, causal by its flag or by a mask that depends on positions alone."""
    arguments = low.arguments(node)
    if arguments.get("dropout_p"):
        raise CannotLower("attention with dropout; expected a model in evaluation mode")
    q, k, v = (heads_inside(low, arguments[name]) for name in ("query", "key", "value"))
    width = low.builder.shape(q)[-1]
    if not isinstance(width, int):
        raise CannotLower("attention over heads of unknown width")
    scale = arguments.get("scale") or 1 / math.sqrt(width)
    mask, window, slopes = arguments.get("attn_mask"), None, None
    if mask is not None:
        if low.positional.dependence(mask) is Dependence.DATA:
            raise CannotLower("a mask that depends on tokens; expected one that depends on positions alone")
        boolean = mask.meta["val"].dtype is torch.bool
        heads = int(low.builder.shape(q)[1])
        bias = read_bias([(PositionInput(mask, False if boolean else None), 1.0)], low.positional, heads, low.max_seq)
        if bias is None:
            raise CannotLower("a mask that is neither causal nor a causal window")
        window, slopes = bias.window, bias.slopes
    elif not arguments.get("is_causal"):
        raise CannotLower("attention that sees later tokens; expected is_causal=True or a causal mask")
    attrs = AttentionAttrs(scale=float(scale), window=window, alibi=slopes is not None)
    extra = [] if slopes is None else [low.add_weight("alibi.slopes", slopes)]
    return low.builder.transpose(low.emit("attention", [q, k, v, "%positions", *extra], attrs), (1, 0, 2))


def _masked_fill(low: Lowering, node: torch.fx.Node) -> str:
    """Scores hidden by a mask of positions: the score plus -inf."""
    arguments = low.arguments(node)
    return _hide(low, arguments["self"], arguments["mask"], arguments["value"], blocked=True)


def _where(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    mask, kept, other = arguments["condition"], arguments["self"], arguments["other"]
    if isinstance(kept, torch.fx.Node) and low.positional.dependence(kept) is Dependence.DATA:
        return _hide(low, kept, mask, other, blocked=False)
    return _hide(low, other, mask, kept, blocked=True)


def _hide(low: Lowering, scores: object, mask: torch.fx.Node, fill: object, *, blocked: bool) -> str:
    if isinstance(fill, torch.fx.Node) and low.positional.dependence(fill) is Dependence.CONSTANT:
        value = low.positional.constant(fill)
        fill = float(value.reshape(())) if value.size == 1 else fill
    if not isinstance(scores, torch.fx.Node) or not isinstance(fill, int | float) or fill > _HIDDEN:
        raise CannotLower(f"a choice between values by a mask, other than hiding scores (fill {fill!r})")
    if low.positional.dependence(mask) is Dependence.DATA:
        raise CannotLower("a mask that depends on tokens; expected one that depends on positions alone")
    return low.emit("add", [low.operand(scores, DType.F32), low.position_input(mask, blocked)])


HANDLERS: dict[str, Handler] = {
    "cosyn.attention": _custom,
    "aten.scaled_dot_product_attention": _fused,
    "aten.masked_fill": _masked_fill,
    "aten.masked_fill_": _masked_fill,
    "aten.where": _where,
}
