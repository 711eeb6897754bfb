"""Choosing the next token from logits, with the meaning that Hugging Face's generation options have."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from cosyn.runtime.errors import RequestError, RuntimeFault
from cosyn.runtime.executor import FloatArray

FloatArray64: TypeAlias = npt.NDArray[np.float64]


class SamplingKeywords(TypedDict, total=False):
    """The fields of SamplingOptions, as keyword arguments."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    seed: int | None


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How to choose; the defaults are greedy decoding.

    `temperature` 0 takes the most likely token. Otherwise the options apply in this order: `temperature`
    divides the logits; `top_k` keeps that many tokens (0: all); `top_p` keeps the likeliest tokens up to that
    mass; `min_p` drops tokens less likely than that share of the likeliest. `repetition_penalty` above 1
    makes tokens of the prompt and the text less likely, before all others and in greedy decoding too. `seed`
    makes the draw reproducible; None takes a random one.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, self.temperature >= 0, "at least 0")
        _check("top_k", self.top_k, self.top_k >= 0, "at least 0 (0: all tokens)")
        _check("top_p", self.top_p, 0 < self.top_p <= 1, "above 0 and at most 1")
        _check("min_p", self.min_p, 0 <= self.min_p <= 1, "between 0 and 1")
        _check("repetition_penalty", self.repetition_penalty, self.repetition_penalty > 0, "above 0")
        _check("seed", self.seed, self.seed is None or self.seed >= 0, "at least 0")

    @staticmethod
    def from_generation_config(config: Mapping[str, object]) -> SamplingOptions:
        """The options that a model's generation_config.json recommends; greedy unless it says `do_sample`."""
        penalty = _number(config, "repetition_penalty", 1.0)
        if config.get("do_sample") is not True:
            return SamplingOptions(repetition_penalty=penalty)
        return SamplingOptions(
            temperature=_number(config, "temperature", 1.0),
            top_k=int(_number(config, "top_k", 50)),
            top_p=_number(config, "top_p", 1.0),
            min_p=_number(config, "min_p", 0.0),
            repetition_penalty=penalty,
        )


class Sampler:
    """Draws tokens for one sequence. `seed` is the one in use, given or drawn."""

    def __init__(self, options: SamplingOptions, seen: Iterable[int] = ()) -> None:
        """`seen`: the prompt's tokens, which the repetition penalty counts."""
        self.options = options
        self.seed = secrets.randbits(32) if options.seed is None else options.seed
        self._random = np.random.default_rng(self.seed)
        self._seen = set(seen)

    def choose(self, logits: FloatArray) -> int:
        """The next token for `logits` `[vocab_size]`, which are left unchanged."""
        if not np.isfinite(logits.max()):
            raise RuntimeFault("the model's logits are not numbers", "check the artifact with: cosyn verify DIR")
        scores = penalise_repetition(logits, self._seen, self.options.repetition_penalty)
        if self.options.temperature == 0:
            token = int(scores.argmax())
        else:
            cumulative = np.cumsum(probabilities(scores, self.options))
            token = int(np.searchsorted(cumulative, self._random.random() * cumulative[-1], side="right"))
        self._seen.add(token)
        return token


def penalise_repetition(logits: FloatArray, seen: Iterable[int], penalty: float) -> FloatArray:
    """Divide the positive logits of seen tokens by `penalty` and multiply the negative ones (Keskar et al.
    2019).
    """
    if penalty == 1.0:
        return logits
    scores = logits.copy()
    index = np.fromiter(seen, np.int64)
    values = scores[index]
    scores[index] = np.where(values < 0, values * penalty, values / penalty)
    return scores


def probabilities(scores: FloatArray, options: SamplingOptions) -> FloatArray64:
    """What each token's chance is after temperature, top-k, top-p and min-p; sums to 1."""
    x = scores.astype(np.float64) / options.temperature
    if 0 < options.top_k < x.size:
        # Ties with the k-th score stay, as in Hugging Face.
        x[x < np.partition(x, -options.top_k)[-options.top_k]] = -np.inf
    p = _softmax(x)
    if options.top_p < 1:
        p[_outside_nucleus(p, options.top_p)] = 0
        p /= p.sum()
    if options.min_p > 0:
        p[p < options.min_p * p.max()] = 0
        p /= p.sum()
    return p


def _outside_nucleus(p: FloatArray64, top_p: float) -> npt.NDArray[np.intp]:
    """Indices of the least likely tokens, whose mass together is at most 1 - top_p; never the likeliest."""
    tail = 1 - top_p
    # Tokens below tail / size cannot make up the tail between them: they are outside without being sorted.
    surely = p < tail / p.size
    rest = np.flatnonzero(~surely)
    order = rest[np.argsort(p[rest], kind="stable")]
    outside = order[p[surely].sum() + np.cumsum(p[order]) <= tail]
    return np.concatenate([np.flatnonzero(surely), outside[outside != order[-1]]])


def _softmax(x: FloatArray64) -> FloatArray64:
    e: FloatArray64 = np.exp(x - x.max())
    e /= e.sum()
    return e


def _check(name: str, value: object, holds: bool, rule: str) -> None:
    if not holds:
        raise RequestError(f"{name} must be {rule}, found {value}")


def _number(config: Mapping[str, object], key: str, default: float) -> float:
    value = config.get(key)
    return float(value) if isinstance(value, int | float) else default
