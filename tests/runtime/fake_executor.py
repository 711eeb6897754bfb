"""An executor in numpy whose logits depend on every visible token, and which checks the use of its caches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from cosyn.runtime.executor import AnyArray, FloatArray, IntArray, State
from cosyn.runtime.kv_cache import state_capacity
from cosyn.runtime.manifest import StateSpec

CONTIGUOUS = StateSpec("full", 1, 1, 1, "f32", 0, 0)


def ring(window: int, sinks: int = 0) -> StateSpec:
    """A sliding-window layer."""
    return StateSpec("ring", 1, 1, 1, "f32", window, sinks)


class FakeState:
    """Keeps token and position at the index that the format says, as a kernel would."""

    def __init__(self, specs: Sequence[StateSpec], slots: int, capacity: int, max_chunk: int) -> None:
        self.slots = slots
        self.capacity = capacity
        self.specs = specs
        sizes = [state_capacity(s, capacity, max_chunk) for s in specs]
        self.arrays = [np.full((slots, 1, size, 2), -1, np.int32) for size in sizes]

    def read(self, slot: int, length: int) -> list[AnyArray]:
        return [a[slot, :, : min(length, a.shape[2])].copy() for a in self.arrays]

    def write(self, slot: int, arrays: Sequence[AnyArray]) -> None:
        for mine, theirs in zip(self.arrays, arrays, strict=True):
            mine[slot, :, : theirs.shape[1]] = theirs

    def index(self, layer: int, position: int) -> int:
        spec, size = self.specs[layer], self.arrays[layer].shape[2]
        if not spec.window or position < spec.sinks:
            return position
        return spec.sinks + (position - spec.sinks) % (size - spec.sinks)


class FakeExecutor:
    """Logits are drawn from a generator seeded with all that the token sees: any mistake changes them."""

    def __init__(
        self,
        *specs: StateSpec,
        vocab_size: int = 50,
        max_seq: int = 64,
        max_chunk: int = 8,
        max_out: int = 4,
    ) -> None:
        self.state_specs = specs or (CONTIGUOUS,)
        self.vocab_size = vocab_size
        self.max_seq = max_seq
        self.max_chunk = max_chunk
        self.max_out = max_out
        self.steps: list[tuple[list[int], list[int], list[int], list[int]]] = []
        """Token ids, positions, slots and out rows of every step so far."""

    @property
    def tokens_processed(self) -> int:
        return sum(len(step[0]) for step in self.steps)

    def allocate(self, slots: int, capacity: int) -> FakeState:
        return FakeState(self.state_specs, slots, capacity, self.max_chunk)

    def step(
        self, state: State, token_ids: IntArray, positions: IntArray, slots: IntArray, out_rows: IntArray
    ) -> FloatArray:
        assert isinstance(state, FakeState)
        assert 1 <= len(token_ids) <= self.max_chunk
        assert len(out_rows) <= self.max_out
        self.steps.append((token_ids.tolist(), positions.tolist(), slots.tolist(), out_rows.tolist()))
        for layer, array in enumerate(state.arrays):
            for token, position, slot in zip(token_ids, positions, slots, strict=True):
                array[slot, 0, state.index(layer, int(position))] = (token, position)
        logits = np.empty((len(out_rows), self.vocab_size), np.float32)
        for i, row in enumerate(out_rows):
            seen = [self._seen(state, n, int(slots[row]), int(positions[row])) for n in range(len(state.arrays))]
            seed = hashlib.sha256(repr(seen).encode()).digest()
            logits[i] = np.random.default_rng(list(seed)).normal(size=self.vocab_size)
        return logits

    def _seen(self, state: FakeState, layer: int, slot: int, position: int) -> list[int]:
        spec = self.state_specs[layer]
        first = max(0, position - spec.window + 1) if spec.window else 0
        visible = sorted({*range(min(spec.sinks, position + 1)), *range(first, position + 1)})
        tokens = []
        for p in visible:
            token, stored = state.arrays[layer][slot, 0, state.index(layer, p)]
            assert stored == p, f"layer {layer} needs position {p} of slot {slot} and finds {stored}"
            tokens.append(int(token))
        return tokens
