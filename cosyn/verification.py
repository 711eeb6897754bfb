"""Holds an artifact to the reference semantics: each kernel alone on float64 values, then all together."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from cosyn.errors import CommandError
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import Interpreter
from cosyn.ir.node import Node
from cosyn.ir.ops.attention import KVCache
from cosyn.ir.ops.op import Array
from cosyn.ir.parser import parse
from cosyn.kernel_runner import PIECES, KernelRunner, Launch, StateArrays, read_launches, ring_index
from cosyn.passes.rtn import decode_rtn
from cosyn.runtime.loader import Artifact, load_executor
from cosyn.runtime.manifest import ModelInfo
from cosyn.runtime.session import Session

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
        """Of the float results of kernels, relative."""
        return max((c.error for c in self.comparisons if c.tolerance == KERNEL_TOLERANCE), default=0.0)


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
    def __init__(self, artifact: Artifact, load: LoadWeight, capacity: int) -> None:
        self.graph: Graph = parse((artifact.folder / "graph.ir").read_text(encoding="utf-8"))
        self.executor = load_executor(artifact)
        self.runner = KernelRunner(artifact, self.executor, self.graph, capacity)
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
        for launch in self.launches[entry]:
            yield from self._kernel(entry, launch, values, positions)
        found = self.session.advance({0: tokens})[0]
        error = _relative(found, logits[-1])
        yield Comparison(entry, "", "whole step", self.graph.outputs[0], error, STEP_TOLERANCE)
        last: Array = logits[-1]
        return last

    def _kernel(
        self, entry: str, launch: Launch, values: Mapping[str, Array], positions: list[int]
    ) -> Iterator[Comparison]:
        node = self.graph.producers[launch.group]
        appends = node.op == "kv_append"
        names = {a.partition(":")[0] for a in launch.arguments if a.startswith("$")}
        # A kernel that writes the cache starts from an empty one; one that reads it gets all that it holds.
        states = {n: self._state(n, None if appends else self.caches[n[1:]]) for n in names}
        found = self.runner.run(launch, values, states)
        if appends:
            (name,) = names
            yield from self._appended(entry, launch, states[name], found, positions)
            return
        for ref, array in zip(launch.results, found, strict=True):
            yield self._compare(entry, launch, ref, array, values[ref])

    def _state(self, ref: str, cache: KVCache | None) -> StateArrays:
        state = self.graph.state(ref)
        window = state.window or self.done
        seen = [
            p
            for p in range(self.done)
            if p < state.sinks or p >= self.done - window - self.executor.max_chunk + 1
        ]
        return self.runner.state_arrays(state, cache, seen)

    def _appended(
        self, entry: str, launch: Launch, state: StateArrays, found: list[Array], positions: list[int]
    ) -> Iterator[Comparison]:
        declared = self.graph.state(f"${state.spec.name}")
        wanted = self.runner.state_arrays(declared, self.caches[declared.name], positions)
        at = [ring_index(state.spec, state.held, p) for p in positions]
        for piece, array in zip(PIECES, found, strict=False):
            yield self._compare(
                entry, launch, f"${declared.name}:{piece}", array[0][:, at], wanted.arrays[piece][0][:, at]
            )

    def _compare(self, entry: str, launch: Launch, ref: str, found: Array, wanted: Array) -> Comparison:
        if found.dtype == np.int8:
            error, tolerance = float(np.abs(found.astype(int) - wanted.astype(int)).max()), CODE_TOLERANCE
        elif np.issubdtype(found.dtype, np.integer):
            error, tolerance = float(np.count_nonzero(found != wanted)), 0.0
        else:
            error = _relative(found, wanted)
            # A value between two 16-bit numbers may be rounded to either.
            tolerance = 2.0**-10 if found.dtype == np.float16 else KERNEL_TOLERANCE
        return Comparison(entry, launch.layer, launch.group, ref, error, tolerance)


def _relative(found: Array, wanted: Array) -> float:
    """Largest difference over the largest reference value; infinite where a result is not a number."""
    difference = np.abs(found.astype(np.float64) - wanted)
    if not np.isfinite(difference).all():
        return float("inf")
    return float(difference.max() / max(np.abs(wanted).max(), 1e-30))


def model_weights(artifact: Artifact, manifest: Mapping[str, object], model: str | None) -> LoadWeight:
    """Reads the checkpoint that the artifact was made from, or its copy at `model`."""
    from cosyn.codegen.block_mask import KEY, read_block_mask
    from cosyn.ir.frontend import import_model

    described, options = manifest["model"], manifest.get("options")
    if not isinstance(described, dict) or not isinstance(options, dict):
        raise CommandError(
            f"{artifact.folder}/manifest.json does not say what it was made from", "compile again"
        )
    source = model or str(described["source"])
    if ":" not in source and not Path(source).exists():
        raise CommandError(
            f"the model that this artifact was made from is not at {source}", "say where it is: --model MODEL"
        )
    imported = import_model(
        source, random_weights=described["random_weights"], max_seq=artifact.manifest.model.max_seq
    )
    weights = imported.weights
    if weights is None:
        raise CommandError(f"{source} has no weights", "give the folder with the checkpoint: --model MODEL")
    if not options.get("block_mask"):
        return weights.load
    mask = read_block_mask(Path(str(options["block_mask"])))
    return lambda key: mask.values if key == KEY else weights.load(key)


def random_prompt(model: ModelInfo, length: int) -> list[int]:
    """Token ids to verify with, always the same; CommandError where they and one more do not fit."""
    if length + 1 > model.max_seq:
        raise CommandError(
            f"a prompt of {length} tokens and one more exceed the artifact's context of {model.max_seq}",
            f"at most --prompt-tokens {model.max_seq - 1}",
        )
    return [int(i) for i in np.random.default_rng(0).integers(0, model.vocab_size, length)]
