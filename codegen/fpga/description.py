"""accelerator.json: what the host driver and every simulator need to know of an artifact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from cosyn.accelerator_model.isa.systemverilog import config_hash
from cosyn.accelerator_model.presets import config_mapping
from cosyn.codegen.fpga.layout import valid_columns
from cosyn.codegen.fpga.programs import FLIGHTLLM_BYTES, StepSet
from cosyn.codegen.fpga.regions import Layout
from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.node import Node
from cosyn.ir.ops.elementwise import ScalarAttrs


@dataclass(frozen=True)
class TableUse:
    """An embedding table and the rows that a step takes of it."""

    node: Node
    table: str
    by_position: bool
    offset: int


def table_uses(graph: Graph, nodes: tuple[Node, ...]) -> tuple[TableUse, ...]:
    """What the host looks up for each of the embeddings."""
    return tuple(_use(graph, node) for node in nodes)


def _use(graph: Graph, node: Node) -> TableUse:
    index, offset = node.operands[0], 0
    while (producer := graph.producer(index)) is not None:
        number = graph.producer(producer.operands[1])
        if producer.op != "add" or number is None or not isinstance(number.attrs, ScalarAttrs):
            raise ValueError(f"%{node.name}: expected rows of tokens or of positions + number, found {producer.op}")
        offset += int(number.attrs.value)
        index = producer.operands[0]
    return TableUse(node, node.operands[1], index == "%positions", offset)


def describe(layout: Layout, steps: StepSet) -> dict[str, Any]:
    """The content of accelerator.json."""
    plan, config = layout.plan, layout.plan.config
    output = plan.placements[plan.graph.outputs[0]]
    logits = []
    for core, columns in enumerate(output.cores):
        count = valid_columns(columns)
        if count:
            region = layout.region(core, "logits")
            logits.append({"core": core, "address": region.address, "first": int(columns[0]), "count": count})
    return {
        "configuration_name": config.name,
        "configuration": config_mapping(config),
        "config_hash": config_hash(config),
        "cores": config.cores,
        "memory_stripes": [m.stripes for m in layout.maps],
        "geometry": {
            "tile_columns": config.tile_columns,
            "chain_length": config.chain_length,
            "lanes": config.lanes,
            "stripe_bytes": config.stripe_bytes,
            "rope_row_stripes": layout.rope_row_stripes,
            "patterns": [asdict(pattern) for pattern in plan.patterns],
            "spans": [span.first for span in plan.spans],
        },
        "inputs": [
            {
                "table": use.table,
                "rows": "positions" if use.by_position else "tokens",
                "offset": use.offset,
                "address": layout.region(0, f"input {use.node.name}").address,
                "row_stripes": layout.input_row_stripes[use.node.name],
            }
            for use in table_uses(plan.graph, plan.roles.inputs)
        ],
        "logits": logits,
        "programs": [
            {
                "tokens": program.step.tokens,
                "spans": list(program.spans),
                "file": f"programs/{program.name}.bin",
                "pieces": program.step.pieces,
                "addresses": list(places),
                "instructions": list(program.step.instructions),
                "vector_lines": program.step.vector_lines,
                "activation_lines": program.step.activation_lines,
            }
            for program, places in zip(steps.programs, steps.addresses(), strict=True)
        ],
        "larger_steps": steps.left_out,
        "instructions": instruction_report(plan.max_seq, steps),
        "regions": [
            {name: {"kind": r.kind, "address": r.address, "stripes": r.stripes} for name, r in m.regions.items()}
            for m in layout.maps
        ],
    }


def instruction_report(max_seq: int, steps: StepSet) -> dict[str, Any]:
    """Bytes of every program for any prompt and context up to `max_seq`, beside FlightLLM's for 2048."""
    total = steps.instruction_bytes
    return {
        "bytes": total,
        "longest_context": max_seq,
        "flightllm_bytes_for_2048": FLIGHTLLM_BYTES,
        "ratio": round(FLIGHTLLM_BYTES / total, 1),
    }


STORED_TABLES = {DType.F32: "f32", DType.F16: "f16", DType.BF16: "f32"}
"""How an embedding table lies in the artifact."""
