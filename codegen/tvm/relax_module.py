"""The host side for TVM targets: one Relax function per entry point, over storage that our memory plan lays out.

Values live in one arena that is made once; weights and states arrive as arrays of tensors. Kernels are called in
destination-passing style, so TVM's own planner has nothing left to decide and a step allocates nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import tvm
from tvm import relax, tirx

from cosyn.codegen.program import Argument, EntryPoint, Program
from cosyn.codegen.tvm.compute.stage import tvm_dtype
from cosyn.codegen.tvm.dims import Dims

_ANY = relax.AnyType()
_NOTHING = relax.TupleType([])

LOWERING = tvm.ir.transform.Sequential(
    [
        relax.transform.LowerAllocTensor(),
        relax.transform.KillAfterLastUse(),
        relax.transform.LowerRuntimeBuiltin(),
        relax.transform.ComputePrimValue(),
        relax.transform.VMShapeLower(),
        relax.transform.AttachGlobalSymbol(),
    ]
)
"""The only Relax passes that run: everything before them is ours."""


def build_module(program: Program, kernels: Mapping[str, tirx.PrimFunc]) -> tvm.IRModule:
    """The module of `program`: `init_arena`, one function per entry point, and the kernels by name."""
    builder = relax.BlockBuilder()
    _emit_init_arena(builder, program.memory.arena_bytes)
    for entry in program.entry_points:
        _emit_entry(builder, program, entry)
    module = builder.get()
    for name, function in kernels.items():
        module[name] = function.with_attr("global_symbol", name)
    return module


def _emit_init_arena(builder: relax.BlockBuilder, nbytes: int) -> None:
    with builder.function("init_arena", [], pure=False):
        storage = relax.op.memory.alloc_storage(
            relax.ShapeExpr([max(nbytes, 64)]), relax.prim_value(0), "global", "uint8"
        )
        builder.emit_func_output(builder.emit(storage))


def _emit_entry(builder: relax.BlockBuilder, program: Program, entry: EntryPoint) -> None:
    dims = Dims(entry.bound)
    arena, states, weights = (relax.Var(n, _ANY) for n in ("arena", "states", "weights"))
    inputs = [
        relax.Var(i.name, relax.TensorType(dims.shape(i.type.shape), tvm_dtype(i.type.dtype)))
        for i in program.graph.inputs
    ]
    logits = relax.Var("logits", _ANY)
    with builder.function(entry.name, [arena, *inputs, states, weights, logits], pure=False):
        values: dict[str, relax.Expr] = {f"%{i.name}": v for i, v in zip(program.graph.inputs, inputs, strict=True)}
        values[program.output] = logits
        pieces = _Items(builder, states, program.state_tensors) | _Items(builder, weights, program.weight_pieces)
        for launch in entry.launches:
            arguments = [
                pieces.get(a) if a.ref[0] in "@$" else _view(builder, program, dims, arena, values, a.ref)
                for a in launch.arguments
            ]
            results = [_view(builder, program, dims, arena, values, r) for r in launch.results]
            builder.emit(relax.Call(relax.ExternFunc(launch.kernel), [*arguments, *results], ty_args=[_NOTHING]))
        builder.emit_func_output(relax.Tuple([]))


def _view(
    builder: relax.BlockBuilder,
    program: Program,
    dims: Dims,
    arena: relax.Var,
    values: dict[str, relax.Expr],
    ref: str,
) -> relax.Expr:
    """The tensor that stands for `ref`: where the memory plan puts it, with its own shape."""
    if ref not in values:
        kind = program.graph.types[ref]
        values[ref] = builder.emit(
            relax.op.memory.alloc_tensor(
                arena,
                relax.prim_value(program.memory.offset(ref)),
                relax.ShapeExpr(dims.shape(kind.shape)),
                tvm_dtype(kind.dtype),
            )
        )
    return values[ref]


class _Items:
    """Elements of arrays of tensors, fetched at their first use."""

    def __init__(self, builder: relax.BlockBuilder, array: relax.Var, order: tuple[Argument, ...]) -> None:
        self._builder = builder
        self._index = {argument: (array, i) for i, argument in enumerate(order)}
        self._cache: dict[Argument, relax.Expr] = {}

    def __or__(self, other: _Items) -> _Items:
        self._index |= other._index
        return self

    def get(self, argument: Argument) -> relax.Expr:
        if argument not in self._cache:
            array, i = self._index[argument]
            call = relax.Call(
                relax.ExternFunc("vm.builtin.tuple_getitem"), [array, relax.prim_value(i)], ty_args=[_ANY]
            )
            self._cache[argument] = self._builder.emit(call)
        return self._cache[argument]
