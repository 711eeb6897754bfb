"""Speed of an artifact on this machine, and how close decoding comes to what its memory can deliver.

Decoding reads every weight and the cached context once for each token, so tokens per second times those bytes
is the bandwidth that it achieves. `roofline_fraction` compares that with the bandwidth that a kernel reaches
which does nothing but read, on the same threads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cosyn.runtime.errors import RequestError
from cosyn.runtime.huge_pages import available_bytes
from cosyn.runtime.kv_cache import bytes_read_per_token
from cosyn.runtime.language_model import LanguageModel
from cosyn.runtime.session import Session
from cosyn.runtime.tensor_memory import HostBuffer, share
from cosyn.runtime.vm_executor import VMExecutor

_FIRST_BYTES = 256 << 20
_MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated measurements of a speed."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class PrefillSpeed:
    """Tokens per second while a prompt of `prompt_tokens` is processed."""

    prompt_tokens: int
    tokens_per_second: Spread


@dataclass(frozen=True, slots=True)
class DecodeSpeed:
    """Tokens per second of one sequence, after `context` cached tokens and over `new_tokens`.

    `bytes_per_token` is at the middle of the run; `roofline_fraction` is None until it is compared with
    a bandwidth.
    """

    context: int
    new_tokens: int
    tokens_per_second: Spread
    bytes_per_token: int
    roofline_fraction: float | None = None

    def against(self, bandwidth: float) -> DecodeSpeed:
        """The same measurement, as a share of `bandwidth` in bytes per second."""
        return replace(self, roofline_fraction=self.bytes_per_token * self.tokens_per_second.median / bandwidth)


def read_bandwidth(executor: VMExecutor, weights: Path | None = None, *, repeats: int = 5) -> float:
    """Bytes per second of the artifact's own reading kernel: the best of `repeats`, over memory beyond any cache.

    Reads 1 GiB of fresh memory (256 MiB where little is free), and the file `weights` where it is at least as
    large as that: mapped pages can lie in faster or slower memory than fresh ones, above all on virtual machines.
    ArtifactError for an artifact without the kernel.
    """
    kernel = executor.library_function("read_bandwidth")
    nbytes = _MOST_BYTES if available_bytes() > 4 * _MOST_BYTES else _FIRST_BYTES
    fresh = HostBuffer((nbytes // 4,), "f32")
    # Untouched pages of zeros all share one physical page, which would be read from the cache.
    fresh.array[...] = np.float32(1)
    best = _read_speed(kernel, fresh.tensor, nbytes, repeats)
    if weights is not None and weights.stat().st_size >= _FIRST_BYTES:
        # A private mapping, as the weights have: DLPack does not take memory that is read-only.
        mapped = np.memmap(weights, np.float32, "c", shape=(weights.stat().st_size // 4,))
        best = max(best, _read_speed(kernel, share(mapped), mapped.nbytes, repeats))
    return best


def _read_speed(kernel: Callable[..., object], data: object, nbytes: int, repeats: int) -> float:
    total = share(HostBuffer((1,), "f32").array)
    kernel(data, total)
    return nbytes / min(_seconds(lambda: kernel(data, total)) for _ in range(repeats))


def measure_prefill(model: LanguageModel, prompt_tokens: int, *, repeats: int = 5) -> PrefillSpeed:
    """Process a prompt of arbitrary tokens in an empty context, `repeats` times after one to warm up."""
    session = _session(model, prompt_tokens)
    prompt = _tokens(model, prompt_tokens)

    def run() -> None:
        session.clear()
        session.advance({0: prompt})

    run()
    return PrefillSpeed(prompt_tokens, Spread.of([prompt_tokens / _seconds(run) for _ in range(repeats)]))


def measure_decode(model: LanguageModel, context: int, new_tokens: int, *, repeats: int = 5) -> DecodeSpeed:
    """Decode `new_tokens` after `context` cached tokens, `repeats` times after one to warm up."""
    tokens = _tokens(model, context + new_tokens)
    session = _session(model, len(tokens))
    speeds = []
    for _ in range(1 + repeats):
        missing = session.begin(0, tokens[: context + 1])[:-1]
        if missing:
            session.advance({0: missing})
        started = time.perf_counter()
        for token in tokens[context:]:
            session.advance({0: [token]})
        speeds.append(new_tokens / (time.perf_counter() - started))
    # The first run warms up.
    speed = Spread.of(speeds[1:])
    manifest = model.manifest
    cached = bytes_read_per_token(manifest.states, context + new_tokens // 2)
    return DecodeSpeed(context, new_tokens, speed, manifest.weight_bytes_per_token + cached)


def _session(model: LanguageModel, tokens: int) -> Session:
    if tokens > model.executor.max_seq:
        raise RequestError(
            f"a measurement over {tokens} tokens exceeds the context of {model.executor.max_seq}",
            "ask for fewer, or compile the model with a larger --max-seq",
        )
    return Session(model.executor, capacity=tokens)


def _tokens(model: LanguageModel, count: int) -> list[int]:
    vocab = model.executor.vocab_size
    return [int(t) for t in np.random.default_rng(0).integers(0, vocab, count)]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
