"""FlightLLM as published: groups of instructions between barriers. What its board and its profiler should measure.

Zeng et al., FPGA 2024, and its released artifact. A decoded token is 13 groups a layer, the final norm and the head;
every group ends in a barrier of all cores, so nothing of a group overlaps with the next one. Inside a group of a
linear layer the matrix engine multiplies 512 output columns an instruction while the next instruction's weights are
loaded: load once, then the longer of the two for all others, then multiply once.

Published: MV's 1,024 products a cycle and core, 512 columns an instruction, 16 special-function lanes with norms and
softmax taking two passes, 70 % of a channel's bandwidth for a core's own channels and 35 % across channels, the
groups, the clock. Ours, from the published buffer geometry: an 8 MiB A buffer in two halves takes 512 columns of at
most 8,192 INT8 rows, so that a longer reduction is cut into equal parts. Inferred, because it explains how the
released profiler's time grows with the context: keys and values come at the rate across channels, and softmax is not
hidden. Nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.estimate.operations import Operation


@dataclass(frozen=True, slots=True)
class Published:
    """What the paper and the artifact state beyond the geometry; `bytes_per_channel` per second at the pins."""

    bytes_per_channel: float
    own_channel: float = 0.70
    across_channels: float = 0.35
    columns: int = 512
    buffer_rows: int = 8192
    """INT8 rows of `columns` columns in half of the A buffer."""
    two_pass: float = 2.0


BOARD = Published(bytes_per_channel=460e9 / 32)
"""The Alveo U280: 32 pseudo-channels, 460 GB/s."""

PROFILER = Published(bytes_per_channel=819.2 * 2**30 / 32)
"""The released profiler: one core of the VHK158, whose 819.2 GB/s it takes as GiB/s in 32 channels."""

CORRECTION = 3.2
"""The profiler divides every duration by this number, which the artifact does not explain."""

MEASURED_SECONDS = {128: 17.51e-3, 512: 18.99e-3}
"""Seconds a token of the Zenodo package on a U280 by context, measured independently: parameters of 4.1 bits."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group between barriers, in cycles: `cycles` in all, and how long each unit works in it."""

    name: str
    cycles: float
    load: float = 0.0
    multiply: float = 0.0
    special: float = 0.0


def groups(
    items: Sequence[Operation],
    config: AcceleratorConfig,
    published: Published,
    *,
    context: int,
    bits: float,
    sparse_density: float = 1.0,
) -> Iterator[Group]:
    """The groups of one decoded token at `context`, on one of the cores of `config`.

    `bits`: of a stored weight; `sparse_density`: kept share of the weights of the query and key projections.
    """
    own = config.channels_per_core * published.bytes_per_channel / config.clock_hz
    for item in items:
        if item.kind == "norm":
            passes = published.two_pass * item.width / config.lanes
            yield Group("norm", passes, special=passes)
        elif item.kind == "linear":
            density = sparse_density if item.name.endswith(("q_proj", "k_proj")) else 1.0
            yield _linear(item, config, published, bits * density / 8, own * published.own_channel, density)
        elif item.kind == "attend":
            yield from _attention(item, config, published, own * published.across_channels, context)


def _linear(
    item: Operation, config: AcceleratorConfig, published: Published, weight_bytes: float, rate: float, density: float
) -> Group:
    instructions = _share(-(-item.outputs // published.columns), config.cores)
    parts = -(-item.width // published.buffer_rows)
    products = published.columns * item.width / parts
    load, multiply = products * weight_bytes / rate, products * density / config.macs
    count = instructions * parts
    # What is fused behind a linear runs on the columns of its last instruction after these are done.
    special = published.columns / config.lanes
    cycles = load + (count - 1) * max(load, multiply) + multiply + special
    return Group("linear", cycles, count * load, count * multiply, instructions * special)


def _attention(
    item: Operation, config: AcceleratorConfig, published: Published, rate: float, context: int
) -> Iterator[Group]:
    heads = _share(item.heads, config.cores)
    # Keys are output columns, of which an instruction always makes 512; of the values' it uses the head's.
    load = context * item.width / rate
    multiply = -(-context // published.columns) * published.columns * item.width / config.macs
    softmax = heads * published.two_pass * context / config.lanes
    cycles = load + (heads - 1) * max(load, multiply) + multiply + softmax
    yield Group("scores and softmax", cycles, heads * load, heads * multiply, softmax)
    load = context * item.value_width / rate
    multiply = published.columns * context / config.macs
    yield Group("values", load + (heads - 1) * max(load, multiply) + multiply, heads * load, heads * multiply)


def _share(count: int, cores: int) -> int:
    return -(-count // cores)


def decode_seconds(
    items: Sequence[Operation],
    config: AcceleratorConfig,
    published: Published,
    *,
    context: int,
    bits: float,
    sparse_density: float = 1.0,
) -> float:
    """Seconds of a decoded token: all groups, one after the other, and a cycle for each barrier."""
    found = list(groups(items, config, published, context=context, bits=bits, sparse_density=sparse_density))
    return sum(g.cycles + 1 for g in found) / config.clock_hz


def split_projections(items: Sequence[Operation]) -> tuple[Operation, ...]:
    """The operations with joined projections taken apart again, as FlightLLM runs them: q, k, v; gate, up."""
    from dataclasses import replace

    found: list[Operation] = []
    for number, item in enumerate(items):
        if item.kind != "linear":
            found.append(item)
            continue
        attend = next((i for i in items[number + 1 : number + 6] if i.kind == "attend"), None)
        follows = items[number + 1] if number + 1 < len(items) else None
        if attend is not None and item.outputs == _projected(attend):
            sizes = {"q_proj": attend.heads * attend.width, "k_proj": attend.kv_heads * attend.width,
                     "v_proj": attend.kv_heads * attend.value_width}  # fmt: skip
            found += [replace(item, name=f"{item.name}.{name}", outputs=size) for name, size in sizes.items()]
        elif follows is not None and follows.kind == "elementwise" and item.outputs == 2 * follows.width:
            found += [replace(item, name=f"{item.name}.{n}", outputs=follows.width) for n in ("gate", "up")]
        else:
            found.append(item)
    return tuple(found)


def _projected(attend: Operation) -> int:
    return attend.heads * attend.width + attend.kv_heads * (attend.width + attend.value_width)
