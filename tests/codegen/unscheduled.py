"""A backend that runs the kernels of GPU targets on the CPU as they were lowered, before any schedule."""

from __future__ import annotations

from pathlib import Path

import tvm
from tvm import tirx

from cosyn.codegen.program import Program
from cosyn.codegen.tvm.cpu import LIBRARY
from cosyn.codegen.tvm.cpu_target import cpu_target, host_features
from cosyn.codegen.tvm.forms import NeutralForms
from cosyn.codegen.tvm.lower_group import LoweredGroup
from cosyn.codegen.tvm.relax_module import LOWERING
from cosyn.targets.target import Target


class UnscheduledBackend:
    """Takes the place of a GPU's backend; what it builds says that it runs on the CPU."""

    def __init__(self, target: Target) -> None:
        self.tvm_target = cpu_target(host_features(), threads=1)
        self.forms = NeutralForms()

    def check_tools(self) -> None:
        """None are needed."""

    def schedule(self, lowered: LoweredGroup, seq: int | None) -> tirx.PrimFunc:
        """No schedule."""
        return lowered.function

    def extra_kernels(self) -> dict[str, tirx.PrimFunc]:
        """None."""
        return {}

    def build(self, program: Program, module: tvm.IRModule, folder: Path) -> dict[str, object]:
        """One library for this CPU."""
        tvm.compile(module, self.tvm_target, relax_pipeline=LOWERING).export_library(str(folder / LIBRARY))
        return {"device": "cpu"}
