"""The estimate for an accelerator configuration on an FPGA.

Whether a step fits the buffers is asked of the compiler itself, which needs no weights for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.energy import step_energy
from cosyn.accelerator_model.estimate import Design, Operation, StepEstimate, estimate_step, operations
from cosyn.accelerator_model.estimate.operations import cached_bytes_per_position
from cosyn.accelerator_model.estimate.weight_form import WeightForms, stream
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.resources import RESOURCES, resources, shortages, smallest_change
from cosyn.codegen.fpga.compile_step import compile_step
from cosyn.codegen.fpga.errors import FitError
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.regions import Layout
from cosyn.estimation import Estimate, LayerEstimate, Workload, bound_of, mean
from cosyn.ir.graph import Graph
from cosyn.targets.fpga_device import FpgaDevice, load_fpga_device

CHUNKS = (8, 4, 2)
"""Tokens of a prefill step, the largest that fits: with eight per weight a step is bound by arithmetic."""

_CLASSES = {
    "memory": (Opcode.LD,), "matrix": (Opcode.MM, Opcode.MV), "special functions": (Opcode.MISC,),
    "exchange": (Opcode.SYS,),
}  # fmt: skip


def estimate_fpga(graph: Graph, target: str, workload: Workload) -> Estimate:
    """The estimate of the lowered `graph` on the configuration that `target` names, on the device that it is for."""
    items = operations(graph)
    config = load_config(target.removeprefix("fpga:"))
    device = load_fpga_device(config.device)
    design = Design.of(config)
    decode = [estimate_step(items, design, tokens=1, position=c) for c in workload.contexts()]
    joules = {name: fact.base for name, fact in device.energy.items()}
    energies = [step_energy(step, design, joules) for step in decode]
    energy = {name: mean([float(e[name]) for e in energies]) for name in energies[0]}
    middle = decode[len(decode) // 2]
    problems = list(_problems(items, config, device, workload))
    chunk, refused = _chunk(graph, config, workload)
    problems += refused
    hertz = float(design.clock_hz)
    return Estimate(
        target,
        _prefill_seconds(items, design, workload.prompt_tokens, chunk),
        mean([float(s.seconds(design)) for s in decode]),
        sum(energy.values()),
        not problems,
        tuple(problems),
        tuple(_layers(middle, hertz)),
        {name: float(cycles) / hertz for name, cycles in middle.terms.items()},
        energy,
        _resource_table(config, device),
        float(middle.memory_share(design)),
        (f"prompts in steps of {chunk} tokens", *_notes(device)),
    )


def _chunk(graph: Graph, config: AcceleratorConfig, workload: Workload) -> tuple[int, list[str]]:
    """Tokens of a prefill step, and why not even one token fits."""
    layout = Layout(make_plan(config, graph, workload.longest))
    for tokens in (*CHUNKS, 1):
        try:
            compile_step(layout, tokens)
        except FitError as error:
            reason = str(error)
            continue
        return tokens, []
    return 1, [reason]


def _prefill_seconds(items: Sequence[Operation], design: Design, prompt: int, chunk: int) -> float:
    """Whole chunks, then the rest in powers of two. Time grows linearly with the position: chunks are sampled."""
    total, position = 0.0, 0
    whole = prompt // chunk
    if whole:
        sampled = sorted({0, whole // 2, whole - 1})
        steps = [estimate_step(items, design, tokens=chunk, position=n * chunk) for n in sampled]
        seconds = [float(s.seconds(design)) for s in steps]
        total += float(np.interp(np.arange(whole), sampled, seconds).sum())
        position = whole * chunk
    while position < prompt:
        tokens = 1 << (prompt - position).bit_length() - 1
        total += float(estimate_step(items, design, tokens=tokens, position=position).seconds(design))
        position += tokens
    return total


def _layers(step: StepEstimate, hertz: float) -> Iterator[LayerEstimate]:
    """Time and work between the end of the layer before and the end of this one."""
    groups: dict[str, list[int]] = {}
    for number, found in enumerate(step.operations):
        layer = found.operation.layer
        groups.setdefault(f"layer {layer}" if layer >= 0 else "head", []).append(number)
    before_end, before = 0.0, dict.fromkeys(Opcode, 0.0)
    for name, numbers in groups.items():
        last = step.operations[numbers[-1]]
        end = float(last.end) if numbers[-1] < len(step.operations) - 1 else float(step.cycles)
        work = {opcode: float(last.work[opcode] or last.busy[opcode]) for opcode in Opcode}
        terms = {n: sum(work[o] - before[o] for o in group) / hertz for n, group in _CLASSES.items()}
        seconds = (end - before_end) / hertz
        yield LayerEstimate(name, seconds, bound_of(terms, seconds), terms)
        before_end, before = end, work


def _problems(
    items: Sequence[Operation], config: AcceleratorConfig, device: FpgaDevice, workload: Workload
) -> Iterator[str]:
    available = {name: device.resources[name].value for name in RESOURCES}
    short = shortages(config, available)
    if short:
        change = smallest_change(config, available)
        advice = f"; smallest change that fits: {change}" if change else "; no change of one field fits"
        yield f"{config.name} does not fit {device.name}: {', '.join(map(str, short))}{advice}"
    needed = stored_bytes(items, config, workload.longest)
    room = device.capacity.base * config.cores * config.channels_per_core / device.channels.value
    if needed > room:
        fewer = _longest_that_fits(items, config, workload.longest, room)
        advice = f"; it fits with at most {fewer} positions" if fewer else "; take fewer bits per weight"
        yield (
            f"weights and cache need {needed / 1e9:.2f} GB of the {room / 1e9:.2f} GB behind the channels used,"
            f" {(needed - room) / 1e9:.2f} GB too many{advice}"
        )
    bandwidth = config.peak_bytes_per_second
    if bandwidth > device.bandwidth.base * 1.001:
        yield (
            f"{config.name} asks for {bandwidth / 1e9:.1f} GB/s, {device.name} has {device.bandwidth}"
            " : lower clock_hz, channel_bytes, channels_per_core or cores"
        )


def stored_bytes(items: Sequence[Operation], config: AcceleratorConfig, positions: int) -> float:
    """Bytes of weights as tile streams, scales, and the cache of `positions`, over all cores."""
    design = Design.of(config)
    total = 0.0
    for item in items:
        if item.kind == "linear" and item.stored is not None:
            made = stream(design, WeightForms.of(item.stored), item.width, -(-item.outputs // config.cores))
            total += float(made.total_words) * config.word_bytes * config.cores + 4 * item.outputs
    tiles = -(-positions // config.tile_columns) * config.tile_columns
    scales = sum(8 * i.kv_heads for i in items if i.kind == "append")
    return total + tiles * (cached_bytes_per_position(tuple(items)) + scales)


def _longest_that_fits(items: Sequence[Operation], config: AcceleratorConfig, positions: int, room: float) -> int:
    while positions > config.tile_columns:
        positions = (positions - 1) // config.tile_columns * config.tile_columns
        if stored_bytes(items, config, positions) <= room:
            return positions
    return 0


def _resource_table(config: AcceleratorConfig, device: FpgaDevice) -> dict[str, dict[str, float]]:
    total = resources(config).total
    return {n: {"needed": getattr(total, n), "available": device.resources[n].value} for n in RESOURCES}


def _notes(device: FpgaDevice) -> Iterator[str]:
    assumed = [name.removeprefix("energy ") for name, fact in device.facts().items() if fact.assumed]
    if assumed:
        yield f"assumed, not sourced, for {device.name}: {', '.join(assumed)}"
