"""Runs torch.export on a language model and describes the traced program in the IR's terms."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import operator
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch.export.graph_signature import InputKind

from cosyn.ir.dtype import DType
from cosyn.ir.errors import CosynError, ModelError
from cosyn.ir.node import Location
from cosyn.ir.types import SEQ, Dim

_PREFIX = "root."
_TRACED_LENGTH = 24  # any length that is not a size of some model by accident gives the same trace


@dataclass(frozen=True)
class Exported:
    """A traced program.

    `sources` maps a placeholder to `("input", "token_ids" | "positions")`, `("parameter", key)` or
    `("buffer", key)`; `constants` hold tensors that the forward made itself.
    """

    module: torch.fx.GraphModule
    sources: dict[str, tuple[str, str]]
    constants: dict[str, torch.Tensor]
    symbol: sympy.Symbol
    output: torch.fx.Node

    def dim(self, size: int | torch.SymInt) -> Dim:
        """A torch size as a dimension of the IR."""
        if isinstance(size, int):
            return size
        expression: Dim = size.node.expr.subs({self.symbol: SEQ})
        return int(expression) if isinstance(expression, sympy.Integer) else expression

    def shape(self, node: torch.fx.Node) -> tuple[Dim, ...]:
        """The shape of a traced tensor."""
        return tuple(self.dim(s) for s in node.meta["val"].shape)


class _Logits(torch.nn.Module):
    """Calls the model with token ids and, if it takes them, positions; returns the logits alone."""

    def __init__(self, root: torch.nn.Module, position_argument: str | None, extra: dict[str, Any]) -> None:
        super().__init__()
        self.root = root
        self.position_argument = position_argument
        self.extra = extra

    def forward(self, token_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        arguments = {self.position_argument: positions} if self.position_argument else {}
        out = self.root(token_ids, **arguments, **self.extra)
        logits = getattr(out, "logits", out[0] if isinstance(out, tuple) else out)
        if not isinstance(logits, torch.Tensor) or logits.dim() != 3:
            found = f"a tensor of shape {list(logits.shape)}" if isinstance(logits, torch.Tensor) else type(logits)
            raise ModelError(f"the model must return logits [1, seq, vocabulary], found {found}")
        return logits


def export(
    model: torch.nn.Module,
    *,
    max_seq: int,
    position_argument: str | None,
    extra: dict[str, Any] | None = None,
) -> Exported:
    """Trace `model` for any number of tokens up to `max_seq`; ModelError where it cannot be traced.

    `position_argument` names the keyword that takes positions `[1, seq]`, None where the model makes its own.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    length = max(2, min(_TRACED_LENGTH, max_seq - 1))
    ids = torch.zeros(1, length, dtype=torch.int64, device=device)
    positions = torch.arange(length, device=device)[None]
    wrapper = _Logits(model.eval(), position_argument, extra or {})
    with _quiet():
        try:
            program = _trace(wrapper, (ids, positions), max_seq)
        except CosynError:
            raise
        except Exception as error:
            raise ModelError(_explain(error)) from error
    return _describe(program)


def _trace(
    model: torch.nn.Module, arguments: tuple[torch.Tensor, torch.Tensor], max_seq: int
) -> torch.export.ExportedProgram:
    def up_to(longest: int) -> torch.export.ExportedProgram:
        seq = torch.export.Dim("seq", min=1, max=longest)
        return torch.export.export(model, arguments, dynamic_shapes=({1: seq}, {1: seq}), strict=False)

    try:
        return up_to(max_seq)
    except torch._dynamo.exc.UserError as error:
        # Of a table with exactly max_seq rows, a slice of all rows is another kind of view.
        if f"!= {max_seq}" not in str(error):
            raise
    return up_to(max_seq - 1)


def _explain(error: Exception) -> str:
    if "CausalMask" in str(error):
        return (
            "the model computes with its attention mask instead of calling transformers' attention interface; "
            "its attention block needs an entry in OWN_ATTENTION of ir/frontend/adapters.py"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    details = dict.fromkeys(line for line in lines if line.startswith("- ")) or lines[:1] or ["no message"]
    return (
        f"torch.export could not trace the model ({type(error).__name__}): {' '.join(details)}. "
        "Expected a forward without control flow that depends on tensor values, for any number of tokens"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines, prints or warnings; no garbage collection either, which costs a sixth of the time of tracing."""
    collecting = gc.isenabled()
    gc.disable()
    silenced = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Where tracing fails, torch prints the program so far.
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(silenced)
        if collecting:
            gc.enable()


def _describe(program: torch.export.ExportedProgram) -> Exported:
    sources: dict[str, tuple[str, str]] = {}
    constants: dict[str, torch.Tensor] = {}
    user_inputs = iter(("token_ids", "positions"))
    kinds = {InputKind.PARAMETER: "parameter", InputKind.BUFFER: "buffer"}
    for spec in program.graph_signature.input_specs:
        name = spec.arg.name
        if spec.kind is InputKind.USER_INPUT:
            sources[name] = ("input", next(user_inputs))
        elif spec.kind in kinds:
            sources[name] = (kinds[spec.kind], (spec.target or "").removeprefix(_PREFIX))
        else:
            sources[name] = ("constant", spec.target or name)
            constants[spec.target or name] = program.constants[spec.target or name]
    inline_regions(program.graph_module)
    graph = program.graph_module.graph
    ids = next(n for n in graph.nodes if sources.get(n.name) == ("input", "token_ids"))
    size = ids.meta["val"].shape[1]
    if isinstance(size, int):
        raise ModelError(f"the model works only for {size} tokens at a time; expected any number")
    output = next(n for n in graph.nodes if n.op == "output").args[0][-1]
    return Exported(program.graph_module, sources, constants, size.node.expr, output)


def inline_regions(module: torch.fx.GraphModule) -> None:
    """Put the nodes of regions traced under `no_grad` and the like, which are submodules, in their place."""
    for node in list(module.graph.nodes):
        if not isinstance(node.target, torch._ops.HigherOrderOperator):
            continue
        place = next(i for i, a in enumerate(node.args) if isinstance(a, torch.fx.Node) and a.op == "get_attr")
        region = getattr(module, str(node.args[place].target))
        inline_regions(region)
        copies = dict(zip(region.graph.find_nodes(op="placeholder"), node.args[place + 1 :], strict=True))
        with module.graph.inserting_before(node):
            for inner in region.graph.nodes:
                if inner.op == "get_attr":
                    setattr(module, f"{node.name}_{inner.target}", getattr(region, str(inner.target)))
                    copies[inner] = module.graph.get_attr(f"{node.name}_{inner.target}")
                elif inner.op == "call_function":
                    copies[inner] = module.graph.node_copy(inner, copies.__getitem__)
        results = region.graph.find_nodes(op="output")[0].args[0]
        for user in list(node.users):
            if user.target is operator.getitem:
                user.replace_all_uses_with(copies[results[user.args[1]]])
                module.graph.erase_node(user)
        if not node.users:
            module.graph.erase_node(node)


def location(node: torch.fx.Node) -> Location:
    """Layer (module path) and source line of a traced node."""
    stack = node.meta.get("nn_module_stack") or {}
    layer = list(stack.values())[-1][0] if stack else ""
    layer = layer.removeprefix("L['self'].").removeprefix("root").removeprefix(".")
    return Location(layer, _source_line(node.meta.get("stack_trace") or ""))


def _source_line(trace: str) -> str:
    """`package/file.py:12` of the innermost frame that belongs to a model and not to torch."""
    found = ""
    for line in trace.splitlines():
        text = line.strip()
        if not text.startswith('File "'):
            continue
        path, _, rest = text[6:].partition('", line ')
        if "/torch/" in path or path.endswith(("/frontend/exported.py", "/frontend/huggingface.py")):
            continue
        mark = "site-packages/" if "site-packages/" in path else "/"
        found = f"{path.rpartition(mark)[2]}:{rest.partition(',')[0]}"
    return found


_DTYPES = {
    torch.float64: DType.F32, torch.float32: DType.F32, torch.float16: DType.F32, torch.bfloat16: DType.F32,
    torch.int64: DType.I32, torch.int32: DType.I32, torch.bool: DType.BOOL,
}  # fmt: skip


def value_dtype(node: torch.fx.Node) -> DType:
    """The element type that a traced value has in the IR: every float is f32, every integer i32."""
    return _DTYPES[node.meta["val"].dtype]
