"""Sequences and their KV caches: chunked prefill, ragged batches, reuse of what is cached, saving and
loading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cosyn.runtime.errors import RequestError
from cosyn.runtime.executor import Executor, FloatArray, State
from cosyn.runtime.kv_cache import Held, reusable_prefix


@dataclass(frozen=True, slots=True)
class _Step:
    """Tokens of one step, and for each sequence that ends in it the row of its last token."""

    token_ids: list[int]
    positions: list[int]
    slots: list[int]
    last_rows: dict[int, int]


class Session:
    """Up to `slots` sequences, each with the tokens that its cache holds.

    Not for use by two threads at a time.
    """

    def __init__(self, executor: Executor, *, slots: int = 1, capacity: int | None = None) -> None:
        """`capacity`: positions per sequence, at most (and by default) what the artifact was compiled for."""
        capacity = executor.max_seq if capacity is None else capacity
        if not 1 <= capacity <= executor.max_seq:
            raise RequestError(
                f"a context of {capacity} tokens was asked for; this artifact has 1 to {executor.max_seq}",
                "compile the model with a larger --max-seq",
            )
        if slots < 1:
            raise RequestError(f"a batch needs at least one sequence, found {slots}")
        self.executor = executor
        self.slots = slots
        self.capacity = capacity
        self.state: State = executor.allocate(slots, capacity)
        self._tokens: list[list[int]] = [[] for _ in range(slots)]
        # Positions ever written since a slot was empty: a ring forgets by these, also after going back.
        self._written = [0] * slots

    def tokens(self, slot: int = 0) -> tuple[int, ...]:
        """The tokens whose keys and values a slot holds."""
        return tuple(self._tokens[slot])

    def written(self, slot: int = 0) -> int:
        """The most positions that a slot has held since it was empty."""
        return self._written[slot]

    def restore(self, slot: int, tokens: Sequence[int], written: int) -> None:
        """Declare what a slot holds after its state was written from elsewhere."""
        self._tokens[slot] = list(tokens)
        self._written[slot] = written

    def begin(self, slot: int, token_ids: Sequence[int]) -> Sequence[int]:
        """Prepare a slot for the sequence `token_ids`; returns the part that `advance` must still process.

        Keeps the longest common prefix with what the slot holds, as far as its caches allow. RequestError for
        an empty sequence or one that exceeds the capacity.
        """
        self._check(token_ids, 0)
        executor = self.executor
        kept = reusable_prefix(
            executor.state_specs,
            executor.max_chunk,
            self.capacity,
            Held(self._tokens[slot], self._written[slot]),
            token_ids,
        )
        if not kept:
            self._written[slot] = 0
        del self._tokens[slot][kept:]
        return token_ids[kept:]

    def clear(self, slot: int = 0) -> None:
        """Forget what a slot holds."""
        self._tokens[slot] = []
        self._written[slot] = 0

    def room(self, slot: int = 0) -> int:
        """Positions that are still free."""
        return self.capacity - len(self._tokens[slot])

    def advance(self, pending: Mapping[int, Sequence[int]]) -> dict[int, FloatArray]:
        """Process tokens of several slots, in as few steps as chunks allow; decode is one token for each.

        Returns the logits `[vocab_size]` of each slot's last token. RequestError before anything is done.
        """
        for slot, token_ids in pending.items():
            self._check(token_ids, len(self._tokens[slot]))
        results: dict[int, FloatArray] = {}
        for step in self._plan(pending):
            rows = list(step.last_rows.values())
            logits = self._run(step, rows)
            results |= {slot: logits[i].copy() for i, slot in enumerate(step.last_rows)}
        return results

    def all_logits(self, token_ids: Sequence[int], slot: int = 0) -> FloatArray:
        """Logits `[len(token_ids), vocab_size]` of every token, appended to what the slot holds."""
        self._check(token_ids, len(self._tokens[slot]))
        result = np.empty((len(token_ids), self.executor.vocab_size), np.float32)
        chunk = min(self.executor.max_chunk, self.executor.max_out)
        for start in range(0, len(token_ids), chunk):
            part = list(token_ids[start : start + chunk])
            first = len(self._tokens[slot])
            positions = list(range(first, first + len(part)))
            step = _Step(part, positions, [slot] * len(part), {})
            result[start : start + len(part)] = self._run(step, list(range(len(part))))
        return result

    def _plan(self, pending: Mapping[int, Sequence[int]]) -> list[_Step]:
        """Fill steps with tokens of one slot after the other; a step may end one and begin the next."""
        steps: list[_Step] = []
        step = _Step([], [], [], {})
        for slot, token_ids in pending.items():
            first = len(self._tokens[slot])
            for i, token in enumerate(token_ids):
                full = len(step.token_ids) == self.executor.max_chunk
                if full or len(step.last_rows) == self.executor.max_out:
                    steps.append(step)
                    step = _Step([], [], [], {})
                step.token_ids.append(token)
                step.positions.append(first + i)
                step.slots.append(slot)
            step.last_rows[slot] = len(step.token_ids) - 1
        return [*steps, step] if step.token_ids else steps

    def _run(self, step: _Step, out_rows: list[int]) -> FloatArray:
        columns = (step.token_ids, step.positions, step.slots, out_rows)
        ids, positions, slots, rows = (np.asarray(c, np.int32) for c in columns)
        for slot, position in zip(step.slots, step.positions, strict=True):
            # Before the step: one that fails half-way has written too.
            self._written[slot] = max(self._written[slot], position + 1)
        logits = self.executor.step(self.state, ids, positions, slots, rows)
        for slot, token in zip(step.slots, step.token_ids, strict=True):
            self._tokens[slot].append(token)
        return logits

    def _check(self, token_ids: Sequence[int], held: int) -> None:
        if not token_ids:
            raise RequestError("there are no tokens to process: the prompt is empty", "give some text")
        if held + len(token_ids) > self.capacity:
            found = f"{held} tokens and {len(token_ids)} more" if held else f"{len(token_ids)} tokens"
            raise RequestError(
                f"the prompt is too long: {found} exceed the context of {self.capacity} tokens",
                "shorten it, or compile the model with a larger --max-seq",
            )
        vocab = self.executor.vocab_size
        wrong = next((t for t in token_ids if not 0 <= t < vocab), None)
        if wrong is not None:
            raise RequestError(f"token id {wrong} is outside of the vocabulary of {vocab} tokens")
