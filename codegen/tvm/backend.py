"""What a TVM target supplies: a schedule for each lowered group, and a library from the scheduled module."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import tvm
from tvm import tirx
from tvm.target import Target

from cosyn.codegen.program import Program
from cosyn.codegen.tvm.forms import KernelForms
from cosyn.codegen.tvm.lower_group import LoweredGroup


class Backend(Protocol):
    """One kind of TVM target. Adding a target is one such class and one YAML file."""

    tvm_target: Target
    """What TVM generates code for."""

    forms: KernelForms
    """Which form of each kernel its schedules expect."""

    def check_tools(self) -> None:
        """BackendError, with what to install, where `build` would miss a tool: asked before the model is read."""
        ...

    def schedule(self, lowered: LoweredGroup, seq: int | None) -> tirx.PrimFunc:
        """The group's function scheduled for the target; `seq` is the number of tokens where it is fixed."""
        ...

    def extra_kernels(self) -> dict[str, tirx.PrimFunc]:
        """Kernels that the artifact carries beside the model's own, such as the bandwidth measurement."""
        ...

    def build(self, program: Program, module: tvm.IRModule, folder: Path) -> dict[str, object]:
        """Compile and write the code of `program` into `folder`; returns what the manifest says of the target."""
        ...
