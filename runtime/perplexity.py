"""Perplexity of a text: how well the model predicts each next token.

A text is one or more documents, divided by a separator such as `<|endoftext|>`. Each document is encoded
without special tokens and cut into windows that do not overlap; <bos> opens each window, is not scored, and
counts towards the window's size, which by default is the model's whole context. Every other token of a window
is scored once, from what precedes it in that window. A model without <bos> scores all but the first token of
a window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cosyn.runtime.errors import RequestError
from cosyn.runtime.executor import FloatArray
from cosyn.runtime.language_model import LanguageModel

_LARGEST_EXPONENT = 709.0

SEPARATOR = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Perplexity:
    """The negative log-likelihood of a text in nats, and over how many tokens it is summed."""

    nats: float
    tokens: int

    @property
    def nll_per_token(self) -> float:
        """Mean negative log-likelihood in nats."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood; infinite beyond what a float holds."""
        return math.exp(self.nll_per_token) if self.nll_per_token < _LARGEST_EXPONENT else math.inf


def documents(text: str, separator: str = SEPARATOR) -> list[str]:
    """The documents of a text, without white space around them; empty ones are left out."""
    return [part for part in (piece.strip() for piece in text.split(separator)) if part]


def evaluate(
    model: LanguageModel,
    texts: Iterable[str],
    *,
    window: int | None = None,
    first_window_only: bool = False,
    max_tokens: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Perplexity:
    """Perplexity over documents.

    `window`: tokens of a window, <bos> included. `first_window_only` cuts every document to its first window.
    `max_tokens` ends the text after that many tokens, <bos> not counted. `progress` is told the tokens scored
    so far. RequestError for a window that the model cannot hold, and where there is nothing to score.
    """
    encoded = (model.encode_text(text) for text in texts)
    return evaluate_tokens(
        model,
        _first(encoded, max_tokens),
        window=window,
        first_window_only=first_window_only,
        progress=progress,
    )


def evaluate_tokens(
    model: LanguageModel,
    sequences: Iterable[Sequence[int]],
    *,
    window: int | None = None,
    first_window_only: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Perplexity:
    """Like `evaluate`, over token ids without special tokens."""
    size = model.session.capacity if window is None else window
    if not 2 <= size <= model.session.capacity:
        raise RequestError(f"a window has 2 to {model.session.capacity} tokens for this model, found {size}")
    bos = model.manifest.model.bos_token_id
    nats, tokens = 0.0, 0
    for ids in sequences:
        for part in _windows(ids, size, bos, first_window_only):
            nats += _nats(model.logits(part[:-1]), part[1:])
            tokens += len(part) - 1
            if progress is not None:
                progress(tokens)
    if not tokens:
        raise RequestError("the text has no tokens to score", "give a text of at least two tokens")
    return Perplexity(nats, tokens)


def _first(sequences: Iterable[Sequence[int]], limit: int | None) -> Iterator[Sequence[int]]:
    """The sequences, ended after `limit` tokens in all."""
    left = math.inf if limit is None else limit
    for ids in sequences:
        if left <= 0:
            return
        yield ids if len(ids) <= left else ids[: int(left)]
        left -= len(ids)


def _windows(ids: Sequence[int], size: int, bos: int | None, first_only: bool) -> Iterator[list[int]]:
    opening = [] if bos is None else [bos]
    step = size - len(opening)
    for start in range(0, len(ids), step):
        part = [*opening, *ids[start : start + step]]
        if len(part) > 1:
            yield part
        if first_only:
            return


def _nats(logits: FloatArray, targets: Sequence[int]) -> float:
    x = logits.astype(np.float64)
    top = x.max(axis=1)
    log_sum = top + np.log(np.exp(x - top[:, None]).sum(axis=1))
    return float((log_sum - x[np.arange(len(targets)), list(targets)]).sum())
