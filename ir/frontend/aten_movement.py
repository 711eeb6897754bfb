"""Lowering of ATen ops that move elements: views, permutations, slices, joins, repeats."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cosyn.ir.frontend.lowering import CannotLower, Handler, Lowering, OperandNotLowered, held, is_empty
from cosyn.ir.ops.movement import AxisAttrs, ReshapeAttrs, SliceAttrs
from cosyn.ir.types import Dim


def _reshape(low: Lowering, node: torch.fx.Node) -> str:
    source = node.all_input_nodes[0]
    return low.builder.reshape(low.any_value(source), held(low.exported.shape(node)))


def _permute(low: Lowering, node: torch.fx.Node, perm: Sequence[int]) -> str:
    source = node.all_input_nodes[0]
    shape = low.exported.shape(source)
    perm = [p % len(shape) for p in perm]
    moved = [p for p in perm if shape[p] != 1]
    if moved == sorted(moved):
        return _reshape(low, node)
    if held(shape) != shape and perm[0] == 0:
        return low.builder.transpose(low.value(source), [p - 1 for p in perm[1:]])
    return low.result(node, low.builder.transpose(low.full(source), perm))


def _transpose(low: Lowering, node: torch.fx.Node) -> str:
    source = node.all_input_nodes[0]
    rank = len(low.exported.shape(source))
    a, b = (int(d) % rank for d in (node.args[1:3] if len(node.args) > 2 else (-2, -1)))  # type: ignore[arg-type]
    perm = list(range(rank))
    perm[a], perm[b] = b, a
    return _permute(low, node, perm)


def _reverse(low: Lowering, node: torch.fx.Node) -> str:
    return _permute(low, node, range(len(low.exported.shape(node)))[::-1])


def _permute_op(low: Lowering, node: torch.fx.Node) -> str:
    return _permute(low, node, low.arguments(node)["dims"])


class _Axis:
    """One axis of a traced tensor: the reference to work on and the axis in it."""

    def __init__(self, low: Lowering, source: torch.fx.Node, axis: int) -> None:
        shape = low.exported.shape(source)
        self.axis = axis % len(shape)
        self.extent = shape[self.axis]
        if held(shape) != shape and self.axis > 0:
            self.ref = low.value(source)
            self.axis -= 1
        else:
            self.ref = low.full(source)


def cut(low: Lowering, source: torch.fx.Node, axis: int, start: int, stop: int, step: int = 1) -> str:
    """Elements start:stop:step of one axis of a traced tensor."""
    place = _Axis(low, source, axis)
    if not isinstance(place.extent, int):
        raise CannotLower(f"a part of the token axis ({start}:{stop}); tokens must stay together until the end")
    if (start, stop, step) == (0, place.extent, 1):
        return place.ref
    return low.emit("slice", [place.ref], SliceAttrs(place.axis, start, stop, step))


def _slice(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    source, axis = arguments["self"], arguments.get("dim") or 0
    if low.exported.shape(source) == low.exported.shape(node) and (arguments.get("step") or 1) == 1:
        return low.any_value(source)
    rows = _table_rows(low, node)
    if rows is not None:
        return rows
    extent = low.exported.shape(source)[axis]
    bounds = arguments.get("start") or 0, arguments.get("end")
    if not isinstance(extent, int) or not all(isinstance(b, int | None) for b in bounds):
        raise CannotLower("a slice whose bounds depend on the number of tokens")
    start, stop, step = slice(bounds[0], bounds[1], arguments.get("step") or 1).indices(extent)
    return low.result(node, cut(low, source, axis, start, stop, step))


def _table_rows(low: Lowering, node: torch.fx.Node) -> str | None:
    """`table[:seq]` of a parameter: its rows at the positions of the tokens."""
    from cosyn.ir.frontend.positional import is_slice_by_tokens

    source = node.all_input_nodes[0]
    shape = low.exported.shape(source)
    if not is_slice_by_tokens(node) or source.op != "placeholder":
        return None
    axis: int = low.arguments(node).get("dim") or 0
    table = [d for i, d in enumerate(shape) if d != 1 or i >= axis]
    if len(table) != 2 or any(d != 1 for d in shape[:axis]):
        return None
    ref = low.builder.reshape(low.any_value(source), table)
    return low.result(node, low.emit("embedding", ["%positions", ref]))


def _select(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    source, axis, index = arguments["self"], arguments["dim"], arguments["index"]
    extent = low.exported.shape(source)[axis]
    if not isinstance(extent, int) or not isinstance(index, int):
        raise CannotLower("one token picked from the step; expected a model that treats all tokens alike")
    index %= extent
    return low.result(node, cut(low, source, axis, index, index + 1))


def _pieces(low: Lowering, node: torch.fx.Node, sizes: Sequence[int], axis: int) -> tuple[str, ...]:
    source = node.all_input_nodes[0]
    refs, start = [], 0
    for size, piece in zip(sizes, node.meta["val"], strict=True):
        ref = cut(low, source, axis, start, start + size)
        refs.append(low.builder.reshape(ref, held(tuple(low.exported.dim(s) for s in piece.shape))))
        start += size
    return tuple(refs)


def _split(low: Lowering, node: torch.fx.Node) -> tuple[str, ...]:
    axis = low.arguments(node).get("dim") or 0
    sizes = [piece.shape[axis] for piece in node.meta["val"]]
    if not all(isinstance(s, int) for s in sizes):
        raise CannotLower("a split of the token axis")
    return _pieces(low, node, sizes, axis)


def _unbind(low: Lowering, node: torch.fx.Node) -> tuple[str, ...]:
    axis = low.arguments(node).get("dim") or 0
    return _pieces(low, node, [1] * len(node.meta["val"]), axis)


def _getitem(low: Lowering, node: torch.fx.Node) -> str:
    source, index = node.args[:2]
    if not isinstance(source, torch.fx.Node) or not isinstance(index, int):
        raise CannotLower("an item of something that is not a list of tensors")
    if source not in low.values:
        low.lower(source)
    values = low.values[source]
    if not values:
        raise OperandNotLowered(source.name)
    return values[index] if isinstance(values, tuple) else values


def _join(low: Lowering, node: torch.fx.Node, parts: Sequence[str], axis: int, full: bool) -> str:
    return low.result(node, low.emit("concat", parts, AxisAttrs(axis))) if full else low.emit(
        "concat", parts, AxisAttrs(axis - 1)
    )  # fmt: skip


def _cat(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    sources, shape = [s for s in arguments["tensors"] if not is_empty(s)], low.exported.shape(node)
    axis = (arguments.get("dim") or 0) % len(shape)
    if len(sources) == 1:
        return low.value(sources[0])
    if held(shape) != shape and axis > 0:
        return _join(low, node, [low.builder.as_f32(low.value(s)) for s in sources], axis, False)
    return _join(low, node, [low.builder.as_f32(low.full(s)) for s in sources], axis, True)


def _stack(low: Lowering, node: torch.fx.Node) -> str:
    arguments = low.arguments(node)
    sources, shape = arguments["tensors"], low.exported.shape(node)
    axis = (arguments.get("dim") or 0) % len(shape)
    part: tuple[Dim, ...] = (*shape[:axis], 1, *shape[axis + 1 :])
    if held(shape) != shape and axis > 0:
        return _join(low, node, [low.builder.reshape(low.value(s), part[1:]) for s in sources], axis, False)
    return _join(low, node, [low.builder.reshape(low.full(s), part) for s in sources], axis, True)


def _expand(low: Lowering, node: torch.fx.Node) -> str:
    source = node.all_input_nodes[0]
    shape = held(low.exported.shape(node))
    ref = low.value(source)
    return ref if low.builder.shape(ref) == shape else low.emit("expand", [ref], ReshapeAttrs(shape))


def _repeat_interleave(low: Lowering, node: torch.fx.Node) -> str:
    """Each element of an axis `repeats` times in a row: a new axis, broadcast, then merged."""
    arguments = low.arguments(node)
    source, repeats, axis = arguments["self"], arguments["repeats"], arguments.get("dim")
    if not isinstance(repeats, int) or axis is None:
        raise CannotLower("repeat_interleave by a tensor of counts")
    place = _Axis(low, source, axis)
    shape = low.builder.shape(place.ref)
    before, after = shape[: place.axis + 1], shape[place.axis + 1 :]
    ref = low.builder.reshape(place.ref, (*before, 1, *after))
    ref = low.emit("expand", [ref], ReshapeAttrs((*before, repeats, *after)))
    return low.result(node, ref)


HANDLERS: dict[str, Handler] = {
    **{
        f"aten.{name}": _reshape
        for name in (
            "view",
            "reshape",
            "_unsafe_view",
            "flatten",
            "unflatten",
            "unsqueeze",
            "squeeze",
            "view_as",
        )
    },
    "aten.transpose": _transpose,
    "aten.t": _transpose,
    "aten.numpy_T": _reverse,
    "aten.mT": _transpose,
    "aten.permute": _permute_op,
    "aten.slice": _slice,
    "aten.select": _select,
    "aten.split": _split,
    "aten.split_with_sizes": _split,
    "aten.chunk": _split,
    "aten.tensor_split": _split,
    "aten.unbind": _unbind,
    "getitem": _getitem,
    "aten.cat": _cat,
    "aten.stack": _stack,
    "aten.expand": _expand,
    "aten.expand_as": _expand,
    "aten.broadcast_to": _expand,
    "aten.repeat_interleave": _repeat_interleave,
}
