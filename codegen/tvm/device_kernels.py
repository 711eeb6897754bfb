"""Splits scheduled functions into device kernels and the host steps that launch them, without TVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import ir, s_tir, tirx
from tvm.s_tir.pipeline import finalize_device_passes
from tvm.target import Target

from cosyn.codegen.errors import BackendError

Expr = Any  # TVM's expressions; its stubs do not say which

AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class Define:
    """A host variable: `name` is the integer `value`."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Scratch:
    """Memory of `nbytes` that the function's kernels share, and nobody reads after them."""

    number: int
    nbytes: Expr


@dataclass(frozen=True, slots=True)
class DeviceBuffer:
    """A kernel argument: the memory of the function's parameter number `parameter`, or of a scratch."""

    parameter: int
    scratch: bool = False


@dataclass(frozen=True, slots=True)
class KernelCall:
    """One launch: scalars are integers; `grid` counts blocks and `block` threads, per axis x, y, z."""

    kernel: str
    arguments: tuple[DeviceBuffer | Expr, ...]
    grid: tuple[Expr, Expr, Expr]
    block: tuple[Expr, Expr, Expr]


@dataclass(frozen=True, slots=True)
class HostFunction:
    """What one scheduled function does on the host; `parameters` have symbolic shapes and offsets."""

    name: str
    parameters: tuple[tirx.Buffer, ...]
    steps: tuple[Define | Scratch | KernelCall, ...]


@dataclass(frozen=True, slots=True)
class DeviceKernels:
    """Lowered kernels, ready for a code generator, and the host functions that launch them."""

    module: tvm.IRModule
    functions: Mapping[str, HostFunction]


def split_kernels(functions: Mapping[str, tirx.PrimFunc], target: Target) -> DeviceKernels:
    """Lower scheduled functions for `target`; BackendError for what a host without TVM cannot do."""
    module = tvm.IRModule({n: f.with_attr("global_symbol", n) for n, f in functions.items()})
    module = ir.transform.Sequential([tirx.transform.BindTarget(target), *_lowering()])(module)
    hosts: dict[str, HostFunction] = {}
    kernels: dict[str, tirx.PrimFunc] = {}
    for var, function in module.functions.items():
        if "tirx.kernel_launch_params" in function.attrs:
            name = str(var.name_hint)
            kernels[name] = function.with_attrs({"calling_conv": _DEVICE_KERNEL, "global_symbol": name})
        else:
            hosts[str(var.name_hint)] = _host_function(str(var.name_hint), function)
    return DeviceKernels(finalize_device_passes()(tvm.IRModule(kernels)), hosts)


_DEVICE_KERNEL = 2
"""TVM's number for the calling convention of a kernel that a host launches."""


def _lowering() -> list[Any]:
    """TVM's own lowering up to the split, without the passes for features that no schedule here uses."""
    block, flat = s_tir.transform, tirx.transform
    return [
        block.CanonicalizeLoop(),
        block.LowerCrossThreadReduction(),
        block.LowerInitBlock(),
        block.PlanAndUpdateBufferAllocationLocation(),
        block.ConvertBlocksToOpaque(),
        block.LiftThreadBinding(),
        block.CompactBufferAllocation(),
        block.UnifyThreadBinding(),
        block.LowerMatchBuffer(),
        block.StmtSimplify(),
        block.LowerOpaqueBlock(),
        flat.FlattenBuffer(),
        flat.NarrowDataType(32),
        block.LoopPartition(),
        flat.VectorizeLoop(True),
        flat.StorageRewrite(),
        block.HoistIfThenElse(),
        flat.UnrollLoop(),
        block.RenormalizeSplitPattern(),
        flat.StmtSimplify(),
        flat.RemoveNoOp(),
        block.RewriteUnsafeSelect(),
        flat.CommonSubexprElim(),
        flat.VerifyMemory(),
        flat.AnnotateEntryFunc(),
        block.ThreadSync("shared"),
        block.LowerThreadAllreduce(),
        flat.SplitHostDevice(),
    ]


def _host_function(name: str, function: tirx.PrimFunc) -> HostFunction:
    reader = _HostReader(name, tuple(function.params))
    reader.read(function.body)
    return HostFunction(name, tuple(function.params), tuple(reader.steps))


class _HostReader:
    """Collects the steps of a host function, statement by statement."""

    def __init__(self, name: str, parameters: tuple[tirx.Buffer, ...]) -> None:
        self.name = name
        self.steps: list[Define | Scratch | KernelCall] = []
        self._memory = [(b, DeviceBuffer(i)) for i, b in enumerate(parameters)]
        self._scratches = 0

    def read(self, statement: Any) -> None:
        if isinstance(statement, tirx.SeqStmt):
            for part in statement.seq:
                self.read(part)
        elif isinstance(statement, tirx.DeclBuffer):
            self._memory.append((statement.buffer, self._device_buffer(statement.data)))
        elif isinstance(statement, tirx.AllocBuffer):
            self._scratch(statement.buffer)
        elif isinstance(statement, tirx.Bind):
            self.steps.append(Define(str(statement.var.name), statement.value))
        elif isinstance(statement, tirx.Evaluate) and self._is_launch(statement.value):
            self._launch(statement.value)
        elif not (isinstance(statement, tirx.Evaluate) and isinstance(statement.value, tirx.IntImm)):
            raise BackendError(
                f"kernel {self.name}: the host may only compute sizes and launch kernels, found {statement}"
            )

    def _is_launch(self, value: Any) -> bool:
        return isinstance(value, ir.Call) and getattr(value.op, "name", "") == "tirx.call_ffi_kernel"

    def _launch(self, call: Any) -> None:
        tags = [str(t) for t in call.attrs.launch_params]
        name, *values = call.args
        count = len(values) - len(tags)
        extents = dict(zip(tags, values[count:], strict=True))
        one = tirx.IntImm("int64", 1)
        unknown = set(extents) - {f"{kind}Idx.{axis}" for kind in ("block", "thread") for axis in AXES}
        if unknown:
            raise BackendError(f"kernel {self.name}: unknown launch parameters {', '.join(sorted(unknown))}")
        grid, block = (tuple(extents.get(f"{kind}Idx.{axis}", one) for axis in AXES) for kind in ("block", "thread"))
        arguments = tuple(self._argument(v) for v in values[:count])
        self.steps.append(KernelCall(str(name.value), arguments, grid, block))

    def _argument(self, value: Any) -> DeviceBuffer | Expr:
        return self._device_buffer(value) if self._is_data(value) else value

    def _is_data(self, value: Any) -> bool:
        return isinstance(value, ir.Call) and len(value.args) == 1 and isinstance(value.args[0], tirx.Buffer)

    def _scratch(self, buffer: tirx.Buffer) -> None:
        nbytes: Expr = tirx.IntImm("int64", np.dtype(str(buffer.dtype)).itemsize)
        for dim in buffer.shape:
            nbytes = nbytes * dim
        self.steps.append(Scratch(self._scratches, nbytes))
        self._memory.append((buffer, DeviceBuffer(self._scratches, scratch=True)))
        self._scratches += 1

    def _device_buffer(self, data: Any) -> DeviceBuffer:
        """The memory that the expression `buffer.data` means."""
        if self._is_data(data):
            for buffer, memory in self._memory:
                if buffer.same_as(data.args[0]):
                    return memory
        raise BackendError(f"kernel {self.name}: {data} is not memory of a parameter")
