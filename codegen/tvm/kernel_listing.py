"""Which kernel serves which shape and number of tokens, and with which code: what the manifest says of a program."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tvm import tirx

from cosyn.codegen.program import EntryPoint
from cosyn.codegen.tvm.build_program import BuiltProgram
from cosyn.codegen.tvm.choice_table import choice_key
from cosyn.codegen.tvm.kernels.linear_few_rows import forms_by_rows
from cosyn.codegen.tvm.lower_group import packed_operands
from cosyn.ir.node import Node

_FORMS = (
    (r"cosyn_gemm_(\w+?)_(\d+x\d+)", r"\1 microkernel of \2 vectors"),
    (r"cosyn_dpbf16", "bf16 dot products"),
    (r"vpdpbusd", "VNNI dot products"),
    (r"x86\.avx\w+\.pmadd", "products of pairs"),
    (r"aarch64\.neon\.[us]dot", "NEON dot products"),
)
"""What a linear's code contains → what it is made of; the first that fits."""

_PLAIN = "multiply-add"


@dataclass(frozen=True, slots=True)
class ServedKernel:
    """One kernel: `form` is what its code is made of, `rows` the numbers of tokens that it serves so, `launches` its
    calls in a step. A linear also has the shape and storage of its weight, and the choices that are not the default;
    one whose code depends on the number of tokens is several of these.
    """

    kernel: str
    form: str
    rows: tuple[int, int]
    launches: int
    n: int = 0
    k: int = 0
    weight: str = ""
    choice: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """An object for the manifest."""
        return {name: value for name, value in asdict(self).items() if value not in (0, "", {})}


def served_kernels(built: BuiltProgram) -> list[ServedKernel]:
    """The kernels of every entry point, in order of their first call."""
    return [k for entry in built.program.entry_points for k in _of_entry(built, entry)]


def linear_forms(function: tirx.PrimFunc, rows: int) -> list[tuple[tuple[int, int], str]]:
    """What the scheduled code of a linear for at most `rows` rows is made of, by first and last number of rows."""
    *few, (first, last, any_number) = forms_by_rows(function, rows)
    found = [((begin, end), _made_of("gemv on few rows", part)) for begin, end, part in few]
    return [*found, ((first, last), _made_of("gemv" if rows == 1 else "gemm", any_number))]


def _made_of(kind: str, function: tirx.PrimFunc) -> str:
    text = function.script()
    for pattern, meaning in _FORMS:
        found = re.search(pattern, text)
        if found:
            return f"{kind}, {found.expand(meaning)}"
    return f"{kind}, {_PLAIN}"


def _of_entry(built: BuiltProgram, entry: EntryPoint) -> list[ServedKernel]:
    calls = Counter(launch.kernel for launch in entry.launches)
    groups = {g.name: g for g in built.program.fusion.groups}
    first = {launch.kernel: groups[launch.group] for launch in reversed(entry.launches)}
    # All start at one token: a smaller entry point is taken where there is one.
    rows = (1, entry.max_seq)
    found = []
    for kernel, count in calls.items():
        group = first[kernel]
        anchor = built.program.graph.producers[group.anchor]
        if group.kind in ("linear", "linear_i8"):
            found += _linear(built, kernel, anchor, entry, count)
        else:
            found.append(ServedKernel(kernel, group.kind, rows, count))
    return found


def _linear(built: BuiltProgram, kernel: str, anchor: Node, entry: EntryPoint, count: int) -> list[ServedKernel]:
    (weight,) = packed_operands(anchor)
    key = choice_key(anchor.op, built.layouts[weight], entry.bound.get("seq"))
    choice = built.choices.choice(key).changed()
    return [
        ServedKernel(kernel, form, rows, count, key.n, key.k, key.weight, choice)
        for rows, form in linear_forms(built.kernels[kernel], entry.max_seq)
    ]
