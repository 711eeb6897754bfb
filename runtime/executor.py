"""What a session needs of whatever executes the model: the one interface between generation and a device.

Execution is token-parallel: a step takes tokens of any sequences in any mixture, each with its position and
its slot. Prefill, chunked prefill, decode and ragged batches are the same call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cosyn.runtime.manifest import StateSpec

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
AnyArray = npt.NDArray[np.generic]


class State(Protocol):
    """KV caches of all layers for a number of sequences (`slots`) of up to `capacity` positions each."""

    slots: int
    capacity: int

    def read(self, slot: int, length: int) -> list[AnyArray]:
        """Copies of what a slot holds for a sequence of `length` tokens, in the order of the manifest's
        states.
        """
        ...

    def write(self, slot: int, arrays: Sequence[AnyArray]) -> None:
        """Put back what `read` gave, into this or another state of the same capacity."""
        ...


class Executor(Protocol):
    """A loaded model on a device."""

    vocab_size: int
    max_seq: int
    """Positions that a sequence may have."""
    max_chunk: int
    """Tokens that one step takes."""
    max_out: int
    """Rows of logits that one step of `max_chunk` tokens gives."""
    state_specs: tuple[StateSpec, ...]

    def allocate(self, slots: int, capacity: int) -> State:
        """Empty caches for `slots` sequences."""
        ...

    def step(
        self, state: State, token_ids: IntArray, positions: IntArray, slots: IntArray, out_rows: IntArray
    ) -> FloatArray:
        """Process tokens (1 to `max_chunk`; i32, one-dimensional, equal lengths) and extend their caches.

        Tokens of one slot must come in order of position and continue what the slot holds. Returns the logits
        `[len(out_rows), vocab_size]` of the rows asked for (indices into the step's tokens, possibly none);
        the array is valid until the next step.
        """
        ...
