"""Linear kernels for aarch64, cross-compiled and run under qemu: int8 dot products are exact, the rest is close."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tvm
from linear_cases import Array, Case, decoded, lower, relative_error
from tvm import tirx

from cosyn.codegen.tvm.cpu_target import cpu_target, has_i8mm, has_neon_dot
from cosyn.codegen.tvm.cross_link import cross_linker
from cosyn.codegen.tvm.kernels.linear_schedule_cpu import linear_form
from cosyn.codegen.tvm.kernels.packing import as_stored, pack
from cosyn.ir.weight_format import QuantizedWeight
from tests.aarch64 import missing, run_python

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "aarch64 code runs here")

TARGETS = {
    "plain": cpu_target({"asimd"}, 2),
    "dotprod": cpu_target({"asimd", "asimddp"}, 2),
    "i8mm": cpu_target({"asimd", "asimddp", "i8mm"}, 2),
}
PROCESSORS = {"plain": "cortex-a72", "dotprod": "neoverse-n1", "i8mm": "max"}
"""By target, what qemu is to be: the first has no dot products, the second no int8 matrix products."""
FORMATS = [
    ("f32", "float"), ("f16", "float"), ("bf16", "float"), ("i4g32:f16", "float"), ("u5g32:bf16", "float"),
    ("i8row:f32", "int8"), ("u8g32:f16", "int8"), ("i4g32:f16", "int8"), ("u4g32:f16", "int8"), ("i2g32:f16", "int8"),
    ("u7row:f32", "int8"), ("i4g32u8:f32", "int8"),
]  # fmt: skip
SHAPES = [(33, 7, 5), (1, 172, 1), (172, 288, 1), (172, 64, 9), (96, 64, 2), (48, 96, 3)]
"""n, k, rows of x: one row has kernels of its own, up to 4 have a form of their own."""
TESTED = {"plain": SHAPES[2:4], "dotprod": SHAPES, "i8mm": [*SHAPES, (172, 36, 9), (96, 288, 17), (128, 96, 3)]}


class ExactCase(Case):
    """Random int8 activations and codes under scales that are powers of two: every sum is exact in f32."""

    def __init__(self, n: int, k: int, stored: str) -> None:
        super().__init__(n, k, stored, "int8")
        assert isinstance(self.weight, QuantizedWeight)
        exponents = np.random.default_rng(n).integers(-1, 2, self.weight.scales.shape)
        scales = np.ldexp(1.0, exponents).astype(self.weight.scales.dtype)
        self.weight = dataclasses.replace(self.weight, scales=scales)
        self.pieces = pack(self.layout, as_stored(self.layout, self.weight))

    def inputs(self, rows: int) -> tuple[list[Array], npt.NDArray[np.float64]]:
        rng = np.random.default_rng(rows)
        x = rng.integers(-128, 128, (rows, self.layout.k)).astype(np.int8)
        scales = np.ldexp(1.0, rng.integers(-1, 2, (rows, 1))).astype(np.float32)
        return [x, scales, *self.pieces.values()], x.astype(np.float64) @ decoded(self.weight).T * scales


@dataclass(frozen=True)
class Run:
    """What a kernel of one case gave under qemu, and what is right."""

    label: str
    integer: bool
    found: npt.NDArray[np.float32]
    exact: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Built:
    """All cases for one target: the assembly of their kernels, and their results."""

    has_dot: bool
    has_i8mm: bool
    assembly: dict[str, str]
    runs: list[Run]


@pytest.fixture(scope="module", params=sorted(TARGETS))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One library and one run of qemu hold all cases: to start it takes longer than they do."""
    target, folder = TARGETS[request.param], tmp_path_factory.mktemp(request.param)
    functions: dict[str, tirx.PrimFunc] = {}
    expected = {}
    for stored, activation in FORMATS:
        for n, k, rows in TESTED[request.param]:
            case = ExactCase(n, k, stored) if activation == "int8" else Case(n, k, stored)
            name = re.sub(r"\W", "_", f"{stored}_{activation}_{n}_{k}_{rows}")
            function = lower(case.layout, 1 if rows == 1 else None, target, form=linear_form(target))
            functions[name] = function.with_attr("global_symbol", name)
            arrays, exact = case.inputs(rows)
            arrays.append(np.full((rows, n), np.nan, np.float32))
            np.savez(folder / f"{name}.npz", **{f"a{i}": a for i, a in enumerate(arrays)})
            expected[name] = (activation == "int8", exact)
    library = tvm.compile(tvm.IRModule(functions), target)
    library.export_library(str(folder / "kernels.so"), fcompile=cross_linker("aarch64-linux-gnu"))
    script = Path(__file__).with_name("aarch64_kernels.py")
    run_python(script, folder / "kernels.so", folder, scratch=folder, cpu=PROCESSORS[request.param])
    runs = [Run(name, integer, np.load(folder / f"{name}.npy"), exact) for name, (integer, exact) in expected.items()]
    assembly = library.mod.inspect_source("asm")
    return Built(has_neon_dot(target), has_i8mm(target), _functions(assembly), runs)


def _functions(assembly: str) -> dict[str, str]:
    """Kernel → the assembly of its computation, with that of its parallel loop, which follows it."""
    parts = re.split(r"^(\w+)_compute_:$", assembly, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_integer_sums_are_exact(built: Built) -> None:
    runs = [r for r in built.runs if r.integer]
    assert runs
    for run in runs:
        np.testing.assert_array_equal(run.found, run.exact, err_msg=run.label)


def test_integer_kernels_are_made_of_dot_products(built: Built) -> None:
    bits = {"i8row_f32": 8, "u8g32_f16": 8, "i4g32_f16": 4, "u4g32_f16": 4, "i2g32_f16": 2}
    for stored, width in bits.items():
        # 172 rows of weights lie in blocks of 16: 4 vectors for one row of x, 2 for each of 8. Sums of x come on top.
        for rows, k, vectors in ((1, 288, 4), (9, 64, 16)):
            if built.has_i8mm and rows > 1 and stored == "i8row_f32":
                # Scales of rows alone: whole tiles of matrix products, which other scales do not have.
                assert len(re.findall(r"\tusmmla\tv", built.assembly[f"{stored}_int8_172_{k}_{rows}"])) >= 16
                continue
            found = len(re.findall(r"\tsdot\tv", built.assembly[f"{stored}_int8_172_{k}_{rows}"]))
            assert found >= vectors * 8 // width if built.has_dot else not found, (stored, rows)


def test_float_sums_are_close_to_float64(built: Built) -> None:
    runs = [r for r in built.runs if not r.integer]
    assert runs
    for run in runs:
        assert relative_error(run.found, run.exact) < 1e-5, run.label
