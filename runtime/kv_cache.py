"""Where a KV cache keeps each position, and how much of it a new prompt may reuse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.manifest import StateSpec


def state_capacity(spec: StateSpec, capacity: int, max_chunk: int) -> int:
    """Positions that the cache of one layer holds, for sequences of up to `capacity` tokens.

    A ring needs `window` positions for the oldest token of a step and a place for every later token of that
    step.
    """
    if not spec.window:
        return capacity
    return min(capacity, spec.window + max_chunk - 1 + spec.sinks)


def state_shapes(spec: StateSpec, slots: int, capacity: int) -> list[tuple[tuple[int, ...], str]]:
    """Shape and element type of the tensors of one layer's cache: k, v, and for i8 the scales of both."""
    lead = (slots, spec.n_kv_heads, capacity)
    shapes: list[tuple[tuple[int, ...], str]] = [
        ((*lead, spec.head_dim), spec.dtype),
        ((*lead, spec.v_dim), spec.dtype),
    ]
    if spec.dtype == "i8":
        shapes += [(lead, "f32"), (lead, "f32")]
    return shapes


def state_bytes(specs: Iterable[StateSpec], slots: int, capacity: int, max_chunk: int) -> int:
    """Bytes of the caches of all layers."""
    total = 0
    for spec in specs:
        for shape, dtype in state_shapes(spec, slots, state_capacity(spec, capacity, max_chunk)):
            total += prod(shape) * BY_NAME[dtype].numpy.itemsize
    return total


def bytes_read_per_token(specs: Iterable[StateSpec], context: int) -> int:
    """Bytes of KV cache that one decode step reads with `context` positions in the cache."""
    return sum(s.bytes_per_position * (min(context, s.window + s.sinks) if s.window else context) for s in specs)


@dataclass(frozen=True, slots=True)
class Held:
    """What a slot holds: tokens, and the most positions that it has held since it was empty."""

    tokens: Sequence[int]
    written: int


def reusable_prefix(
    specs: Sequence[StateSpec], max_chunk: int, capacity: int, held: Held, wanted: Sequence[int]
) -> int:
    """How many leading tokens of `wanted` need not be computed again in a slot.

    At most `len(wanted) - 1`: the last token is computed for its logits. A ring that has dropped positions
    which the next token would see cannot be continued from there.
    """
    length = _common_prefix(held.tokens, wanted[:-1])
    while not all(_continues(s, state_capacity(s, capacity, max_chunk), held.written, length) for s in specs):
        length -= 1
    return length


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def _continues(spec: StateSpec, capacity: int, written: int, length: int) -> bool:
    """Whether a cache of `capacity` places still has all that a token at position `length` sees."""
    if not spec.window or written <= capacity:
        return True
    oldest_seen = max(spec.sinks, length + 1 - spec.window)
    oldest_kept = written - (capacity - spec.sinks)
    return oldest_seen >= length or oldest_seen >= oldest_kept
