"""Times every kernel of a step alone, in the order and on the memory of the real step, against the roofline."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from cosyn.errors import CommandError
from cosyn.inspection import Inspection, inspect_artifact
from cosyn.ir.types import bind_dim
from cosyn.kernel_runner import PIECES, Launch, read_launches
from cosyn.launch_costs import LaunchCost, LaunchCosts
from cosyn.roofline_peaks import Peaks
from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.language_model import LanguageModel
from cosyn.runtime.session import Session
from cosyn.runtime.tensor_memory import aligned_zeros, share
from cosyn.runtime.vm_executor import VMExecutor, VMState


@dataclass(frozen=True, slots=True)
class LaunchProfile:
    """One launch of a step: what it moves and computes, and the median of its times.

    `bound` names the resource that the roofline says it waits for: "memory" or "compute".
    """

    launch: Launch
    cost: LaunchCost
    seconds: float
    roofline_seconds: float
    bound: str

    @property
    def lost(self) -> float:
        """Seconds beyond what the roofline asks for."""
        return max(0.0, self.seconds - self.roofline_seconds)


@dataclass(frozen=True, slots=True)
class StepProfile:
    """All launches of one step of `tokens` tokens after `context` cached ones, in order.

    `step_seconds` is the whole step as a session runs it, which calls no kernel from Python.
    """

    entry: str
    tokens: int
    context: int
    launches: tuple[LaunchProfile, ...]
    step_seconds: float
    peaks: Peaks

    @property
    def kernel_seconds(self) -> float:
        """Sum over the launches."""
        return sum(p.seconds for p in self.launches)

    @property
    def roofline_seconds(self) -> float:
        """Sum over the launches of what the roofline asks for."""
        return sum(p.roofline_seconds for p in self.launches)


class StepProfiler:
    """The kernels, weights and launch lists of one loaded artifact for the CPU."""

    def __init__(self, model: LanguageModel, folder: Path, peaks: Peaks) -> None:
        """CommandError for an artifact whose kernels cannot be called alone."""
        executor, manifest = model.executor, model.manifest
        if not isinstance(executor, VMExecutor) or manifest.target.device != "cpu":
            raise CommandError(
                f"{folder} is for {manifest.target.device}; only kernels on the CPU can be profiled one by one",
                "leave out --profile, or compile with --target cpu",
            )
        self._model, self._executor, self._peaks = model, executor, peaks
        self._found: Inspection = inspect_artifact(folder)
        self._launches = read_launches(folder)
        self._entries = sorted(manifest.entry_points, key=lambda e: e.max_seq)
        self._weights = executor.weights
        self._arena = aligned_zeros((max(manifest.arena_bytes, 64),), "u8")

    def profile(self, tokens: int, context: int, *, repeats: int = 5) -> StepProfile:
        """Profile a step of `tokens` tokens after `context` cached ones."""
        entry = next(e.name for e in self._entries if tokens <= e.max_seq)
        step = _Step(self._model, context, tokens)
        launches = self._launches[entry]
        calls = [self._call(launch, step) for launch in launches]
        times: list[list[float]] = [[] for _ in calls]
        whole = []
        # The first pass of each warms up; the two alternate, so that both meet the same machine.
        for turn in range(1 + repeats):
            seconds = step.run()
            if turn:
                whole.append(seconds)
            for (function, arguments), taken in zip(calls, times, strict=True):
                begun = time.perf_counter()
                function(*arguments)
                if turn:
                    taken.append(time.perf_counter() - begun)
        costs = LaunchCosts(self._found, self._model.manifest, tokens, context)
        profiles = (
            self._profile(c, statistics.median(t)) for c, t in zip(map(costs.cost, launches), times, strict=True)
        )
        return StepProfile(
            entry, tokens, context,
            tuple(LaunchProfile(launch, *p) for launch, p in zip(launches, profiles, strict=True)),
            statistics.median(whole), self._peaks,
        )  # fmt: skip

    def _profile(self, cost: LaunchCost, seconds: float) -> tuple[LaunchCost, float, float, str]:
        memory = cost.nbytes / self._peaks.bytes_per_second
        compute = cost.ops / self._peaks.ops_per_second(cost.precision)
        return cost, seconds, max(memory, compute), "compute" if compute > memory else "memory"

    def _call(self, launch: Launch, step: _Step) -> tuple[Any, list[Any]]:
        """A kernel's function and the tensors that the step gives it."""
        references = [*launch.arguments, *launch.results]
        return self._executor.library_function(launch.kernel), [self._tensor(r, step) for r in references]

    def _tensor(self, reference: str, step: _Step) -> Any:
        if reference.startswith("@"):
            return self._weights[reference]
        if reference in step.tensors:
            return step.tensors[reference]
        kind = self._found.graph.types[reference]
        shape = [bind_dim(d, step.bindings) for d in kind.shape]
        if reference == self._found.graph.outputs[0]:
            tensor = share(aligned_zeros(shape, kind.dtype.value))
        else:
            element = BY_NAME[kind.dtype.value].numpy
            first = self._found.memory.offset(reference)
            tensor = share(self._arena[first : first + prod(shape) * element.itemsize].view(element).reshape(shape))
        step.tensors[reference] = tensor
        return tensor


class _Step:
    """A step that can be repeated: its inputs, and caches that hold a real context."""

    def __init__(self, model: LanguageModel, context: int, tokens: int) -> None:
        self.bindings = {"seq": tokens, "out": 1, "past": context}
        self._executor = model.executor
        vocab = model.executor.vocab_size
        ids = [int(t) for t in np.random.default_rng(0).integers(0, vocab, context + tokens)]
        self._session = Session(model.executor, capacity=context + tokens)
        if context:
            self._session.advance({0: ids[:context]})
        self._inputs = [
            np.asarray(values, np.int32)
            for values in (ids[context:], range(context, context + tokens), [0] * tokens, [tokens - 1])
        ]
        names = ("%token_ids", "%positions", "%slots", "%out_rows")
        self.tensors: dict[str, Any] = dict(zip(names, map(_shared, self._inputs), strict=True))
        self.tensors |= self._states()

    def run(self) -> float:
        """Seconds of the whole step; it writes the same positions of the caches each time."""
        begun = time.perf_counter()
        self._executor.step(self._session.state, *self._inputs)
        return time.perf_counter() - begun

    def _states(self) -> Iterator[tuple[str, Any]]:
        state = self._session.state
        assert isinstance(state, VMState)
        tensors = iter(state.tensors)
        for spec in self._executor.state_specs:
            pieces: Sequence[str] = PIECES if spec.dtype == "i8" else PIECES[:2]
            yield from ((f"${spec.name}:{piece}", next(tensors)) for piece in pieces)


def _shared(values: np.ndarray[Any, np.dtype[np.int32]]) -> Any:
    copy = aligned_zeros(values.shape, "i32")
    copy[...] = values
    return share(copy)
