"""Linears on a few rows of x: the code for one row with some rows beside each other, chosen when the kernel runs.

Forms for many rows spread the codes of a block of weights before they multiply, and fill tiles of 4 or 8 rows: a step
of 2 tokens would pay for that and wait. Here codes are used as they are stored, as for one row, each for all rows
of a tile; the weights are read from memory once, and for a second tile from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tvm_ffi
from tvm import s_tir, te, tirx

from cosyn.codegen.tvm.kernels.packed_weight import i64

Expr = Any  # TVM's expressions overload the operators; its stubs do not say so


@dataclass(frozen=True, slots=True)
class FewRows:
    """A form of a linear in tiles of `tile` rows of x and `vectors` of rows of the weight."""

    tile: int
    vectors: int


def tiled_rows(x: te.Tensor, tile: int) -> tuple[Expr, Callable[[Expr], Expr]]:
    """Rows padded to whole tiles, and the row of x to read for each: the last where there is none."""
    rows = x.shape[0]
    if isinstance(rows, tirx.IntImm):
        padded: Expr = i64(-(-int(rows) // tile) * tile)
        exact = int(rows) % tile == 0
    else:
        padded = tirx.floordiv(rows + (tile - 1), tile) * tile
        exact = tile == 1
    return padded, (lambda s: s) if exact else (lambda s: tirx.min(s, rows - 1))


def chosen_by_rows(function: tirx.PrimFunc, few: Sequence[tuple[int, tirx.PrimFunc]]) -> tirx.PrimFunc:
    """Scheduled functions of one meaning as one that takes, of `few`, the first for at least as many rows as there are.

    `few` is (most rows, function) in rising order, for parameters made of the same variables; `function` serves all
    other numbers. The rows are those of the last parameter, a result.
    """
    if not few:
        return function
    rows, body = function.params[-1].shape[0], function.body
    for most, other in reversed(few):
        body = tirx.IfThenElse(rows <= i64(most), _on_parameters(other, function), body)
    root = s_tir.SBlock([], [], [], "root", body)
    return function.with_body(s_tir.SBlockRealize([], True, root))


def forms_by_rows(function: tirx.PrimFunc, most: int) -> list[tuple[int, int, tirx.PrimFunc]]:
    """The parts of a function that `chosen_by_rows` made, or another, as (first, last number of rows, function)."""
    first, body, parts = 1, function.body.block.body, []
    while isinstance(body, tirx.IfThenElse) and first <= most:
        last = min(int(body.condition.b), most)
        parts.append((first, last, function.with_body(body.then_case)))
        first, body = last + 1, body.else_case
    if first <= most:
        parts.append((first, most, function.with_body(body) if parts else function))
    return parts


def _on_parameters(function: tirx.PrimFunc, like: tirx.PrimFunc) -> Any:
    """The body of `function` on the parameters of `like`."""
    buffers = dict(zip(function.params, like.params, strict=True))
    offsets = {b.elem_offset: to.elem_offset for b, to in buffers.items() if isinstance(b.elem_offset, tirx.Var)}
    return tvm_ffi.structural_map(
        function.body, [(tirx.Buffer, lambda b: buffers.get(b, b)), (tirx.Var, lambda v: offsets.get(v, v))]
    )
