"""Ops as TVM tensor expressions: target neutral, composed into one function per fused group."""

from __future__ import annotations

from cosyn.codegen.tvm.compute import elementwise, gather, movement, rope, row
from cosyn.codegen.tvm.compute.stage import Stage, StageBuilder

BUILDERS: dict[str, StageBuilder] = {
    **elementwise.BUILDERS,
    **movement.BUILDERS,
    **row.BUILDERS,
    **gather.BUILDERS,
    **rope.BUILDERS,
}
"""Op name → builder. Linears, experts, attention and top-k have kernels of their own."""

__all__ = ["BUILDERS", "Stage", "StageBuilder"]
