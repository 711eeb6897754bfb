"""Reads the text form of a graph that `printer.print_graph` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any, get_type_hints

from cosyn.ir.dim_parser import DimError, parse_dim
from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, Input, KVState, Weight
from cosyn.ir.node import Location, Node
from cosyn.ir.ops import OPS
from cosyn.ir.types import STATE_TYPE, Dim, TensorType
from cosyn.ir.weight_format import WeightFormat

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.]*"
_NUMBER = r"-?(\d+\.\d*([eE][+-]?\d+)?|\d+[eE][+-]?\d+|inf\b|nan\b)"
_STRING = r'"(\\.|[^"\\])*"'
_DTYPES = [d.value for d in DType if d is not DType.STATE]


class ParseError(ValueError):
    """Text that is not a graph: `line` and `column` count from 1; the message says what was expected."""

    def __init__(self, line: int, column: int, expected: str, found: str) -> None:
        super().__init__(f"line {line}, column {column}: expected {expected}, found {found}")
        self.line = line
        self.column = column


def parse(text: str) -> Graph:
    """The graph that `text` describes; ParseError points at the first thing that does not fit.

    Types are taken as written: whether they follow from the operands is the verifier's question.
    """
    graph = _Declarations()
    for number, line in enumerate(text.splitlines(), start=1):
        scanner = _Scanner(line, number)
        if not scanner.at_end():
            _statement(scanner, graph)
    if graph.outputs is None:
        raise ParseError(len(text.splitlines()) + 1, 1, "`return` with the outputs", "end of text")
    return Graph(
        graph.name, graph.dims, tuple(graph.inputs), tuple(graph.weights), tuple(graph.nodes),
        graph.outputs, tuple(graph.states), tuple(graph.constants),
    )  # fmt: skip


class _Declarations:
    """What the lines read so far declare."""

    def __init__(self) -> None:
        self.name = ""
        self.dims: dict[str, tuple[int, int]] = {}
        self.inputs: list[Input] = []
        self.weights: list[Weight] = []
        self.states: list[KVState] = []
        self.constants: list[Node] = []
        self.nodes: list[Node] = []
        self.outputs: tuple[str, ...] | None = None


class _Scanner:
    """A position in one line; `//` starts a comment."""

    def __init__(self, line: str, number: int) -> None:
        self.code, self.comment = _split_comment(line)
        self.number = number
        self.column = 0

    def skip(self) -> None:
        while self.column < len(self.code) and self.code[self.column].isspace():
            self.column += 1

    def at_end(self) -> bool:
        self.skip()
        return self.column >= len(self.code)

    def error(self, expected: str, at: int | None = None) -> ParseError:
        column = self.column if at is None else at
        rest = re.match(r"[\w.%@$]+|\S", self.code[column:])
        return ParseError(self.number, column + 1, expected, repr(rest.group()) if rest else "end of line")

    def match(self, pattern: str) -> str | None:
        self.skip()
        found = re.compile(pattern).match(self.code, self.column)
        if found is None:
            return None
        self.column = found.end()
        return found.group()

    def need(self, pattern: str, expected: str) -> str:
        found = self.match(pattern)
        if found is None:
            raise self.error(expected)
        return found

    def finish(self) -> None:
        if not self.at_end():
            raise self.error("end of line")

    def choice(self, name: str, choices: Iterable[str], what: str) -> ParseError:
        """The error for `name`, just read, which is not among `choices`."""
        close = get_close_matches(name, list(choices), 1)
        hint = f" (did you mean {close[0]!r}?)" if close else f" among {', '.join(sorted(choices))}"
        return self.error(f"{what}{hint}", self.column - len(name))


def _split_comment(line: str) -> tuple[str, str]:
    found = re.match(rf'((?:{_STRING}|(?!//)[^"])*)//(.*)', line)
    return (found.group(1), found.group(3).strip()) if found else (line, "")


def _statement(s: _Scanner, graph: _Declarations) -> None:
    word = s.match(r"(graph|dim|input|weight|state|constant|return)\b")
    _STATEMENTS[word or "%"](s, graph)
    s.finish()


def _graph(s: _Scanner, graph: _Declarations) -> None:
    graph.name = _string(s)


def _dim(s: _Scanner, graph: _Declarations) -> None:
    name = s.need(r"[A-Za-z_]\w*", "the name of a dimension")
    s.need(r"in\b", "`in`")
    low = int(s.need(r"\d+", "the lower bound"))
    s.need(r"\.\.", "`..`")
    graph.dims[name] = (low, int(s.need(r"\d+", "the upper bound")))


def _input(s: _Scanner, graph: _Declarations) -> None:
    name = s.need(f"%{_NAME}", "an input name `%name`")[1:]
    s.need(":", "`:` and the type")
    graph.inputs.append(Input(name, _type(s)))


def _weight(s: _Scanner, graph: _Declarations) -> None:
    name = s.need(f"@{_NAME}", "a weight name `@name`")[1:]
    s.need(":", "`:` and the type")
    type_ = _type(s)
    s.need(r"from\b", '`from "key"`')
    graph.weights.append(Weight(name, type_, _string(s)))


def _state(s: _Scanner, graph: _Declarations) -> None:
    name = s.need(rf"\${_NAME}", "a state name `$name`")[1:]
    graph.states.append(_record(s, KVState, {"name": name}))


def _constant(s: _Scanner, graph: _Declarations) -> None:
    graph.constants.append(_node(s, "@"))


def _step_node(s: _Scanner, graph: _Declarations) -> None:
    graph.nodes.append(_node(s, "%"))


def _return(s: _Scanner, graph: _Declarations) -> None:
    graph.outputs = tuple(_list(s, _ref, until=None))


_STATEMENTS: dict[str, Callable[[_Scanner, _Declarations], None]] = {
    "graph": _graph, "dim": _dim, "input": _input, "weight": _weight, "state": _state,
    "constant": _constant, "return": _return, "%": _step_node,
}  # fmt: skip


def _node(s: _Scanner, sigil: str) -> Node:
    name = s.need(f"{sigil}{_NAME}", f"a declaration or a node `{sigil}name = op(…) : type`")[1:]
    s.need("=", "`=` and an op")
    op = s.need(r"[a-z_]\w*", "an op name")
    if op not in OPS:
        raise s.choice(op, OPS, "an op")
    s.need(r"\(", "`(` and the operands")
    operands = _list(s, _ref, until=r"\)")
    attrs = _record(s, OPS[op].attrs, {})
    s.need(":", "`:` and the result types")
    types = _list(s, _type, until=None)
    layer, _, source = s.comment.partition(" at ")
    return Node(name, op, tuple(operands), tuple(types), attrs, Location(layer.strip(), source.strip()))


def _list(s: _Scanner, item: Callable[[_Scanner], Any], until: str | None) -> list[Any]:
    if until is not None and s.match(until):
        return []
    items = [item(s)]
    while s.match(","):
        items.append(item(s))
    if until is not None:
        s.need(until, f"`,` or `{until[-1]}`")
    return items


def _ref(s: _Scanner) -> str:
    return s.need(f"[%@$]{_NAME}", "a reference (%name, @name or $name)")


def _string(s: _Scanner) -> str:
    return str(json.loads(s.need(_STRING, "a string in double quotes")))


def _type(s: _Scanner) -> TensorType:
    if s.match(r"state\b"):
        return STATE_TYPE
    name = s.need(r"[A-Za-z]\w*", "a type such as f32[seq, 64]")
    if name not in _DTYPES:
        raise s.choice(name, _DTYPES, "an element type")
    s.need(r"\[", "`[` and the dimensions")
    shape = tuple(_list(s, _dimension, until=r"\]"))
    return TensorType(shape, DType(name), _format(s) if s.match(r"as\b") else None)


def _format(s: _Scanner) -> WeightFormat:
    text = s.need(r"[\w:.]+", "a weight format such as i4g32:f16")
    try:
        return WeightFormat.parse(text)
    except ValueError as error:
        raise s.error(f"a weight format such as i4g32:f16 ({error})", s.column - len(text)) from error


def _dimension(s: _Scanner) -> Dim:
    s.skip()
    start = s.column
    try:
        dim, s.column = parse_dim(s.code, s.column)
    except DimError as error:
        raise s.error("a dimension: an integer, a symbol, or an expression of them", error.column) from error
    if s.column == start:
        raise s.error("a dimension")
    return dim


def _record(s: _Scanner, cls: type[Any], given: dict[str, Any]) -> Any:
    """The record of the dataclass `cls` written `{field=value, …}`; absent where all fields have their
    default.
    """
    values = dict(given)
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls) if f.name not in given]
    if s.match(r"\{"):

        def entry(s: _Scanner) -> None:
            name = s.need(r"[A-Za-z_]\w*", "an attribute name")
            if name not in names:
                raise s.choice(name, names, "an attribute")
            s.need("=", "`=` and a value")
            values[name] = _value(s, hints[name])

        _list(s, entry, until=r"\}")
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    for name in required:
        if name not in values:
            raise s.error(f"the attribute {name}")
    return cls(**values)


def _value(s: _Scanner, hint: object) -> Any:
    if word := s.match(r"(none|true|false)\b"):
        return {"none": None, "true": True, "false": False}[word]
    if hint is DType:
        name = s.need(r"[a-z]\w*", "an element type")
        if name not in _DTYPES:
            raise s.choice(name, _DTYPES, "an element type")
        return DType(name)
    if s.match(r"\["):
        return tuple(_list(s, lambda s: _value(s, None), until=r"\]"))
    if number := s.match(_NUMBER):
        return float(number)
    s.skip()
    return _string(s) if s.code[s.column : s.column + 1] == '"' else _dimension(s)
