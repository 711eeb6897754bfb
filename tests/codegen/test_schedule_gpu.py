"""GPU schedules of row groups: which kernels they become, and that every loop is bound within the limits.

Their numbers are checked by whole models on an OpenCL driver, in test_opencl.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from group_harness import Chain, Step, step
from tvm import te
from tvm.target import Target

from cosyn.codegen.errors import BackendError
from cosyn.codegen.tvm.device_kernels import HostFunction, KernelCall, Scratch, split_kernels
from cosyn.codegen.tvm.half_storage import half_as_storage
from cosyn.codegen.tvm.lower_group import GroupLowering
from cosyn.codegen.tvm.schedule_gpu import schedule_gpu
from cosyn.ir.ops.row import NormAttrs
from cosyn.ir.types import SEQ
from cosyn.passes.fuse import Group

THREADS = 256
OPENCL = Target({"kind": "opencl", "max_num_threads": THREADS, "host": {"kind": "c"}})
EPS = NormAttrs(1e-5)
X = np.zeros((3, 48), np.float32)
TWO_NORMS = [step("a", "rms_norm", "%x", attrs=EPS), step("b", "layer_norm", "%y", attrs=EPS)]


def host(steps: list[Step], outputs: list[str]) -> HostFunction:
    """The host function of one group over x and y `[seq, 48]`."""
    chain = Chain({"%x": X, "%y": X}, steps, SEQ)
    names = tuple(n.name for n in chain.graph.nodes)
    group = Group("chain", "row", names, names[-1], tuple(chain.arrays), tuple(outputs))
    function = schedule_gpu(GroupLowering(chain.graph, {}, {}).lower(group).function, THREADS)
    return split_kernels({"chain": function}, OPENCL).functions["chain"]


def calls(function: HostFunction) -> list[KernelCall]:
    found = [s for s in function.steps if isinstance(s, KernelCall)]
    for call in found:
        assert int(np.prod([int(n) for n in call.block])) <= THREADS
    return found


def scratches(function: HostFunction) -> int:
    return sum(isinstance(s, Scratch) for s in function.steps)


def test_a_chain_of_norms_is_one_kernel() -> None:
    steps = [
        step("a", "rms_norm", "%x", attrs=EPS),
        step("s", "add", "%a", "%y"),
        step("n", "rms_norm", "%s", attrs=EPS),
    ]
    function = host(steps, ["%n"])
    assert (len(calls(function)), scratches(function)) == (1, 0)


def test_a_result_without_a_sum_has_a_kernel_of_its_own() -> None:
    steps = [step("r", "add", "%x", "%y"), step("n", "rms_norm", "%r", attrs=EPS)]
    function = host(steps, ["%r", "%n"])
    assert (len(calls(function)), scratches(function)) == (2, 0)


def test_independent_norms_have_a_kernel_each() -> None:
    function = host(TWO_NORMS, ["%a", "%b"])
    assert (len(calls(function)), scratches(function)) == (2, 0)


def test_one_result_of_two_norms_is_one_kernel() -> None:
    function = host([*TWO_NORMS, step("s", "add", "%a", "%b")], ["%s"])
    assert (len(calls(function)), scratches(function)) == (1, 0)


def test_several_results_of_two_norms_go_through_scratch_memory() -> None:
    steps = [*TWO_NORMS, step("s", "add", "%a", "%b"), step("d", "sub", "%a", "%b")]
    function = host(steps, ["%s", "%d"])
    assert len(calls(function)) == 5  # three sums, two results
    assert scratches(function) == 3


def test_arithmetic_on_halves_is_refused_where_they_are_storage() -> None:
    x = te.placeholder((64,), "float16", "x")
    y = te.compute((64,), lambda i: x(i) + x(i), "y")
    kernels = split_kernels({"f": schedule_gpu(te.create_prim_func([x, y]), THREADS)}, OPENCL).module
    with pytest.raises(BackendError, match="stores f16 but does not compute with it"):
        half_as_storage(next(iter(kernels.functions.values())))
