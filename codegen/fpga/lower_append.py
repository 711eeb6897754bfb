"""Instructions that append a step's keys and values to the cache."""

from __future__ import annotations

from cosyn.accelerator_model.isa import Store, StoreMode
from cosyn.codegen.fpga.draft import At, Draft, Span
from cosyn.codegen.fpga.head_codes import HeadCodes, quantize_heads
from cosyn.codegen.fpga.lower_rows import operand
from cosyn.codegen.fpga.plan_records import AttentionPlan
from cosyn.codegen.fpga.roles import Role
from cosyn.codegen.fpga.step import Step
from cosyn.ir.node import Node


def lower_append(step: Step, node: Node) -> None:
    """Quantize the step's keys and values and store them at their positions."""
    reader = next(r for r, number, _ in step.plan.roles.readers(node.ref) if r.op == "attend" and number == 1)
    plan = step.plan.attentions[reader.name]
    for role, ref in ((Role.KEY, node.operands[1]), (Role.VALUE, node.operands[2])):
        unit = step.config.chain_length if role is Role.KEY else step.config.tile_columns
        for core, heads in enumerate(plan.heads):
            if heads.kv_heads:
                source = operand(step, step.plan.part(ref), core)
                codes = quantize_heads(
                    step, core, role.value, source, [1] * len(heads.kv_heads), plan.order(role), unit
                )
                _store(step, core, plan, role, codes)


def _store(step: Step, core: int, plan: AttentionPlan, role: Role, codes: HeadCodes) -> None:
    key = role is Role.KEY
    stride = 2 * step.config.ring_reads * (plan.key_steps if key else plan.value_steps)
    heads = plan.heads[core].kv_heads
    scales = step.layout.region(core, f"scales {plan.name}")
    for local, head in enumerate(heads):
        region = step.layout.region(core, f"{'keys' if key else 'values'} {plan.name}.{head}")
        fields: dict[str, int | float | At] = {
            "mode": StoreMode.KEY if key else StoreMode.VALUE,
            "address": region.address,
            "rows": step.tokens,
            "row_stride": stride,
            "length": plan.key_steps if key else plan.value_tiles,
            "source": At(codes.buffer),
            "source_stride": codes.row_lines,
            "row": codes.rows[local],
        }
        what = f"{step.node}: store {role.value} {head}"
        read, write = Span(codes.buffer, 0, codes.buffer.lines), Span(region.buffer, 0, 1)
        step.emit(core, Draft(Store, fields, what, step.moment, (read,), (write,)))
        fields = {
            "mode": StoreMode.SCALE,
            "address": scales.address + (local if key else len(heads) + local) * plan.scale_stripes,
            "rows": step.tokens,
            "source": At(codes.scale.buffer, 0, step.config.lanes, codes.words[local]),
        }
        read, write = Span(codes.scale.buffer, 0, codes.scale.buffer.lines), Span(scales.buffer, 0, 1)
        step.emit(core, Draft(Store, fields, f"{what}'s scale", step.moment, (read,), (write,)))
