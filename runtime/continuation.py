"""Writing on: choose a token, show its text, end at a stop string, an end token or a limit."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from cosyn.runtime.executor import FloatArray
from cosyn.runtime.sampler import Sampler
from cosyn.runtime.session import Session
from cosyn.runtime.stop import StopMatcher
from cosyn.runtime.tokenizer import Detokenizer

FinishReason = Literal["eos", "stop", "length"]


class Continuation:
    """What is written after one prompt."""

    def __init__(
        self,
        sampler: Sampler,
        detokenizer: Detokenizer | None,
        stop: StopMatcher,
        eos_token_ids: Collection[int],
        max_new_tokens: int,
    ) -> None:
        self.sampler = sampler
        self.token_ids: list[int] = []
        """What was chosen, the end token included."""
        self.text = ""
        self.finish_reason: FinishReason | None = None
        self._detokenizer = detokenizer
        self._stop = stop
        self._eos = frozenset(eos_token_ids)
        self._limit = max_new_tokens

    def accept(self, logits: FloatArray) -> str:
        """Choose the next token from `logits` `[vocab_size]`; returns the text that can be shown now."""
        token = self.sampler.choose(logits)
        self.token_ids.append(token)
        if token in self._eos:
            return self._finish("eos")
        shown = self._stop.push(self._detokenizer.push(token) if self._detokenizer else "")
        self.text += shown
        if self._stop.hit is not None:
            self.finish_reason = "stop"
        elif len(self.token_ids) >= self._limit:
            return shown + self._finish("length")
        return shown

    def _finish(self, reason: FinishReason) -> str:
        shown = self._stop.push(self._detokenizer.flush() if self._detokenizer else "")
        self.finish_reason = reason if self._stop.hit is None else "stop"
        shown += self._stop.flush()
        self.text += shown
        return shown


class Writer:
    """Advances several continuations together and times it; the time of whoever shows the text is not
    counted.
    """

    def __init__(self, session: Session, continuations: Mapping[int, Continuation]) -> None:
        self._session = session
        self._continuations = continuations
        self.prefill_seconds = 0.0
        self.decode_seconds = 0.0

    def write(self, prompts: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, str]]:
        """Process the prompts by slot, then write until all have ended; yields slot and text."""
        started = time.perf_counter()
        logits = self._session.advance(prompts)
        self.prefill_seconds = time.perf_counter() - started
        while logits:
            started = time.perf_counter()
            shown = [(slot, self._continuations[slot].accept(row)) for slot, row in logits.items()]
            self.decode_seconds += time.perf_counter() - started
            yield from shown
            started = time.perf_counter()
            open_slots = [s for s in logits if self._continuations[s].finish_reason is None]
            last = {slot: self._continuations[slot].token_ids[-1:] for slot in open_slots}
            logits = self._session.advance(last)
            self.decode_seconds += time.perf_counter() - started
