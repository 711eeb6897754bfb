"""Holds an accelerator artifact's RTL to the cycle simulator and the reference, instruction by instruction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from cosyn.accelerator_engine import artifact_config
from cosyn.accelerator_model.estimate import Design, StepEstimate, estimate_step, operations
from cosyn.accelerator_model.isa import Opcode, Register
from cosyn.accelerator_model.program import Program
from cosyn.errors import CommandError
from cosyn.ir.graph import Graph
from cosyn.ir.parser import parse
from cosyn.reference_executor import ReferenceExecutor
from cosyn.rtl_testbench.errors import ToolError
from cosyn.rtl_testbench.session import RtlSession
from cosyn.rtl_testbench.system.explain import Difference, explain
from cosyn.rtl_testbench.system.lockstep import Lockstep, LockstepError, Mismatch, StepRun
from cosyn.rtl_testbench.system.report import Cycles, by_class, by_layer
from cosyn.rtl_testbench.toolchain import Simulator, missing
from cosyn.runtime.fpga.description import read_description
from cosyn.runtime.fpga.driver import FpgaExecutor
from cosyn.runtime.loader import Artifact
from cosyn.runtime.session import Session
from cosyn.verification import Progress

_TIMEOUT_SECONDS = 3600.0

OUTSIDE = "embedding and head"


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step that agreed: its cycles in total, by class and by layer."""

    tokens: int
    position: int
    total: Cycles
    classes: tuple[Cycles, ...]
    layers: tuple[Cycles, ...]


@dataclass(frozen=True, slots=True)
class AcceleratorReport:
    """What was compared: retirements, and the logits of every step."""

    configuration: str
    checked: int
    steps: tuple[StepReport, ...]
    mismatch: Mismatch | None = None
    difference: Difference | None = None
    wrong_logits: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether the RTL did what the simulator and the reference do."""
        return self.mismatch is None and self.wrong_logits is None


def verify_accelerator(
    artifact: Artifact,
    prompt_ids: Sequence[int],
    decode_tokens: int,
    progress: Progress,
    simulator: Simulator = "verilator",
) -> AcceleratorReport:
    """Run a prompt and `decode_tokens` greedy tokens on the artifact's own RTL in lockstep with the simulator."""
    config = artifact_config(artifact.folder)
    described = read_description(artifact.folder)
    total = decode_tokens + 2
    progress.step(1, total, "build the RTL simulation")
    size = max(described.memory_stripes) * config.stripe_bytes
    session = RtlSession(config, simulator, data_bytes=size, folders=[artifact.folder / "rtl"])
    nodes = _Nodes(artifact.folder)
    with session:
        lockstep = Lockstep(session, described.memory_stripes, nodes.of)
        executor = FpgaExecutor(artifact.folder, artifact.manifest, lockstep, timeout=_TIMEOUT_SECONDS)
        capacity = len(prompt_ids) + decode_tokens
        rtl = Session(executor, capacity=capacity)
        reference = Session(ReferenceExecutor(artifact), capacity=capacity)
        tokens, done, wrong = list(prompt_ids), 0, None
        mismatch, difference = None, None
        try:
            for number in range(decode_tokens + 1):
                what = f"prefill, {len(tokens)} tokens" if number == 0 else f"decode, token {number}"
                progress.step(number + 2, total, what)
                found, expected = rtl.advance({0: tokens})[0], reference.advance({0: tokens})[0]
                done += len(tokens)
                wrong = _compare(found, expected, done)
                if wrong is not None:
                    break
                tokens = [int(np.argmax(found))]
        except LockstepError as error:
            mismatch = error.mismatch
        graph = parse((artifact.folder / "graph.ir").read_text(encoding="utf-8"))
        tokens_of = [count for count, _ in executor.cycles]
        steps = tuple(_reports(zip(tokens_of, lockstep.steps, strict=False), graph, Design.of(config)))
        checked = sum(len(step.retirements) for step in lockstep.steps)
        if mismatch is not None:
            checked += len(lockstep.last_retirements)
            difference = _explained(lockstep, mismatch, artifact.folder)
    return AcceleratorReport(config.name, checked, steps, mismatch, difference, wrong)


def chosen_simulator(name: str) -> Simulator:
    """The simulator of that name; CommandError lists them, ToolError says what to install."""
    if name not in get_args(Simulator):
        raise CommandError(
            f"unknown simulator {name!r}; simulators: {', '.join(get_args(Simulator))}", "give one of them"
        )
    simulator: Simulator = "icarus" if name == "icarus" else "verilator"
    reason = missing(simulator)
    if reason is not None:
        raise ToolError(reason)
    return simulator


def _compare(found: np.ndarray, expected: np.ndarray, position: int) -> str | None:
    """Where the logits differ from the reference, which computes every node once more without a program."""
    different = np.flatnonzero(found.view(np.uint32) != expected.view(np.uint32))
    if not different.size:
        return None
    first = int(different[0])
    return (
        f"the logits after {position} tokens differ from the bit-exact reference in {different.size} of {found.size}"
        f" elements; the first, {first}: {found[first]!r}, expected {expected[first]!r}"
    )


def _explained(lockstep: Lockstep, mismatch: Mismatch, folder: Path) -> Difference | None:
    """The first element that differs, by running the step again on the artifact's RTL."""
    if mismatch.index < 0 or mismatch.opcode == Opcode.SYS:
        return None
    simulated, found = lockstep.memories_before()
    return explain(
        lockstep.config, lockstep.program, lockstep.registers, simulated, mismatch.core, mismatch.opcode,
        mismatch.index, folders=[folder / "rtl"], rtl_memories=found,
    )  # fmt: skip


def _reports(steps: Iterable[tuple[int, StepRun]], graph: Graph, design: Design) -> Iterable[StepReport]:
    items = operations(graph)
    layers = _Layers({item.name: item.layer for item in items})
    for tokens, step in steps:
        position = step.registers[Register.VALID] - 1
        estimate = estimate_step(items, design, tokens=tokens, position=position)
        total = Cycles("total", step.rtl_cycles, step.simulated_cycles, float(estimate.cycles))
        # The estimate is of one core; the counters are of all.
        classes = tuple(
            Cycles(c.name, c.rtl, c.simulated, float(estimate.busy[Opcode[c.name]]) * len(step.program.cores))
            for c in by_class(step)
        )
        estimated = _layer_estimates(estimate)
        found = tuple(Cycles(c.name, c.rtl, c.simulated, estimated.get(c.name)) for c in by_layer(step, layers.of))
        yield StepReport(tokens, position, total, classes, found)


def _layer_estimates(estimate: StepEstimate) -> dict[str, float]:
    """Time between the end of one layer and the end of the next."""
    ends: dict[str, float] = {}
    for item in estimate.operations:
        ends[_layer_name(item.operation.layer)] = float(item.end)
    ends[_layer_name(estimate.operations[-1].operation.layer)] = float(estimate.cycles)
    found, before = {}, 0.0
    for name, end in sorted(ends.items(), key=lambda pair: pair[1]):
        found[name], before = end - before, end
    return found


def _layer_name(layer: int) -> str:
    return f"layer {layer}" if layer >= 0 else OUTSIDE


class _Layers:
    """The layer of an instruction's node: the program joins nodes, and names roles after them."""

    def __init__(self, layers: dict[str, int]) -> None:
        self._layers = layers
        self._known: dict[str, str | None] = {}

    def of(self, node: str) -> str | None:
        """The layer's name; None for what belongs to no operation."""
        if node not in self._known:
            name = node.partition(":")[0]
            fitting = [known for known in self._layers if name == known or name.startswith((f"{known}_", f"{known}."))]
            best = max(fitting, key=len, default=None)
            self._known[node] = None if best is None else _layer_name(self._layers[best])
        return self._known[node]


class _Nodes:
    """Node names of the artifact's programs, by core and byte address."""

    def __init__(self, folder: Path) -> None:
        self._found: dict[tuple[int, int], tuple[str, ...]] = defaultdict(tuple)
        for program in read_description(folder).programs:
            held = Program.from_bytes((folder / program.file).read_bytes())
            for core, address in enumerate(program.addresses):
                self._found[core, address] = held.cores[core].nodes

    def of(self, core: int, address: int) -> tuple[str, ...] | None:
        """The nodes of the program at `address`, if the artifact has one there."""
        return self._found.get((core, address))
