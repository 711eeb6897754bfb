"""Which graphs the accelerator can run: everything that it cannot, named at once."""

from __future__ import annotations

from collections.abc import Iterator

from cosyn.accelerator_model.errors import ModelError
from cosyn.accelerator_model.reference.operations import OPERATIONS
from cosyn.ir.graph import Graph
from cosyn.ir.weight_format import WeightFormat

_REASONS = {
    "linear": "its weight is not quantized to INT8 codes",
    "moe": "mixtures of experts have no INT8 form",
    "expert_linear": "mixtures of experts have no INT8 form",
}


def check_supported(graph: Graph) -> None:
    """ModelError with one line per node of `graph` that has no meaning on the accelerator."""
    found = list(_unsupported(graph))
    if found:
        raise ModelError(
            f"the accelerator cannot run {len(found)} of {len(graph.nodes)} nodes of {graph.name}:\n"
            + "\n".join(f"  {line}" for line in found)
            + "\nquantize with a recipe such as w8a8 or w4a8_g32, or compile for cpu or cuda"
        )


def _unsupported(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        where = f"{node.ref} = {node.op}" + (f" ({node.location.layer})" if node.location.layer else "")
        if node.op not in OPERATIONS:
            yield f"{where}: {_REASONS.get(node.op, 'no sequence of passes computes it')}"
        elif node.op == "linear_i8" and not _multiplies(graph.types[node.operands[2]].format):
            yield f"{where}: weights in {graph.types[node.operands[2]].format} have no INT8 form with one scale per row"


def _multiplies(fmt: WeightFormat | None) -> bool:
    return fmt is not None and fmt.symmetric and not fmt.expanded.group_size
