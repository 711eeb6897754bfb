"""Decides how each weight is stored, and which linears work on 8-bit or bf16 activations."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import ClassVar

from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops.elementwise import CastAttrs
from cosyn.ir.types import TensorType
from cosyn.ir.weight_format import WeightFormat
from cosyn.passes.recipe import Recipe, Storage
from cosyn.passes.rewrite import Rewriter
from cosyn.passes.routers import routers
from cosyn.passes.sources import Sources


@dataclass(frozen=True)
class Quantize:
    """Give every weight that a step reads the type in which the artifact stores it.

        weight @w : bf16[96, 64] from "…"                weight @w : bf16[96, 64] as i8row:f32 from "…"
        %y = linear(%x, @w) : f32[seq, 96]          →    %x.i8 = quantize_rows(%x) : i8[seq, 64], f32[seq, 1]
                                                         %y = linear_i8(%x.i8, %x.i8.1, @w) : f32[seq, 96]

    Only types change, no value: codes are made when the artifact is packed. A weight needed in several forms
    (a table that is also the head) gets one `cast` constant per form. Precondition: constants are folded,
    linears merged and experts taken apart. Postcondition: every float weight that a step reads is f32, or has
    the recipe's storage.
    """

    recipe: Recipe

    name: ClassVar[str] = "quantize"

    def run(self, graph: Graph) -> Graph:
        chooser = _Chooser(self.recipe, graph)
        wanted: dict[str, dict[Storage, None]] = defaultdict(dict)
        for node in graph.nodes:
            for ref in node.operands:
                if (form := chooser.form(node, ref)) is not None:
                    wanted[ref][form] = None
        rewriter = Rewriter(graph)
        stored = {ref: _store(rewriter, ref, list(forms)) for ref, forms in wanted.items()}
        converted: dict[str, Node] = {}
        for node in graph.nodes:
            forms = {ref: chooser.form(node, ref) for ref in node.operands}
            operands = (stored[r][f] if (f := forms[r]) is not None else r for r in node.operands)
            self._emit(rewriter, replace(node, operands=tuple(operands)), converted)
        return rewriter.finish()

    def _emit(self, rewriter: Rewriter, node: Node, converted: dict[str, Node]) -> None:
        """`node`, with activations converted where it is a linear and recipe and weight ask for it."""
        weight = rewriter.types[rewriter.resolve(node.operands[1])] if node.op == "linear" else None
        conversion = self._conversion(weight) if weight is not None else None
        if conversion is None:
            rewriter.keep(node)
            return
        x, *rest = (rewriter.resolve(r) for r in node.operands)
        if x not in converted:
            suffix = {"quantize_rows": "i8", "round_bf16": "bf16"}[conversion]
            name = rewriter.fresh(f"{x[1:]}.{suffix}")
            converted[x] = rewriter.emit(name, conversion, [x], location=node.location)
        op = "linear_i8" if conversion == "quantize_rows" else "linear"
        rewriter.emit(node.name, op, [*converted[x].results, *rest], location=node.location)

    def _conversion(self, weight: TensorType) -> str | None:
        """The op between the activations and a linear of that weight, if any."""
        if self.recipe.activations == "i8" and weight.format is not None:
            return "quantize_rows"
        rounds = self.recipe.activations == "bf16" and weight.format is None and weight.dtype is DType.BF16
        return "round_bf16" if rounds else None


class _Chooser:
    """In which form each operand of a node is to be stored."""

    def __init__(self, recipe: Recipe, graph: Graph) -> None:
        self._recipe = recipe
        self._types = graph.types
        self._sources = Sources(graph)
        self._routers = routers(graph)

    def form(self, node: Node, ref: str) -> Storage | None:
        """The form of `ref` as an operand of `node`; None for what is not a float weight."""
        if not ref.startswith("@") or not self._types[ref].dtype.is_float:
            return None
        matrices = node.operands[_MATRICES[node.op]] if node.op in _MATRICES else ()
        if ref in matrices and node.name not in self._routers:
            return self._recipe.storage(self._sources.keys(ref), int(self._types[ref].shape[-1]))
        return self._recipe.tables if node.op == "embedding" else DType.F32


_MATRICES = {"linear": slice(1, 2), "expert_linear": slice(2, 3)}
"""Operands that are matrices to contract with."""


def _store(rewriter: Rewriter, ref: str, forms: list[Storage]) -> dict[Storage, str]:
    """Form → the reference that has it: `ref` itself, retyped, where one form is enough."""
    if len(forms) == 1 and isinstance(forms[0], WeightFormat):
        set_format(rewriter, ref, forms[0])
        return {forms[0]: ref}
    return {form: _copy(rewriter, ref, form) for form in forms}


def _copy(rewriter: Rewriter, ref: str, form: Storage) -> str:
    dtype = rewriter.types[ref].dtype
    if form is dtype:
        return ref
    to = form if isinstance(form, DType) else dtype
    copied = rewriter.constant(f"{ref[1:]}.{_suffix(form)}", "cast", [ref], CastAttrs(to))
    if isinstance(form, WeightFormat):
        set_format(rewriter, copied, form)
    return copied


def _suffix(form: Storage) -> str:
    return form.value if isinstance(form, DType) else str(form).partition(":")[0]


def set_format(rewriter: Rewriter, ref: str, form: WeightFormat) -> None:
    """Store the weight or constant `ref` as `form` says."""
    type_ = TensorType(rewriter.types[ref].shape, rewriter.types[ref].dtype, form)
    rewriter.types[ref] = type_
    rewriter.weights = [replace(w, type=type_) if f"@{w.name}" == ref else w for w in rewriter.weights]
    rewriter.constants = [replace(n, types=(type_,)) if f"@{n.name}" == ref else n for n in rewriter.constants]
