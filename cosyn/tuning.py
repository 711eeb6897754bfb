"""Decides which choice serves a kernel best: one choice after the other, and then the winner against the default.

A shared machine's memory is faster at one moment than at another. So all candidates are measured in turns, each
is compared with the default of the same turn, and what wins must win again, by more than the noise, against the
default alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import comb

from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE, KernelChoice, alternatives
from cosyn.kernel_trial import Trial

TOLERANCE = 1e-4
"""Largest relative difference of results whose sums are in another order."""
GAIN = 0.03
"""What a choice has to save to be worth leaving the default."""
SIGNIFICANCE = 0.05
"""Chance, at most, that a choice which is no better wins as many turns."""

_SCREENING = 7
_CONFIRMING = 15

Clock = Callable[[], float]


@dataclass(frozen=True)
class Outcome:
    """What was found for a kernel: the choice, seconds of one call with it and with the default, the number of
    different candidates, and those that were refused because their results differ.
    """

    choice: KernelChoice
    seconds: float
    default_seconds: float
    tried: int
    refused: tuple[str, ...] = ()

    @property
    def gain(self) -> float:
        """Part of the default's time that the choice saves."""
        return 1 - self.seconds / self.default_seconds


@dataclass
class _Turns:
    """Seconds of each candidate, turn by turn."""

    seconds: list[list[float]] = field(default_factory=list)

    def ratios(self, candidate: int) -> list[float]:
        """Of a candidate's time to the first one's."""
        return [turn[candidate] / turn[0] for turn in self.seconds]

    def median(self, candidate: int) -> float:
        return statistics.median(turn[candidate] for turn in self.seconds)


def tune_kernel(trial: Trial, deadline: float, clock: Clock) -> Outcome:
    """The best choice for the kernel of `trial`; after `deadline` (of `clock`) no further candidate is built."""
    best = default = DEFAULT_KERNEL_CHOICE
    trial.add(default)
    tried, refused = 1, []
    for name, others in alternatives():
        rivals = []
        for value in others:
            candidate = best.with_values({name: value})
            if clock() >= deadline or not trial.add(candidate):
                continue
            tried += 1
            if trial.difference(candidate) <= TOLERANCE:
                rivals.append(candidate)
            else:
                refused.append(f"{name} {value}")
        if rivals:
            best = _fastest(trial, [best, *rivals])
    turns = _measure(trial, [default] if best == default else [default, best], _CONFIRMING)
    if best != default and wins(turns.ratios(1)):
        return Outcome(best, turns.median(1), turns.median(0), tried, tuple(refused))
    return Outcome(default, turns.median(0), turns.median(0), tried, tuple(refused))


def wins(ratios: Sequence[float]) -> bool:
    """Whether times that are these parts of the default's are shorter by more than the noise: a sign test."""
    better = sum(r < 1 for r in ratios)
    chance = sum(comb(len(ratios), i) for i in range(better, len(ratios) + 1)) / 2 ** len(ratios)
    return statistics.median(ratios) < 1 - GAIN and chance < SIGNIFICANCE


def _fastest(trial: Trial, candidates: Sequence[KernelChoice]) -> KernelChoice:
    """The candidate with the least time of its turn; the first, unless another saves more than `GAIN`."""
    turns = _measure(trial, candidates, _SCREENING)
    medians = [statistics.median(turns.ratios(i)) for i in range(len(candidates))]
    lowest = min(range(len(candidates)), key=medians.__getitem__)
    return candidates[lowest] if medians[lowest] < 1 - GAIN else candidates[0]


def _measure(trial: Trial, candidates: Sequence[KernelChoice], count: int) -> _Turns:
    """`count` turns after one to warm up; each begins with another candidate."""
    turns = _Turns()
    for number in range(count + 1):
        seconds = [0.0] * len(candidates)
        for i in range(len(candidates)):
            at = (i + number) % len(candidates)
            seconds[at] = trial.seconds(candidates[at])
        if number:
            turns.seconds.append(seconds)
    return turns
