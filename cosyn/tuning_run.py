"""Tunes the kernels of a model one after the other, and keeps each result as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosyn.codegen.tvm.choice_table import ChoiceTable, Machine, Measured
from cosyn.codegen.tvm.cpu import CpuBackend
from cosyn.codegen.tvm.tunable_kernels import TunableKernel, TunableModel
from cosyn.commands.compile import make_request
from cosyn.console import Console, Steps
from cosyn.inspection import inspect_artifact, inspect_model
from cosyn.kernel_trial import KernelTrial, Trial
from cosyn.runtime import host_cpu
from cosyn.runtime.manifest import read_manifest
from cosyn.targets import Target
from cosyn.tuned_choices import read_choices, write_choices
from cosyn.tuning import Clock, Outcome, tune_kernel

_DEFAULT_CHUNK = 128
_CACHES = 3
"""Weights of this many last-level caches are read in turn, so that each comes from memory."""

MakeTrial = Callable[[TunableKernel], Trial]


@dataclass(frozen=True)
class TunedKernel:
    """A kernel, what its code is made of, and what was found."""

    kernel: TunableKernel
    form: str
    outcome: Outcome

    @property
    def rate(self) -> str:
        """What limits it: the bytes of one row's weights in a second, or the operations of many rows."""
        if self.kernel.rows == 1:
            return f"{self.kernel.layout.nbytes / self.outcome.seconds / 1e9:.1f} GB/s"
        return f"{self.kernel.flops / self.outcome.seconds / 1e9:.0f} GFLOP/s"

    def as_json(self) -> dict[str, object]:
        """An object for scripts."""
        key, found = self.kernel.key, self.outcome
        return {
            "op": key.op, "n": key.n, "k": key.k, "weight": key.weight, "activation": key.activation,
            "entry_point": self.kernel.entry.name, "rows": self.kernel.rows, "launches": self.kernel.launches,
            "form": self.form, "weight_bytes": self.kernel.layout.nbytes, "operations": self.kernel.flops,
            "seconds": found.seconds, "default_seconds": found.default_seconds, "gain": found.gain,
            "choice": found.choice.changed(), "tried": found.tried, "refused": list(found.refused),
        }  # fmt: skip


def tunable_model(
    console: Console, progress: Steps, model: str, target: Target, recipe: str | None, chunk: int | None
) -> TunableModel:
    """MODEL after the passes, or the graph of an artifact, for `target`."""
    if (Path(model) / "manifest.json").is_file():
        found = inspect_artifact(Path(model))
        chunk = chunk or read_manifest(Path(model)).max_chunk
    else:
        chunk = chunk or _DEFAULT_CHUNK
        # The passes are the same for every target of this kind.
        request = make_request(console, model, "cpu", recipe, Path(), prefill_chunk=chunk)
        found = inspect_model(request, progress)
    return TunableModel(found.graph, found.fusion, found.memory, CpuBackend(target), chunk)


def tune_kernels(
    kernels: Sequence[TunableKernel],
    make_trial: MakeTrial,
    file: Path,
    machine: Machine,
    budget: float,
    progress: Steps,
    clock: Clock = time.perf_counter,
) -> Iterator[TunedKernel]:
    """Tune each kernel and write it to the table in `file`; those that the table lacks come first.

    The time that is left of `budget` seconds is shared by the kernels that are left; one that has begun is finished.
    """
    end = clock() + budget
    known, _ = read_choices(file, machine)
    for number, kernel in enumerate(sorted(kernels, key=lambda k: k.key in known.kernels)):
        left = end - clock()
        if left <= 0:
            return
        progress.step(number + 1, len(kernels), str(kernel.key))
        outcome = tune_kernel(make_trial(kernel), clock() + left / (len(kernels) - number), clock)
        measured = Measured(outcome.choice, outcome.seconds, outcome.default_seconds)
        # Read again each time: another `cosyn tune` may have written in between.
        known, _ = read_choices(file, machine)
        write_choices(file, known.merged(ChoiceTable(machine, {kernel.key: measured})))
        yield TunedKernel(kernel, kernel.form, outcome)


def trials_of(model: TunableModel) -> MakeTrial:
    """Trials on this machine's memory: of a model that fits in the cache, the weights may stay there."""
    total = sum(k.layout.nbytes * k.launches for k in model.kernels() if k.entry.max_seq == 1)
    working_set = min(total, _CACHES * host_cpu.last_level_cache_bytes())
    return lambda kernel: KernelTrial(kernel, model.backend.tvm_target, working_set)
