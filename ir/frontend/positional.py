"""Traced values that depend neither on tokens nor on parameters, and what they are at given positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cosyn.ir.errors import UnsupportedOp, UnsupportedOps
from cosyn.ir.frontend.exported import Exported, location

Array = npt.NDArray[Any]


class Dependence(IntEnum):
    """What a traced value depends on; the larger wins."""

    CONSTANT = 0  # buffers and numbers
    POSITION = 1  # also the position numbers or the number of tokens
    DATA = 2  # also token ids or parameters


class PositionValues:
    """Evaluates position-only values with torch, in float64 where the model would use float32.

    `buffers` hold the real values of the model's buffers by name. `constants` collects tensors that the graph
    needs as weights. A step's tokens are taken to be at `positions`; `arange(seq)` and a slice `[:seq]` of a
    table mean the same there as an index by position.
    """

    def __init__(self, exported: Exported, buffers: Mapping[str, torch.Tensor]) -> None:
        self._exported = exported
        self._buffers = buffers
        self._dependence: dict[torch.fx.Node, Dependence] = {}
        self._cache: dict[tuple[torch.fx.Node, tuple[int, ...], bool], Any] = {}
        self.constants: dict[str, Array] = {}

    def dependence(self, node: torch.fx.Node) -> Dependence:
        """What the value of `node` depends on."""
        pending = [node]
        while pending:
            top = pending[-1]
            inputs = self._inputs(top)
            unknown = [n for n in inputs if n not in self._dependence]
            if unknown:
                pending.extend(unknown)
                continue
            self._dependence[top] = self._own(top, [self._dependence[n] for n in inputs])
            pending.pop()
        return self._dependence[node]

    def _inputs(self, node: torch.fx.Node) -> list[torch.fx.Node]:
        if node.op == "placeholder" or _is_size(node):
            return []
        return node.all_input_nodes

    def _own(self, node: torch.fx.Node, operands: Sequence[Dependence]) -> Dependence:
        if node.op == "placeholder":
            kind, key = self._exported.sources[node.name]
            if kind == "input":
                return Dependence.POSITION if key == "positions" else Dependence.DATA
            return Dependence.DATA if kind == "parameter" else Dependence.CONSTANT
        if _is_size(node):
            return Dependence.CONSTANT if isinstance(node.meta["val"], int | float) else Dependence.POSITION
        return max(operands, default=Dependence.CONSTANT)

    def is_positions(self, node: torch.fx.Node) -> bool:
        """Whether the value is the position numbers themselves."""
        if self._exported.sources.get(node.name) == ("input", "positions"):
            return True
        return _is_arange_of_tokens(node)

    def at(self, node: torch.fx.Node, positions: Sequence[int], *, double: bool = True) -> Array:
        """The value of `node`, batch axis included, for tokens at `positions`."""
        value = self._evaluate(node, tuple(positions), double)
        result: Array = (
            value.detach().to(torch.float64 if double and value.is_floating_point() else value.dtype).numpy()
        )
        return result

    def constant(self, node: torch.fx.Node) -> Array:
        """The value of a node that depends on buffers alone, in the precision of the model's code."""
        value = self._evaluate(node, (0,), False).detach()
        array: Array = (value.float() if value.is_floating_point() else value).numpy()
        return array.astype(np.int32) if array.dtype == np.int64 else array

    def add_constant(self, node: torch.fx.Node, array: Array) -> str:
        """Keep the value of `node` as a weight; returns its key: the buffer's name where it is one."""
        kind, key = self._exported.sources.get(node.name, ("", ""))
        return self.keep(key if kind == "buffer" else f"constant.{node.name}", array)

    def keep(self, name: str, array: Array) -> str:
        """Keep `array` as a weight; returns its key: `name`, numbered where that holds other values."""
        key, count = name, 0
        while key in self.constants and not np.array_equal(self.constants[key], array):
            count += 1
            key = f"{name}.{count}"
        self.constants[key] = array
        return key

    def _evaluate(self, node: torch.fx.Node, positions: tuple[int, ...], double: bool) -> Any:
        order: list[torch.fx.Node] = []
        seen: set[torch.fx.Node] = set()
        stack = [(node, False)]
        while stack:
            top, done = stack.pop()
            if done:
                order.append(top)
            elif top not in seen and (top, positions, double) not in self._cache:
                seen.add(top)
                stack.append((top, True))
                stack.extend((n, False) for n in top.all_input_nodes if not _is_token_size(top))
        for item in order:
            self._cache[item, positions, double] = self._compute(item, positions, double)
        return self._cache[node, positions, double]

    def _compute(self, node: torch.fx.Node, positions: tuple[int, ...], double: bool) -> Any:
        index = torch.tensor(positions, dtype=torch.int64)
        if node.op == "placeholder":
            return self._placeholder(node, index, double)
        if node.op == "get_attr":
            return getattr(self._exported.module, str(node.target))
        if _is_token_size(node):
            return len(positions)
        if _is_arange_of_tokens(node):
            return index

        def value(operand: torch.fx.Node) -> Any:
            return self._cache[operand, positions, double]

        arguments = _resolve(list(node.args), value, double)
        if is_slice_by_tokens(node):
            return torch.index_select(arguments[0], arguments[1] if len(arguments) > 1 else 0, index)
        return node.target(*arguments, **_resolve(dict(node.kwargs), value, double))  # type: ignore[operator]

    def _placeholder(self, node: torch.fx.Node, positions: torch.Tensor, double: bool) -> torch.Tensor:
        kind, key = self._exported.sources[node.name]
        if kind == "input":
            return positions[None]
        tensor = self._buffers[key] if kind == "buffer" else self._exported.constants[key]
        if tensor.is_meta:
            where = location(next(iter(node.users), node))
            raise UnsupportedOps(
                [
                    UnsupportedOp(
                        "constant tensor",
                        key,
                        where.layer,
                        where.source,
                        "its value is not known when traced",
                    )
                ]
            )
        return tensor.double() if double and tensor.is_floating_point() else tensor


def _resolve(argument: Any, value: Callable[[torch.fx.Node], Any], double: bool) -> Any:
    """An argument of a traced call, values in place of nodes: on the CPU, floats in float64 if `double`."""
    if isinstance(argument, torch.fx.Node):
        return value(argument)
    if isinstance(argument, dict):
        return {k: _resolve(v, value, double) for k, v in argument.items()}
    if isinstance(argument, list | tuple):
        return type(argument)(_resolve(a, value, double) for a in argument)
    if isinstance(argument, torch.device):
        return torch.device("cpu")
    if double and argument in (torch.float32, torch.float16, torch.bfloat16):
        return torch.float64
    return argument


def _is_size(node: torch.fx.Node) -> bool:
    return node.op == "call_function" and isinstance(node.meta.get("val"), int | float | torch.SymInt | torch.SymFloat)


def _is_token_size(node: torch.fx.Node) -> bool:
    """Whether the node reads the number of tokens from a tensor's shape."""
    return "sym_size" in str(node.target) and _is_size(node)


def _is_arange_of_tokens(node: torch.fx.Node) -> bool:
    """`arange(seq)`: 0, 1, 2, … one number per token."""
    if node.op != "call_function" or not str(node.target).startswith("aten.arange"):
        return False
    numbers = [a for a in node.args if not isinstance(a, torch.dtype)]
    end = numbers[0] if len(numbers) == 1 else numbers[1]
    start = 0 if len(numbers) == 1 else numbers[0]
    step = numbers[2] if len(numbers) > 2 else 1
    return isinstance(end, torch.fx.Node) and _is_token_size(end) and (start, step) == (0, 1)


def is_slice_by_tokens(node: torch.fx.Node) -> bool:
    """`table[:seq]`: the rows of the first positions."""
    if node.op != "call_function" or not str(node.target).startswith("aten.slice"):
        return False
    start, end = (*node.args[2:4], None, None)[:2]
    return start in (0, None) and isinstance(end, torch.fx.Node) and _is_token_size(end) and len(node.args) < 5
