"""One fused group as one TensorIR function, not yet scheduled: the same for every target."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tvm import te, tirx

from cosyn.codegen.program import Argument, state_pieces
from cosyn.codegen.tvm.arena_views import with_arena_views
from cosyn.codegen.tvm.choice_table import ChoiceTable, choice_key
from cosyn.codegen.tvm.compute import BUILDERS, Stage
from cosyn.codegen.tvm.compute.stage import tvm_dtype
from cosyn.codegen.tvm.dims import Dims
from cosyn.codegen.tvm.forms import KernelForms, NeutralForms
from cosyn.codegen.tvm.kernels.attend_args import cache_tensors
from cosyn.codegen.tvm.kernels.expert_linear import expert_linear_compute
from cosyn.codegen.tvm.kernels.kv_append import appended_rows, stored_in_state
from cosyn.codegen.tvm.kernels.linear import linear_compute, linear_i8_compute
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE, KernelChoice
from cosyn.codegen.tvm.kernels.linear_few_rows import FewRows
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.row_forms import RowForms, row_forms
from cosyn.codegen.tvm.kernels.topk import topk_prim_func
from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph, KVState
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import AttentionAttrs
from cosyn.ir.ops.row import TopKAttrs
from cosyn.ir.types import TensorType
from cosyn.passes.fuse import Group


@dataclass(frozen=True)
class LoweredGroup:
    """The function of a group, and what its parameters stand for: `arguments` are read, `results` written.

    `title` describes it in names of kernels; `layouts` are those of the packed weights, in the order of its nodes;
    `choice` is what a linear was lowered with, and is to be scheduled with, and `form` which form for few rows it is,
    if any. `few` are functions of the same meaning for up to so many rows, on parameters of the same variables.
    """

    group: Group
    function: tirx.PrimFunc
    arguments: tuple[Argument, ...]
    results: tuple[str, ...]
    title: str
    layouts: tuple[PackedLayout, ...] = ()
    choice: KernelChoice = DEFAULT_KERNEL_CHOICE
    form: FewRows | None = None
    few: tuple[tuple[int, FewRows, tirx.PrimFunc], ...] = ()


class GroupLowering:
    """Lowers the groups of one graph for one entry point.

    `layouts` gives every matrix that a linear reads its packed layout; other weights are passed whole, 1-D ones
    as f32. `bound` fixes symbols, as in `{"seq": 1}`. `forms` says which form of a kernel the backend schedules,
    `choices` what is better than the defaults.
    """

    def __init__(
        self,
        graph: Graph,
        layouts: Mapping[str, PackedLayout],
        bound: dict[str, int],
        forms: KernelForms | None = None,
        choices: ChoiceTable | None = None,
    ) -> None:
        self.graph = graph
        self.layouts = layouts
        self.bound = bound
        self.forms = forms or NeutralForms()
        self.choices = choices or ChoiceTable()

    @property
    def seq(self) -> int | None:
        """Tokens of a step, where that number is fixed."""
        return self.bound.get("seq")

    def lower(self, group: Group) -> LoweredGroup:
        """The function of `group`; raises KeyError for an op that has no code here."""
        anchor = self.graph.producers[group.anchor]
        special = _SPECIAL.get(anchor.op)
        if special is not None:
            return special(self, group, anchor)
        return self._tensor_expressions(group)

    def arguments(self, group: Group) -> tuple[Argument, ...]:
        """What the kernel reads: the group's inputs, weights as their pieces and states as their tensors."""
        expanded: list[Argument] = []
        packed = self._packed(group)
        for ref in group.inputs:
            expanded += self._expand(ref, packed)
        return tuple(expanded)

    def state_of(self, ref: str) -> KVState:
        """The state behind a reference: `$name` itself, or what a kv_append returned."""
        node = self.graph.producer(ref)
        return self.graph.state(ref) if node is None else self.state_of(node.operands[0])

    def _packed(self, group: Group) -> frozenset[str]:
        """Weights that the group reads in packed form; a tied table is read whole elsewhere."""
        nodes = [self.graph.producers[name] for name in group.nodes]
        return frozenset(ref for node in nodes for ref in packed_operands(node))

    def _expand(self, ref: str, packed: frozenset[str]) -> list[Argument]:
        if self.graph.types[ref].dtype is DType.STATE:
            state = self.state_of(ref)
            return [Argument(f"${state.name}", piece) for piece in state_pieces(state.dtype.value)]
        if ref in packed:
            return [Argument(ref, piece.name) for piece in self.layouts[ref].pieces]
        return [Argument(ref)]

    def _tensor_expressions(self, group: Group) -> LoweredGroup:
        nodes = [self.graph.producers[n] for n in group.nodes]
        dims = Dims(self.bound)  # one, since it holds the variables of sizes
        placeholders = self._placeholders(self.arguments(group), dims)
        results = tuple(r for r in group.outputs if self.graph.types[r].dtype is not DType.STATE)
        layouts = tuple(self.layouts[_weight_ref(n)] for n in nodes if n.op in _PACKED_OPERAND)
        choice = DEFAULT_KERNEL_CHOICE
        forms = RowForms()
        if layouts:
            anchor = self.graph.producers[group.anchor]
            choice = self.choices.choice(choice_key(anchor.op, layouts[0], self.seq))
            if self.seq is None and anchor.op in _FEW_ROWS:
                forms = row_forms(layouts[0], self.forms.linear)

        def function(form: FewRows | None) -> tirx.PrimFunc:
            return self._function(nodes, dims, placeholders, results, choice, form)

        title = "_".join(dict.fromkeys(n.op for n in nodes))
        few = tuple((most, form, function(form)) for most, form in forms.few)
        arguments = tuple(placeholders)
        return LoweredGroup(group, function(forms.many), arguments, results, title, layouts, choice, forms.many, few)

    def _function(
        self,
        nodes: Sequence[Node],
        dims: Dims,
        placeholders: Mapping[Argument, te.Tensor],
        results: Sequence[str],
        choice: KernelChoice,
        few: FewRows | None,
    ) -> tirx.PrimFunc:
        env = {argument.ref: tensor for argument, tensor in placeholders.items() if not argument.piece}
        tables: dict[Hashable, te.Tensor] = {}
        appended: list[te.Tensor] = []
        for node in nodes:
            if node.op == "kv_append":
                appended = self._append(node, env, placeholders)
                continue
            if node.op in _PACKED_OPERAND:
                tensors = [self._linear(node, self.layouts[_weight_ref(node)], choice, few, env, placeholders)]
            else:
                tensors = list(BUILDERS[node.op](Stage(node, [env[r] for r in node.operands], dims, tables)))
            env |= dict(zip(node.results, tensors, strict=True))
        function = te.create_prim_func([*placeholders.values(), *(env[r] for r in results), *appended])
        if appended:
            function = stored_in_state(function, [i for i, a in enumerate(placeholders) if _is_state(a)])
        return with_arena_views(function)

    def _append(
        self, node: Node, env: Mapping[str, te.Tensor], placeholders: Mapping[Argument, te.Tensor]
    ) -> list[te.Tensor]:
        state, *operands = node.operands
        cache = [tensor for argument, tensor in placeholders.items() if _is_state(argument)]
        return appended_rows(self.state_of(state), cache, *(env[r] for r in operands))

    def _linear(
        self,
        node: Node,
        layout: PackedLayout,
        choice: KernelChoice,
        few: FewRows | None,
        env: Mapping[str, te.Tensor],
        placeholders: Mapping[Argument, te.Tensor],
    ) -> te.Tensor:
        weight, form = _weight_ref(node), self.forms.linear
        pieces = [placeholders[Argument(weight, p.name)] for p in layout.pieces]
        if node.op == "linear_i8":
            codes, scales, _, *bias = node.operands
            added = _bias(bias, env)
            return linear_i8_compute(env[codes], env[scales], pieces, layout, form, added, choice.many_rows, few)
        if node.op == "expert_linear":
            x, ids, _, *bias = node.operands
            return expert_linear_compute(env[x], env[ids], pieces, layout, form, _bias(bias, env))
        x, _, *bias = node.operands
        return linear_compute(env[x], pieces, layout, form, _bias(bias, env), choice.many_rows, few)

    def _placeholders(self, arguments: Sequence[Argument], dims: Dims) -> dict[Argument, te.Tensor]:
        # The tensors of a state share the symbols of its sizes.
        states = {a.ref: cache_tensors(self.state_of(a.ref)) for a in arguments if _is_state(a)}
        found: dict[Argument, te.Tensor] = {}
        for argument in arguments:
            if argument.ref in states:
                shape, dtype = states[argument.ref][argument.piece]
            elif argument.piece:
                piece = next(p for p in self.layouts[argument.ref].pieces if p.name == argument.piece)
                shape, dtype = dims.shape(piece.shape), piece.dtype
            else:
                kind = self.graph.types[argument.ref]
                shape, dtype = dims.shape(kind.shape), stored_dtype(argument.ref, kind)
            found[argument] = te.placeholder(shape, dtype, _identifier(argument))
        return found


def stored_dtype(ref: str, kind: TensorType) -> str:
    """TVM dtype in which a kernel reads `ref`: vectors of weights (norms, biases) are stored as f32."""
    if ref.startswith("@") and kind.dtype.is_float and kind.rank < 2:
        return "float32"
    return tvm_dtype(kind.dtype)


_PACKED_OPERAND: Mapping[str, int] = {"linear": 1, "linear_i8": 2, "expert_linear": 2}
"""Op → which of its operands is a matrix in a packed layout."""

_FEW_ROWS = ("linear", "linear_i8")
"""Ops with forms for few rows."""


def packed_operands(node: Node) -> tuple[str, ...]:
    """The weights that `node` reads in a packed layout."""
    return (_weight_ref(node),) if node.op in _PACKED_OPERAND else ()


def _bias(refs: list[str], env: Mapping[str, te.Tensor]) -> te.Tensor | None:
    return env[refs[0]] if refs else None


def _is_state(argument: Argument) -> bool:
    return argument.ref.startswith("$")


def _weight_ref(node: Node) -> str:
    return node.operands[_PACKED_OPERAND[node.op]]


def _identifier(argument: Argument) -> str:
    text = f"{argument.ref[1:]}_{argument.piece}" if argument.piece else argument.ref[1:]
    return "".join(c if c.isalnum() else "_" for c in text)


def _attend(lowering: GroupLowering, group: Group, node: Node) -> LoweredGroup:
    state = lowering.state_of(node.operands[1])
    heads = lowering.graph.types[node.operands[0]].shape[1]
    function = lowering.forms.attend(_attrs(node, AttentionAttrs), state, int(heads), lowering.seq)
    return LoweredGroup(group, function, lowering.arguments(group), group.outputs, "attend")


def _topk(lowering: GroupLowering, group: Group, node: Node) -> LoweredGroup:
    columns = int(lowering.graph.types[node.operands[0]].shape[-1])
    function = topk_prim_func(columns, _attrs(node, TopKAttrs).k, lowering.seq)
    return LoweredGroup(group, function, lowering.arguments(group), node.results, "topk")


_Attrs = TypeVar("_Attrs")


def _attrs(node: Node, kind: type[_Attrs]) -> _Attrs:
    if not isinstance(node.attrs, kind):
        raise TypeError(f"{node.name}: {node.op} has attributes {node.attrs}, expected {kind.__name__}")
    return node.attrs


_SPECIAL: dict[str, Callable[[GroupLowering, Group, Node], LoweredGroup]] = {
    "attend": _attend,
    "topk": _topk,
}
"""Ops whose kernels are written as loops: their bounds depend on data."""
