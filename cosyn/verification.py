"""Holds an artifact to the reference semantics: each kernel alone on float64 values, then all together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from cosyn.codegen.block_mask import KEY
from cosyn.errors import CommandError
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import Interpreter
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import KVCache
from cosyn.ir.ops.op import Array
from cosyn.ir.parser import parse
from cosyn.ir.weights import WeightStore
from cosyn.kernel_runner import KernelRunner, Launch, StateArrays, read_launches, ring_index
from cosyn.passes.rtn import decode_rtn
from cosyn.runtime.loader import Artifact, load_executor
from cosyn.runtime.manifest import ModelInfo
from cosyn.runtime.session import Session
from cosyn.runtime.vm_executor import VMExecutor

LoadWeight = Callable[[str], Array]

KERNEL_TOLERANCE = 1e-4
"""Largest error of a float result, relative to the largest reference value: float32 sums of many terms."""
STEP_TOLERANCE = 2e-2
"""The same for the logits of whole steps, where rounding of quantized activations and caches accumulates."""
CODE_TOLERANCE = 1.0
"""For integer codes: a value on the edge between two codes may fall to either side."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One result of one kernel (or the logits of a step) against its reference."""

    entry: str
    layer: str
    group: str
    result: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance


@dataclass(frozen=True)
class VerifyReport:
    """What was compared, in order of execution."""

    comparisons: tuple[Comparison, ...]

    @property
    def checked(self) -> int:
        return len(self.comparisons)

    @property
    def mismatches(self) -> tuple[Comparison, ...]:
        return tuple(c for c in self.comparisons if not c.holds)

    @property
    def first_divergence(self) -> Comparison | None:
        """The first result that is wrong, the cause of any later ones."""
        return next(iter(self.mismatches), None)

    @property
    def largest_error(self) -> float:
        """Of the float results of kernels, relative; of whole steps where no kernel was compared alone."""
        kernels = [c.error for c in self.comparisons if c.tolerance == KERNEL_TOLERANCE]
        return max(kernels or [c.error for c in self.comparisons], default=0.0)


class Progress(Protocol):
    def step(self, index: int, total: int, name: str) -> None: ...


def verify_artifact(
    artifact: Artifact, load: LoadWeight, prompt_ids: Sequence[int], progress: Progress
) -> VerifyReport:
    """Compare every kernel, and then whole steps, on a prompt and one decoded token.

    `load` reads a tensor of the model's checkpoint by its key in the graph.
    """
    return VerifyReport(tuple(_Verifier(artifact, load, len(prompt_ids) + 1).run(prompt_ids, progress)))


class _Verifier:
    """Walks one sequence through the reference and the artifact."""

    def __init__(self, artifact: Artifact, load: LoadWeight, capacity: int) -> None:
        self.graph: Graph = parse((artifact.folder / "graph.ir").read_text(encoding="utf-8"))
        self.executor = load_executor(artifact)
        self.kernels: _Kernels | None = None
        # Only TVM's virtual machine lets a kernel be called alone; other hosts are compared by whole steps.
        if isinstance(self.executor, VMExecutor):
            self.kernels = _Kernels(self.graph, KernelRunner(artifact, self.executor, self.graph, capacity))
        self.launches = read_launches(artifact.folder)
        self.entries = sorted(artifact.manifest.entry_points, key=lambda e: e.max_seq)
        self.session = Session(self.executor, capacity=max(capacity, 2))
        self.interpreter = Interpreter(self.graph, load, dtype=np.float64, stored=decode_rtn, keep=False)
        self.caches = self.interpreter.new_states()
        self.done = 0

    def run(self, prompt_ids: Sequence[int], progress: Progress) -> Iterator[Comparison]:
        chunk = self.executor.max_chunk
        steps = [list(prompt_ids[i : i + chunk]) for i in range(0, len(prompt_ids), chunk)]
        for number, tokens in enumerate(steps, start=1):
            progress.step(number, len(steps) + 1, f"prefill, {len(tokens)} tokens")
            logits = yield from self._step(tokens)
        progress.step(len(steps) + 1, len(steps) + 1, "decode, 1 token")
        yield from self._step([int(np.argmax(logits))])

    def _step(self, tokens: list[int]) -> Generator[Comparison, None, Array]:
        """Compare one step of the sequence; returns the reference logits of its last token."""
        positions = list(range(self.done, self.done + len(tokens)))
        inputs = {
            "token_ids": np.asarray(tokens, np.int32),
            "positions": np.asarray(positions, np.int32),
            "slots": np.zeros(len(tokens), np.int32),
            "out_rows": np.asarray([len(tokens) - 1], np.int32),
        }
        values: dict[str, Array] = {f"%{name}": array for name, array in inputs.items()}

        def observe(node: Node, results: tuple[Array, ...]) -> None:
            values.update(zip(node.results, results, strict=True))

        (logits,) = self.interpreter.run(inputs, states=self.caches, observe=observe)
        self.done += len(tokens)
        entry = next(e.name for e in self.entries if len(tokens) <= e.max_seq)
        if self.kernels is not None:
            for launch in self.launches[entry]:
                for result in self.kernels.compare(launch, values, self.caches, positions):
                    yield Comparison(entry, launch.layer, launch.group, *result)
        found = self.session.advance({0: tokens})[0]
        last: Array = logits[-1]
        yield Comparison(entry, "", "whole step", self.graph.outputs[0], _relative(found, last), STEP_TOLERANCE)
        return last


Result = tuple[str, float, float]
"""What was compared, its error, and the error allowed."""


class _Kernels:
    """Compares single kernels, each fed with reference values."""

    def __init__(self, graph: Graph, runner: KernelRunner) -> None:
        self.graph = graph
        self.runner = runner

    def compare(
        self, launch: Launch, values: Mapping[str, Array], caches: Mapping[str, KVCache], positions: list[int]
    ) -> Iterator[Result]:
        """Every result of one launch; `positions` are those of the step, the last ones that `caches` hold."""
        appends = self.graph.producers[launch.group].op == "kv_append"
        names = {a.partition(":")[0] for a in launch.arguments if a.startswith("$")}
        # A kernel that writes the cache starts from an empty one; one that reads it gets all that it holds.
        states = {n: self._state(n, None if appends else caches[n[1:]], positions) for n in names}
        found, held = self.runner.run(launch, values, states)
        for ref, array in zip(launch.results, found, strict=True):
            yield (ref, *_error(array, values[ref]))
        if appends:
            (name,) = names
            yield from self._appended(states[name], caches, held, positions)

    def _state(self, ref: str, cache: KVCache | None, positions: list[int]) -> StateArrays:
        """What the state holds after the step: a ring has dropped what no token of the step sees."""
        state = self.graph.state(ref)
        oldest = positions[0] - state.window + 1 if state.window else 0
        held = [p for p in range(positions[-1] + 1) if p < state.sinks or p >= oldest]
        return self.runner.state_arrays(state, cache, held)

    def _appended(
        self,
        state: StateArrays,
        caches: Mapping[str, KVCache],
        held: Mapping[str, Array],
        positions: list[int],
    ) -> Iterator[Result]:
        declared = self.graph.state(f"${state.spec.name}")
        wanted = self.runner.state_arrays(declared, caches[declared.name], positions).arrays
        at = [ring_index(state.spec, state.held, p) for p in positions]
        for ref, array in held.items():
            yield (ref, *_error(array[0][:, at], wanted[ref.partition(":")[2]][0][:, at]))


def _error(found: Array, wanted: Array) -> tuple[float, float]:
    """The error of a result and the error allowed, by its element type."""
    if found.dtype == np.int8:
        return float(np.abs(found.astype(int) - wanted.astype(int)).max()), CODE_TOLERANCE
    if np.issubdtype(found.dtype, np.integer):
        return float(np.count_nonzero(found != wanted)), 0.0
    # A value between two 16-bit numbers may be rounded to either.
    return _relative(found, wanted), 2.0**-10 if found.dtype == np.float16 else KERNEL_TOLERANCE


def _relative(found: Array, wanted: Array) -> float:
    """Largest difference over the largest reference value; infinite where a result is not a number."""
    difference = np.abs(found.astype(np.float64) - wanted)
    if not np.isfinite(difference).all():
        return float("inf")
    return float(difference.max() / max(np.abs(wanted).max(), 1e-30))


def model_weights(artifact: Artifact, manifest: Mapping[str, object], model: str | None) -> LoadWeight:
    """Reads the checkpoint that the artifact was made from, or its copy at `model`."""
    from cosyn.codegen.block_mask import read_block_mask
    from cosyn.ir.frontend import import_model

    described, options = manifest["model"], manifest.get("options")
    if not isinstance(described, dict) or not isinstance(options, dict):
        raise CommandError(f"{artifact.folder}/manifest.json does not say what it was made from", "compile again")
    source = model or str(described["source"])
    if ":" not in source and not Path(source).exists():
        raise CommandError(
            f"the model that this artifact was made from is not at {source}", "say where it is: --model MODEL"
        )
    imported = import_model(source, random_weights=described["random_weights"], max_seq=artifact.manifest.model.max_seq)
    weights = imported.weights
    if weights is None:
        raise CommandError(f"{source} has no weights", "give the folder with the checkpoint: --model MODEL")
    _check_same_model(artifact, weights, source)
    if not options.get("block_mask"):
        return weights.load
    mask = read_block_mask(Path(str(options["block_mask"])))
    return lambda key: mask.values if key == KEY else weights.load(key)


def _check_same_model(artifact: Artifact, weights: WeightStore, source: str) -> None:
    """CommandError where a tensor of the model at `source` has another shape than in the artifact's graph."""
    graph = parse((artifact.folder / "graph.ir").read_text(encoding="utf-8"))
    held = set(weights.keys())
    for weight in graph.weights:
        expected = list(weight.type.shape)
        found = list(weights.type(weight.key).shape) if weight.key in held else "no such tensor"
        if weight.key != KEY and found != expected:
            raise CommandError(
                f"{source} is another model than the artifact was made from: expected {weight.key} {expected}, "
                f"found {found}",
                "say where the right one is: --model MODEL",
            )


def random_prompt(model: ModelInfo, length: int) -> list[int]:
    """Token ids to verify with, always the same; CommandError where they and one more do not fit."""
    if length + 1 > model.max_seq:
        raise CommandError(
            f"a prompt of {length} tokens and one more exceed the artifact's context of {model.max_seq}",
            f"at most --prompt-tokens {model.max_seq - 1}",
        )
    return [int(i) for i in np.random.default_rng(0).integers(0, model.vocab_size, length)]
