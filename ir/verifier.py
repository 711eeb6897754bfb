"""What a legal graph is: a table of rules, one English line each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cosyn.ir.dtype import DType
from cosyn.ir.errors import CosynError
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops import OPS, OpError
from cosyn.ir.types import TensorType

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*")


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a graph breaks: the rule, the declaration or node that breaks it, and how."""

    rule: str
    where: str
    found: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}; {self.found}"


class VerifyError(CosynError):
    """A graph that breaks rules; the message lists all of them, `violations` holds them."""

    def __init__(self, violations: tuple[Violation, ...], stage: str) -> None:
        lines = "\n".join(f"  {v}" for v in violations)
        after = f" after {stage}" if stage else ""
        super().__init__(f"the graph{after} breaks {len(violations)} rules of the IR:\n{lines}")
        self.violations = violations


Rule = Callable[[Graph], Iterator[tuple[str, str]]]
"""Yields where a graph breaks the rule, and what was found there."""


def verify(graph: Graph) -> list[Violation]:
    """Every rule that `graph` breaks, in the order of the table. Rules about types need sound references."""
    found: list[Violation] = []
    for table in (STRUCTURE, TYPES):
        found += [Violation(line, where, what) for line, rule in table.items() for where, what in rule(graph)]
        if found:
            break
    return found


def check(graph: Graph, stage: str = "") -> Graph:
    """`graph` itself; VerifyError, which names the `stage` that made it, where it breaks a rule."""
    violations = verify(graph)
    if violations:
        raise VerifyError(tuple(violations), stage)
    return graph


def _declared(graph: Graph) -> list[str]:
    declared = [f"%{i.name}" for i in graph.inputs]
    declared += [f"@{w.name}" for w in graph.weights]
    declared += [f"${s.name}" for s in graph.states]
    return declared


def _names(graph: Graph) -> Iterator[tuple[str, str]]:
    for ref in (*_declared(graph), *(f"@{n.name}" for n in graph.constants), *(n.ref for n in graph.nodes)):
        if not _NAME.fullmatch(ref[1:]):
            yield ref, f"found {ref[1:]!r}"


def _unique(graph: Graph) -> Iterator[tuple[str, str]]:
    refs = Counter(_declared(graph))
    refs.update(f"@{n.name}" for n in graph.constants)
    refs.update(r for n in graph.nodes for r in n.results)
    for ref, count in refs.items():
        if count > 1:
            yield ref, f"found {count} definitions"


def _known_ops(graph: Graph) -> Iterator[tuple[str, str]]:
    for node in (*graph.constants, *graph.nodes):
        if node.op not in OPS:
            yield node.ref, f"found {node.op!r}"


def _arity(graph: Graph) -> Iterator[tuple[str, str]]:
    for node in (*graph.constants, *graph.nodes):
        if node.op in OPS:
            low, high = OPS[node.op].arity
            if not low <= len(node.operands) <= high:
                yield node.ref, f"{node.op} takes {low}..{high} operands, found {len(node.operands)}"


def _attrs(graph: Graph) -> Iterator[tuple[str, str]]:
    for node in (*graph.constants, *graph.nodes):
        if node.op in OPS and type(node.attrs) is not OPS[node.op].attrs:
            expected = OPS[node.op].attrs.__name__
            yield node.ref, f"{node.op} has {expected}, found {type(node.attrs).__name__}"


def _constants(graph: Graph) -> Iterator[tuple[str, str]]:
    known = {f"@{w.name}" for w in graph.weights}
    for node in graph.constants:
        for ref in node.operands:
            if ref not in known:
                yield f"@{node.name}", f"found {ref}"
        if len(node.types) != 1:
            yield f"@{node.name}", f"found {len(node.types)} results"
        known.add(f"@{node.name}")


def _order(graph: Graph) -> Iterator[tuple[str, str]]:
    known = {*_declared(graph), *(f"@{n.name}" for n in graph.constants)}
    for node in graph.nodes:
        for ref in node.operands:
            if ref not in known:
                yield node.ref, f"found {ref}"
        known |= set(node.results)


def _outputs(graph: Graph) -> Iterator[tuple[str, str]]:
    if not graph.outputs:
        yield "return", "found no output"
    known = {r for n in graph.nodes for r in n.results}
    known |= set(_declared(graph)) | {f"@{n.name}" for n in graph.constants}
    for ref in graph.outputs:
        if ref not in known or ref.startswith("$"):
            yield "return", f"found {ref}"


def _dims(graph: Graph) -> Iterator[tuple[str, str]]:
    for name, (low, high) in graph.dims.items():
        if not 1 <= low <= high:
            yield f"dim {name}", f"found {low}..{high}"
    for ref, type_ in graph.types.items():
        for name in sorted(type_.symbols - set(graph.dims)):
            yield ref, f"found {name}"


def _state_chain(graph: Graph) -> Iterator[tuple[str, str]]:
    written: dict[str, str] = {}
    for node in graph.nodes:
        for ref in node.operands:
            if graph.types.get(ref, None) is None or graph.types[ref].dtype is not DType.STATE:
                continue
            if ref in written and (node.op == "kv_append" or ref.startswith("$")):
                yield node.ref, f"{ref} was written by {written[ref]}"
        if node.op == "kv_append":
            written[node.operands[0]] = node.ref


def _inferred(graph: Graph) -> Iterator[tuple[str, str]]:
    for sigil, nodes in (("@", graph.constants), ("%", graph.nodes)):
        for node in nodes:
            yield from _check_types(graph, f"{sigil}{node.name}", node)


def _check_types(graph: Graph, where: str, node: Node) -> Iterator[tuple[str, str]]:
    try:
        inferred = OPS[node.op].infer(node.attrs, [graph.types[r] for r in node.operands])
    except OpError as error:
        yield where, f"{node.op}: {error}"
        return
    # How a constant is stored is a choice, not a consequence of its operands.
    found = tuple(TensorType(t.shape, t.dtype) for t in node.types)
    if found != inferred:
        shown = ", ".join(map(str, inferred)), ", ".join(map(str, node.types))
        yield where, f"{node.op} gives {shown[0]}, found {shown[1]}"


def _formats(graph: Graph) -> Iterator[tuple[str, str]]:
    for ref, type_ in graph.types.items():
        if type_.format is None:
            continue
        if not ref.startswith("@"):
            yield ref, f"found {type_}"
        elif type_.rank < 2 or not isinstance(type_.shape[-1], int):
            yield ref, f"a format needs a matrix, found {type_}"
        elif not type_.format.integer_scales and type_.shape[-1] % (type_.format.group_size or 1):
            yield ref, f"groups of {type_.format.group_size} do not divide {type_.shape[-1]} columns"


def _static(graph: Graph) -> Iterator[tuple[str, str]]:
    for ref, type_ in graph.types.items():
        if ref.startswith("@") and type_.symbols:
            yield ref, f"found {type_}"


STRUCTURE: dict[str, Rule] = {
    "a name consists of letters, digits, _ and .": _names,
    "every value, weight, constant and state is defined once": _unique,
    "the op is in the op table": _known_ops,
    "the op takes that many operands": _arity,
    "the attribute record is the one that the op declares": _attrs,
    "a constant has one result and reads weights and earlier constants only": _constants,
    "an operand is an input, weight, constant, state or an earlier node's result": _order,
    "outputs exist": _outputs,
}
"""Rules about names and references, checked first."""

TYPES: dict[str, Rule] = {
    "a symbolic dimension is declared with a range from 1": _dims,
    "weights and constants have fixed shapes": _static,
    "the result types follow from the operands": _inferred,
    "only weights and constants have a storage format, and it fits their rows": _formats,
    "a state is written once per step, and read only after that": _state_chain,
}
"""Rules that look at types, checked where references are sound."""

RULES: dict[str, Rule] = STRUCTURE | TYPES
"""Every rule: its English line and the function that finds what breaks it."""
