"""Turns a traced program into a graph: drops the batch axis, keeps what depends only on positions aside.

Every traced value is held without its leading axis where that has size 1: the batch of one sequence that the
model was traced with. Values that depend neither on tokens nor on parameters (masks, rotary tables, position
numbers) are not lowered at once: they become extra inputs `position_value_*`, which the recognition of rotary
embeddings and attention consumes by meaning; what is left of them is lowered afterwards.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from cosyn.ir.dtype import DType
from cosyn.ir.errors import UnsupportedOp
from cosyn.ir.frontend.builder import GraphBuilder
from cosyn.ir.frontend.exported import Exported, location, value_dtype
from cosyn.ir.frontend.positional import Array, Dependence, PositionValues
from cosyn.ir.node import NO_ATTRS
from cosyn.ir.ops import OpError
from cosyn.ir.types import SEQ, Dim, TensorType

Value = str | tuple[str, ...]
Handler = Callable[["Lowering", torch.fx.Node], Value]


@dataclass(frozen=True)
class PositionInput:
    """A position-only value that the graph reads: a traced node, or the score bias that a mask stands for.

    `blocked`: for a mask, the truth value that hides a key; its bias is then -inf there and 0 elsewhere.
    """

    node: torch.fx.Node
    blocked: bool | None = None

    def at(self, positional: PositionValues, positions: Sequence[int]) -> Array:
        """Its values for tokens at `positions`."""
        value = positional.at(self.node, positions)
        return value if self.blocked is None else np.where(value.astype(bool) == self.blocked, -np.inf, 0.0)


class CannotLower(Exception):
    """Raised by a handler for a use of its op that the IR cannot express; the message is the reason."""


class OperandNotLowered(CannotLower):
    """Raised for a value whose reason for not being lowered is already noted."""


@dataclass
class Lowering:
    """State of one lowering: the builder, the traced program, and what each traced value became."""

    exported: Exported
    builder: GraphBuilder
    positional: PositionValues
    handlers: Mapping[str, Handler]
    tied: Mapping[str, str]
    max_seq: int
    values: dict[torch.fx.Node, Value] = field(default_factory=dict)
    position_inputs: dict[str, PositionInput] = field(default_factory=dict)
    weights_used: dict[str, str] = field(default_factory=dict)
    unsupported: list[UnsupportedOp] = field(default_factory=list)
    inside_positions: bool = False

    def run(self, nodes: Sequence[torch.fx.Node]) -> None:
        """Lower the nodes that depend on tokens or parameters, in order; collects what cannot be lowered."""
        for node in nodes:
            if node.op == "call_function" and not is_noise(node) and not is_empty(node) and self._depends_on_data(node):
                self.lower(node)

    def _depends_on_data(self, node: torch.fx.Node) -> bool:
        return self.positional.dependence(node) is Dependence.DATA

    def restart(self, builder: GraphBuilder) -> None:
        """Go on in another builder, and lower position-only values like all others."""
        self.builder = builder
        self.inside_positions = True
        self.values = {}

    def lower(self, node: torch.fx.Node) -> None:
        """Lower one node, or note why it cannot be."""
        self.builder.location = location(node)
        name = op_name(node)
        handler = self.handlers.get(name)
        if handler is not None and any(self.values.get(a) == () for a in node.all_input_nodes):
            # An operand could not be lowered: its reason is already listed. An unknown op is listed all the same.
            self.values[node] = ()
            return
        try:
            if handler is None:
                raise CannotLower("")
            self.values[node] = handler(self, node)
        except OperandNotLowered:
            self.values[node] = ()
        except (CannotLower, OpError) as error:
            where = location(node)
            self.unsupported.append(UnsupportedOp(name, node.name, where.layer, where.source, str(error)))
            self.values[node] = ()

    # What handlers ask for.

    def arguments(self, node: torch.fx.Node) -> dict[str, Any]:
        """Arguments of an ATen call by their names in the schema, defaults included."""
        schema = node.target._schema.arguments  # type: ignore[union-attr]  # an OpOverload
        named = {a.name: a.default_value for a in schema if a.has_default_value()}
        named |= {a.name: v for a, v in zip(schema, node.args, strict=False)}
        return named | dict(node.kwargs)

    def value(self, node: torch.fx.Node) -> str:
        """The reference of a traced tensor, held without its batch axis."""
        ref = self.any_value(node)
        shape = held(self.exported.shape(node))
        return ref if self.builder.shape(ref) == shape else self.builder.reshape(ref, shape)

    def any_value(self, node: torch.fx.Node) -> str:
        """The reference of a traced tensor in whatever shape it has: a weight keeps all its axes."""
        if node not in self.values:
            self.values[node] = self._source(node)
        value = self.values[node]
        if value == ():
            raise OperandNotLowered(node.name)
        if isinstance(value, tuple):
            raise CannotLower(f"{node.name} gives several tensors where one is expected")
        return value

    def operand(self, argument: Any, dtype: DType) -> str:
        """A tensor or number as an operand of arithmetic in `dtype`."""
        if isinstance(argument, torch.fx.Node):
            if not isinstance(argument.meta["val"], torch.Tensor):
                raise CannotLower(f"arithmetic on the size {argument.name}")
            ref = self.value(argument)
            return self.cast(ref, dtype)
        if isinstance(argument, bool) or not isinstance(argument, int | float):
            raise CannotLower(f"an operand {argument!r}")
        return self.builder.scalar(float(argument), dtype)

    def cast(self, ref: str, dtype: DType) -> str:
        """`ref` in the element type that arithmetic takes place in."""
        from cosyn.ir.ops.elementwise import CastAttrs

        return ref if self.builder.types[ref].dtype is dtype else self.emit("cast", [ref], CastAttrs(dtype))

    def emit(self, op: str, operands: Sequence[str], attrs: object = NO_ATTRS) -> str:
        return self.builder.emit(op, operands, attrs)

    def result(self, node: torch.fx.Node, ref: str) -> str:
        """`ref` in the shape in which the value of `node` is held."""
        return self.builder.reshape(ref, held(self.exported.shape(node)))

    def full(self, node: torch.fx.Node) -> str:
        """A traced tensor with all its axes, batch included."""
        return self.builder.reshape(self.any_value(node), self.exported.shape(node))

    # Where values come from.

    def _source(self, node: torch.fx.Node) -> str:
        if node.op == "placeholder":
            kind, key = self.exported.sources[node.name]
            if kind == "parameter":
                return self._weight(self.tied.get(key, key))
            if kind == "input":
                return f"%{key}"
        if self.positional.dependence(node) is Dependence.CONSTANT:
            return self._constant(node)
        if self.positional.dependence(node) is not Dependence.POSITION:
            raise CannotLower(f"{node.name} was not lowered")
        if self.positional.is_positions(node):
            return "%positions"
        if self.inside_positions:
            if node not in self.values:
                self.lower(node)
            value = self.values[node]
            if value == ():
                raise OperandNotLowered(node.name)
            return self.any_value(node)
        return self.position_input(node)

    def position_input(self, node: torch.fx.Node, blocked: bool | None = None) -> str:
        """A position-only value as an input of the graph, for recognition to consume; see PositionInput."""
        dtype = value_dtype(node) if blocked is None else DType.F32
        name = f"position_value_{node.name}" + ("" if blocked is None else f"_hides_{blocked}".lower())
        self.builder.types[f"%{name}"] = TensorType(held(self.exported.shape(node)), dtype)
        self.position_inputs[name] = PositionInput(node, blocked)
        return f"%{name}"

    def _weight(self, key: str) -> str:
        ref = f"@{key}"
        if ref not in self.builder.types:
            raise CannotLower(f"the weights hold no tensor {key}")
        self.weights_used[ref] = key
        return ref

    def _constant(self, node: torch.fx.Node) -> str:
        """A value that depends on buffers alone: a number, or a tensor added to the weights."""
        array = self.positional.constant(node)
        if array.size == 1:
            ref = self.builder.scalar(float(array.reshape(())), value_dtype(node))
            shape = held(self.exported.shape(node))
            return self.builder.reshape(ref, shape) if shape else ref
        return self._kept(self.positional.add_constant(node, array), array)

    def add_weight(self, name: str, array: Array) -> str:
        """A tensor that the model does not store, as a weight."""
        return self._kept(self.positional.keep(name, array), array)

    def _kept(self, key: str, array: Array) -> str:
        ref = f"@{key}"
        self.builder.types[ref] = TensorType(array.shape, DType.from_numpy(array.dtype))
        self.weights_used[ref] = key
        return ref


def held(shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The shape in which a traced value is held: without a leading axis of size 1."""
    return shape[1:] if len(shape) >= 2 and shape[0] == 1 else shape


def op_name(node: torch.fx.Node) -> str:
    """`aten.add` for every overload of it."""
    if node.target is operator.getitem:
        return "getitem"
    text = str(node.target)
    parts = text.split(".")
    return ".".join(parts[:2]) if len(parts) >= 2 else getattr(node.target, "__name__", text)


_NOISE = {"aten._assert_tensor_metadata", "aten._assert_scalar", "aten._assert_async", "aten.sym_size",
          "aten.sym_constrain_range_for_size"}  # fmt: skip


def is_noise(node: torch.fx.Node) -> bool:
    """Whether a traced node computes nothing that the graph needs: a check, or arithmetic on sizes."""
    value = node.meta.get("val")
    sizes_only = not isinstance(value, torch.Tensor | tuple | list)
    return op_name(node) in _NOISE or sizes_only


def is_empty(node: torch.fx.Node) -> bool:
    """Whether a traced tensor has no elements: the unturned part of a head that turns as a whole."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and any(isinstance(s, int) and s == 0 for s in value.shape)


def sequence_axis(shape: Sequence[Dim]) -> int | None:
    """The only axis whose extent is the number of tokens, None where there is no such axis or several."""
    axes = [i for i, d in enumerate(shape) if d == SEQ]
    return axes[0] if len(axes) == 1 else None
