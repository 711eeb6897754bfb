"""One linear kernel, built with several choices and run on the same data, as a step of a model would run it."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tvm
import tvm_ffi

from cosyn.codegen.tvm.kernels.linear_choice import KernelChoice
from cosyn.codegen.tvm.stack_scratch import build_cpu
from cosyn.codegen.tvm.tunable_kernels import Parameter, TunableKernel
from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.tensor_memory import aligned_zeros, share

Array = npt.NDArray[Any]

_SAMPLE_SECONDS = 3e-3
"""A sample repeats short kernels for this long: a clock reading and a call from Python cost some microseconds."""
_MOST_COPIES = 512
_PATTERN = 1 << 16
"""Random elements that a tensor is filled with, again and again."""

_NAMES = {t.numpy.name: name for name, t in BY_NAME.items() if name != "bf16"} | {"bool": "u8"}


class Trial(Protocol):
    """What tuning needs of a kernel."""

    def add(self, choice: KernelChoice) -> bool:
        """Build it with `choice`; False where the code is that of a choice which is there already."""
        ...

    def difference(self, choice: KernelChoice) -> float:
        """Largest difference of its results from those of the choice added first, over their largest magnitude."""
        ...

    def seconds(self, choice: KernelChoice) -> float:
        """One measurement of a call."""
        ...


class KernelTrial:
    """A kernel with random weights and activations.

    Its weights lie in memory several times and calls take turns, so that they are read from memory, as in a model
    whose other weights are read between two calls: `working_set` bytes in all, of a model that fits in the cache
    only as many as it has.
    """

    def __init__(self, kernel: TunableKernel, target: Any, working_set: int) -> None:
        """`target`: TVM's, for the machine that this runs on."""
        self._kernel, self._target = kernel, target
        self._functions: dict[KernelChoice, Any] = {}
        self._code: list[tuple[Any, KernelChoice]] = []
        self._next = 0
        self._calls = 1
        read, self._written = kernel.parameters()
        copies = min(_MOST_COPIES, max(1, -(-working_set // max(kernel.layout.nbytes, 1))))
        fixed = {p.name: share(_filled(p)) for p in read if not p.weight}
        self._results = [aligned_zeros(p.shape, _NAMES[p.dtype]) for p in self._written]
        results = [share(r) for r in self._results]
        self._arguments: list[tuple[Any, ...]] = [
            (*(share(_filled(p)) if p.weight else fixed[p.name] for p in read), *results) for _ in range(copies)
        ]
        self._reference: list[Array] = []

    def add(self, choice: KernelChoice) -> bool:
        """See `Trial`. The first choice also decides how many calls make a measurement."""
        function = self._kernel.scheduled(choice)
        if any(tvm_ffi.structural_equal(function, known) for known, _ in self._code):
            return False
        module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
        self._functions[choice] = build_cpu(module, self._target)["main"]
        self._code.append((function, choice))
        if not self._reference:
            self._reference = self._run_once(choice)
            self._calls = max(1, round(_SAMPLE_SECONDS / max(self._time(choice, 1), 1e-7)))
        return True

    def difference(self, choice: KernelChoice) -> float:
        """See `Trial`; infinite where a result is not a number."""
        worst = 0.0
        for found, expected in zip(self._run_once(choice), self._reference, strict=True):
            if np.array_equal(found, expected):
                continue
            wide, right = found.astype(np.float64), expected.astype(np.float64)
            error = float(np.abs(wide - right).max() / max(np.abs(right).max(), 1e-30))
            worst = max(worst, error) if np.isfinite(error) else float("inf")
        return worst

    def seconds(self, choice: KernelChoice) -> float:
        """See `Trial`."""
        return self._time(choice, self._calls)

    def _time(self, choice: KernelChoice, calls: int) -> float:
        function, arguments, at = self._functions[choice], self._arguments, self._next
        turns = [arguments[(at + i) % len(arguments)] for i in range(calls)]
        self._next = (at + calls) % len(arguments)
        begun = time.perf_counter()
        for one in turns:
            function(*one)
        return (time.perf_counter() - begun) / calls

    def _run_once(self, choice: KernelChoice) -> list[Array]:
        for result in self._results:
            result[...] = 0
        self._functions[choice](*self._arguments[0])
        return [r.copy() for r in self._results]


def _filled(parameter: Parameter) -> Array:
    """A tensor of plausible random values: finite, neither denormal nor large, codes of every value."""
    array = aligned_zeros(parameter.shape, _NAMES[parameter.dtype])
    flat = array.reshape(-1)
    pattern = _pattern(parameter, min(_PATTERN, flat.size))
    whole = flat.size // len(pattern) * len(pattern)
    flat[:whole].reshape(-1, len(pattern))[...] = pattern
    flat[whole:] = pattern[: flat.size - whole]
    return array


def _pattern(parameter: Parameter, count: int) -> Array:
    rng = np.random.default_rng(0)
    if parameter.piece == "words":
        return _bf16(rng, 2 * count).view(np.int32)
    if parameter.piece.startswith("codes"):
        return rng.integers(-(1 << 31), 1 << 31, count).astype(np.int32)
    if parameter.dtype == "uint16":
        return _bf16(rng, count)
    if parameter.dtype in ("float32", "float16"):
        values = rng.uniform(0.01, 0.02, count) if parameter.piece == "scales" else rng.standard_normal(count)
        return values.astype(parameter.dtype)
    if parameter.piece:
        # Zero points and integer scales: small numbers are valid for either.
        return rng.integers(1, 4, count).astype(parameter.dtype)
    if parameter.dtype == "int8":
        return rng.integers(-127, 128, count).astype(np.int8)
    return np.zeros(count, _stored(parameter))


def _bf16(rng: np.random.Generator, count: int) -> Array:
    bits: Array = (rng.uniform(0.01, 0.02, count).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return bits


def _stored(parameter: Parameter) -> np.dtype[Any]:
    return np.dtype(np.uint8) if parameter.dtype == "bool" else np.dtype(parameter.dtype)
