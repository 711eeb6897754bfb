"""What cosyn wants to reach beside its peers, and where a run stands."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.cpu.samples import Row
from benchmarks.cpu.variants import VARIANTS

_LARGE, _SMALL, _THREADS = "1.1B", "15M", 2
_DECODE_OVER_LLAMA = {16: 1.0, 8: 1.2, 4: 1.3}
_DECODE_SHARE = {16: 0.8, 8: 0.7, 4: 0.6}
_LONG_SHARE = 0.6
_PREFILL_OVER_BEST, _PREFILL_OVER_Q4 = 0.8, 1.2
_TWO_THREADS = 1.7
_ALIKE = 0.15
"""Read bandwidths that differ by no more than this part are those of one state of the machine."""
_WIDTHS = {(v.engine, v.bits): v.width for v in VARIANTS}


@dataclass(frozen=True, slots=True)
class Bar:
    """One thing to reach: a ratio of speeds, or a share of the read bandwidth."""

    what: str
    wanted: float
    found: float

    @property
    def met(self) -> bool:
        return self.found >= self.wanted


def ratio(own: Row, peer: Row) -> float:
    """How many times as fast as `peer`: the median over all pairs of measurements at about the same speed of memory.

    That of the medians where there is no such pair.
    """
    ours, theirs = (list(zip(r.samples, r.bandwidths, strict=True)) for r in (own, peer))
    pairs = [a / b for (a, at), (b, bt) in product(ours, theirs) if abs(at - bt) <= _ALIKE * max(at, bt)]
    return statistics.median(pairs) if pairs else own.tokens_per_second / peer.tokens_per_second


def bars(rows: Sequence[Row]) -> list[Bar]:
    """Every bar that the rows have both sides of."""
    return [*_decode(rows), *_prefill(rows), *_small(rows), *_threads(rows)]


def _decode(rows: Sequence[Row]) -> Iterator[Bar]:
    for width, name in ((16, "16 bits"), (8, "8 bits"), (4, "4 bits")):
        for test in ("tg64", "tg64@512", "tg64@1900"):
            own = _fastest(rows, _LARGE, test, "cosyn", width)
            for engine, wanted in (("llama.cpp", _DECODE_OVER_LLAMA[width]), ("OpenVINO", 1.0)):
                yield from _over(own, _fastest(rows, _LARGE, test, engine, width), wanted, f"decode in {name}")
            if own is not None and own.roofline_fraction is not None and test != "tg64@512":
                wanted = _DECODE_SHARE[width] if test == "tg64" else _LONG_SHARE
                yield Bar(f"share of the read bandwidth, {own.bits}, {test}", wanted, own.roofline_fraction)


def _prefill(rows: Sequence[Row]) -> Iterator[Bar]:
    for test in ("pp128", "pp512"):
        own = _fastest(rows, _LARGE, test, "cosyn", 8)
        peers = [r for r in _at(rows, _LARGE, test) if r.engine != "cosyn"]
        best = max(peers, key=lambda r: r.tokens_per_second, default=None)
        yield from _over(own, best, _PREFILL_OVER_BEST, "prefill against the best peer")
        four = [r for r in _at(rows, _LARGE, test) if r.bits == "Q4_0"]
        yield from _over(
            _fastest(rows, _LARGE, test, "cosyn", 4), four[0] if four else None, _PREFILL_OVER_Q4, "prefill in 4 bits"
        )


def _small(rows: Sequence[Row]) -> Iterator[Bar]:
    for width in (16, 8, 4):
        for test in ("pp128", "pp512", "tg64", "tg64@512", "tg64@1900"):
            own, peer = (_fastest(rows, _SMALL, test, e, width) for e in ("cosyn", "llama.cpp"))
            yield from _over(own, peer, 1.0, "overheads")


def _threads(rows: Sequence[Row]) -> Iterator[Bar]:
    singles = [r for r in rows if r.engine == "cosyn" and r.threads == 1 and r.shape == _LARGE]
    for one in singles:
        for two in _at(rows, one.shape, one.test):
            if (two.engine, two.bits) == (one.engine, one.bits):
                found = two.tokens_per_second / one.tokens_per_second
                # Decoding cannot gain more from a second thread than reading does, which the machine decides.
                reading = statistics.median(two.bandwidths) / statistics.median(one.bandwidths)
                reads = "" if two.roofline_fraction is None else f" (reading: {reading:.2f})"
                yield Bar(f"two threads over one: {one.bits}, {one.test}{reads}", _TWO_THREADS, found)


def _over(own: Row | None, peer: Row | None, wanted: float, what: str) -> Iterator[Bar]:
    if own is not None and peer is not None:
        sides = f"{own.bits} over {peer.engine} {peer.bits}"
        yield Bar(f"{what}: {sides}, {own.shape} {own.test}", wanted, ratio(own, peer))


def _at(rows: Sequence[Row], shape: str, test: str) -> list[Row]:
    return [r for r in rows if (r.shape, r.test, r.threads) == (shape, test, _THREADS)]


def _fastest(rows: Sequence[Row], shape: str, test: str, engine: str, width: int) -> Row | None:
    """Of an engine's formats of one width."""
    found = [r for r in _at(rows, shape, test) if r.engine == engine and _WIDTHS.get((r.engine, r.bits)) == width]
    return max(found, key=lambda r: r.tokens_per_second, default=None)
