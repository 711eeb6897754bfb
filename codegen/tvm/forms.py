"""Which form of a kernel a backend wants, where there is more than one: all forms of a kernel mean the same."""

from __future__ import annotations

from typing import Protocol

from tvm import tirx

from cosyn.codegen.tvm.kernels.attend import attend_prim_func
from cosyn.codegen.tvm.kernels.linear import Form
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttentionAttrs


class KernelForms(Protocol):
    """The choices."""

    linear: Form
    """How linears are written."""

    def attend(self, attrs: AttentionAttrs, state: KVState, n_heads: int, seq: int | None) -> tirx.PrimFunc:
        """The attention kernel; `seq` is the number of tokens where it is fixed."""
        ...


class NeutralForms:
    """Forms that any target can schedule, and that a CPU can run as they are."""

    linear: Form = "neutral"

    def attend(self, attrs: AttentionAttrs, state: KVState, n_heads: int, seq: int | None) -> tirx.PrimFunc:
        return attend_prim_func(attrs, state, n_heads, seq=seq)
