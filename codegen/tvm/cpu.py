"""The CPU backend: LLVM code for an explicit list of instruction-set features, in one shared library."""

from __future__ import annotations

import os
from pathlib import Path

import tvm
from tvm import s_tir, tirx
from tvm.target import Target as TvmTarget

from cosyn.codegen.program import Program
from cosyn.codegen.tvm.cpu_target import cpu_target, host_features, required_features, vector_lanes
from cosyn.codegen.tvm.cross_link import cross_linker
from cosyn.codegen.tvm.kernels.attend import schedule_attend_cpu
from cosyn.codegen.tvm.kernels.attend_cpu import attend_cpu_prim_func
from cosyn.codegen.tvm.kernels.expert_linear import schedule_expert_linear
from cosyn.codegen.tvm.kernels.linear import Form
from cosyn.codegen.tvm.kernels.linear_few_rows import FewRows, chosen_by_rows
from cosyn.codegen.tvm.kernels.linear_schedule_cpu import linear_form, schedule_linear
from cosyn.codegen.tvm.kernels.read_bandwidth import read_bandwidth_prim_func
from cosyn.codegen.tvm.lower_group import LoweredGroup
from cosyn.codegen.tvm.relax_module import LOWERING
from cosyn.codegen.tvm.schedule_rows_cpu import schedule_rows
from cosyn.codegen.tvm.stack_scratch import build_cpu
from cosyn.codegen.tvm.vector_math import with_vector_math
from cosyn.ir.graph import KVState
from cosyn.ir.ops.attention import AttentionAttrs
from cosyn.targets.target import HOST, Target

LIBRARY = "model.so"


class CpuForms:
    """Forms for vector registers: tiles of rows in linears, vectors over rows in attention."""

    def __init__(self, target: TvmTarget) -> None:
        self._target = target
        self.linear: Form = linear_form(target)

    def attend(self, attrs: AttentionAttrs, state: KVState, n_heads: int, seq: int | None) -> tirx.PrimFunc:
        lanes, threads = vector_lanes(self._target), int(self._target.attrs["num-cores"])
        return attend_cpu_prim_func(attrs, state, n_heads, lanes=lanes, threads=threads, seq=seq)


class CpuBackend:
    """Schedules for the vector units of a CPU target, and the library that holds its kernels and host code."""

    def __init__(self, target: Target) -> None:
        features = host_features() if target.arch == HOST else target.features
        self.tvm_target = cpu_target(features, threads=os.cpu_count() or 1)
        self.forms = CpuForms(self.tvm_target)
        self._link = cross_linker(str(self.tvm_target.attrs["mtriple"]))

    def check_tools(self) -> None:
        """A linker, where the target is not of this machine's kind."""
        if self._link is not None:
            self._link.command()

    def schedule(self, lowered: LoweredGroup, seq: int | None) -> tirx.PrimFunc:
        """The schedule that the group's anchor asks for."""
        kind = lowered.group.kind
        if kind in ("linear", "linear_i8"):
            few = [(most, self._linear(lowered, function, seq, form)) for most, form, function in lowered.few]
            return with_vector_math(chosen_by_rows(self._linear(lowered, lowered.function, seq, lowered.form), few))
        schedule = s_tir.Schedule(lowered.function)
        if kind == "expert_linear":
            schedule_expert_linear(schedule, lowered.layouts[0], self.tvm_target)
        elif kind == "attend":
            schedule_attend_cpu(schedule)
        elif kind != "topk":
            schedule_rows(schedule, vector_lanes(self.tvm_target))
        return with_vector_math(schedule.mod["main"])

    def _linear(
        self, lowered: LoweredGroup, function: tirx.PrimFunc, seq: int | None, few: FewRows | None
    ) -> tirx.PrimFunc:
        schedule, choice = s_tir.Schedule(function), lowered.choice
        schedule_linear(schedule, lowered.layouts[0], seq, self.tvm_target, choice.few_rows, choice.many_rows, few)
        return schedule.mod["main"]

    def extra_kernels(self) -> dict[str, tirx.PrimFunc]:
        """`read_bandwidth`, for `cosyn bench`."""
        return {"read_bandwidth": read_bandwidth_prim_func()}

    def build(self, program: Program, module: tvm.IRModule, folder: Path) -> dict[str, object]:
        """Compile `module` into `folder/model.so`."""
        library = build_cpu(module, self.tvm_target, LOWERING)
        library.export_library(str(folder / LIBRARY), fcompile=self._link)
        return {
            "device": "cpu",
            "triple": str(self.tvm_target.attrs["mtriple"]),
            "mcpu": str(self.tvm_target.attrs["mcpu"]),
            "features": list(required_features(self.tvm_target)),
        }
