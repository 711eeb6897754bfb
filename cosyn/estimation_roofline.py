"""The estimate for processors: each kernel takes as long as its arithmetic or its traffic, whichever is longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from cosyn.errors import CommandError
from cosyn.estimation import Estimate, LayerEstimate, Workload, bound_of, mean
from cosyn.inspection import Inspection
from cosyn.passes.cost import KernelCost, kernel_costs
from cosyn.passes.recipe import Recipe
from cosyn.runtime.host_cpu import physical_cores
from cosyn.targets import Roofline, Target, target_roofline

_CHUNK = 128
_PROBE_BYTES = 256 << 20
_PROBE_WIDTH = 1536


def estimate_roofline(found: Inspection, target: Target, recipe: Recipe, workload: Workload) -> Estimate:
    """The estimate of a lowered model on `target`, whose peaks are the datasheet's, or measured now for the CPU."""
    precision = _precision(target, recipe)
    roofline, note = _roofline(target, precision)
    contexts = workload.contexts()
    decode = [_seconds(_kernels(found, 1, c), roofline) for c in contexts]
    chunk = min(_CHUNK, found.graph.dims.get("seq", (1, _CHUNK))[1])
    prefill = sum(
        _seconds(_kernels(found, min(chunk, workload.prompt_tokens - p), p), roofline)
        for p in range(0, workload.prompt_tokens, chunk)
    )
    middle = _kernels(found, 1, contexts[len(contexts) // 2])
    power = target.peaks.power
    needed = found.weight_bytes + found.kv_bytes_per_position * workload.longest + found.memory.arena_bytes
    seconds = mean(decode)
    return Estimate(
        target.name,
        prefill,
        seconds,
        power.base * seconds if power is not None else None,
        not (problems := tuple(_problems(target, needed))),
        problems,
        tuple(_layers(found, middle, roofline)),
        {"arithmetic": sum(k.ops for k in middle) / roofline.ops_per_second,
         "memory": sum(k.read + k.written for k in middle) / roofline.bytes_per_second},
        {"maximum power": power.base * seconds} if power is not None else {},
        bandwidth_share=sum(k.read + k.written for k in middle) / roofline.bytes_per_second / seconds,
        notes=(note, "a roofline: launches, barriers and imperfect kernels only add to it"),
    )  # fmt: skip


def _precision(target: Target, recipe: Recipe) -> str:
    if recipe.activations == "i8" and "i8" in target.peaks.compute:
        return "i8"
    wanted = recipe.tables.value if recipe.name != "fp32" else "f32"
    return wanted if wanted in target.peaks.compute else next(iter(target.peaks.compute), "f32")


def _roofline(target: Target, precision: str) -> tuple[Roofline, str]:
    stated = target_roofline(target, precision)
    if stated is not None:
        peak, bandwidth = target.peaks.compute[precision], target.peaks.memory_bandwidth
        return stated, f"peaks of {target.device}: {peak} in {precision}, {bandwidth}"
    if target.kind != "cpu":
        raise CommandError(
            f"{target.name} states no peaks, so there is nothing to estimate from",
            "copy its description and add peaks.compute and peaks.memory_bandwidth: docs/targets.md",
        )
    measured = Roofline(measured_ops(), _measured_bandwidth())
    return measured, (
        f"measured now on {physical_cores()} cores: {measured.ops_per_second / 1e9:.0f} GFLOP/s in f32,"
        f" {measured.bytes_per_second / 1e9:.1f} GB/s"
    )


def measured_ops() -> float:
    """Floating-point operations a second of a large matrix product: the best of three."""
    a = np.ones((_PROBE_WIDTH, _PROBE_WIDTH), np.float32)
    return 2 * _PROBE_WIDTH**3 / min(_timed(lambda: a @ a) for _ in range(3))


def _measured_bandwidth() -> float:
    """Bytes a second that a sum over memory beyond any cache reads: the best of three."""
    data = np.ones(_PROBE_BYTES // 8)
    return data.nbytes / min(_timed(lambda: data.sum()) for _ in range(3))


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _kernels(found: Inspection, tokens: int, context: int) -> list[KernelCost]:
    return kernel_costs(found.graph, found.fusion, {"seq": tokens, "out": 1, "past": context})


def _seconds(kernels: list[KernelCost], roofline: Roofline) -> float:
    return sum(roofline.seconds(k.ops, k.read + k.written) for k in kernels)


def _layers(found: Inspection, kernels: list[KernelCost], roofline: Roofline) -> Iterator[LayerEstimate]:
    """Kernels between one attention's cache and the next; the last group of them is the head."""
    groups: dict[str, list[KernelCost]] = {}
    nodes = {g.name: g.nodes for g in found.fusion.groups}
    layer, head = 0, found.graph.producer(found.graph.outputs[0])
    for kernel in kernels:
        # What follows the last layer's down projection is the head's, like the head itself.
        is_head = layer == len(found.graph.states) or (head is not None and head.name in nodes[kernel.group])
        groups.setdefault("head" if is_head else f"layer {layer}", []).append(kernel)
        if any(found.graph.producers[n].op in ("linear", "linear_i8") for n in nodes[kernel.group]):
            layer = _next_layer(found, nodes[kernel.group], layer)
    for name, members in groups.items():
        ops, moved = sum(k.ops for k in members), sum(k.read + k.written for k in members)
        terms = {"compute": ops / roofline.ops_per_second, "memory": moved / roofline.bytes_per_second}
        seconds = _seconds(members, roofline)
        yield LayerEstimate(name, seconds, bound_of(terms, seconds), terms)


def _next_layer(found: Inspection, nodes: tuple[str, ...], layer: int) -> int:
    """The layer after these nodes: the one whose down projection they hold is over."""
    names = [r for n in nodes for r in found.graph.producers[n].operands if r.startswith("@")]
    ends = any(part in name for name in names for part in (".down_proj.", ".fc2.", ".c_proj.", "dense_4h_to_h"))
    attention = any(".attn." in name or ".self_attn." in name for name in names)
    return layer + 1 if ends and not attention else layer


def _problems(target: Target, needed: int) -> Iterator[str]:
    capacity = target.peaks.memory_capacity
    if capacity is not None and needed > capacity.base:
        yield (
            f"weights, cache and work area need {needed / 1e9:.2f} GB of {capacity},"
            f" {(needed - capacity.base) / 1e9:.2f} GB too many: take fewer bits per weight or a shorter context"
        )
