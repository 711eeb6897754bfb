"""How tuning decides, with a clock and kernels that do as they are told."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE, KernelChoice, alternatives
from cosyn.tuning import TOLERANCE, tune_kernel, wins

FIRST, (VALUE, *_) = next(alternatives())
LAST, (OTHER, *_) = list(alternatives())[-1]


class FakeTrial:
    """A kernel that takes as long as `cost` says; only `asked` choices change its code."""

    def __init__(
        self,
        cost: Callable[[dict[str, int]], float],
        asked: tuple[str, ...] = (FIRST, LAST),
        wrong: tuple[dict[str, int], ...] = (),
    ) -> None:
        self.cost, self.asked, self.wrong = cost, asked, wrong
        self.built: list[tuple[int, ...]] = []
        self.now = 0.0

    def add(self, choice: KernelChoice) -> bool:
        code = tuple(choice.values()[name] for name in self.asked)
        self.now += 1
        if code in self.built:
            return False
        self.built.append(code)
        return True

    def difference(self, choice: KernelChoice) -> float:
        return 2 * TOLERANCE if choice.changed() in self.wrong else 0.0

    def seconds(self, choice: KernelChoice) -> float:
        return self.cost(choice.changed())

    def clock(self) -> float:
        return self.now


def tune(trial: FakeTrial, seconds: float = 1e9) -> KernelChoice:
    return tune_kernel(trial, seconds, trial.clock).choice


def test_a_slower_default_loses() -> None:
    trial = FakeTrial(lambda changed: 0.8 if changed.get(FIRST) == VALUE else 1.0)
    found = tune_kernel(trial, 1e9, trial.clock)
    assert found.choice.changed() == {FIRST: VALUE}
    assert (found.default_seconds, found.seconds) == (1.0, 0.8)
    assert found.gain == pytest.approx(0.2)
    assert found.tried == len(trial.built)


def test_winners_of_several_choices_are_combined() -> None:
    trial = FakeTrial(lambda c: (0.8 if c.get(FIRST) == VALUE else 1.0) * (0.9 if c.get(LAST) == OTHER else 1.0))
    assert tune(trial).changed() == {FIRST: VALUE, LAST: OTHER}


@pytest.mark.parametrize("cost", [0.98, 1.0, 1.2])
def test_the_default_stays_where_nothing_saves_more_than_the_margin(cost: float) -> None:
    found = FakeTrial(lambda changed: cost if changed else 1.0)
    assert tune(found) == DEFAULT_KERNEL_CHOICE


def test_noise_alone_does_not_win() -> None:
    draw = random.Random(0)
    won = sum(tune(FakeTrial(lambda _: draw.uniform(0.7, 1.3))) != DEFAULT_KERNEL_CHOICE for _ in range(100))
    assert won <= 10


def test_a_machine_that_slows_down_for_a_while_hits_all_candidates_alike() -> None:
    calls = iter(range(10**6))
    trial = FakeTrial(lambda c: (0.9 if c.get(FIRST) == VALUE else 1.0) * (2.0 if next(calls) // 20 % 2 else 1.0))
    assert tune(trial).changed() == {FIRST: VALUE}


def test_a_choice_whose_results_differ_is_refused() -> None:
    trial = FakeTrial(lambda changed: 0.5 if changed.get(FIRST) == VALUE else 1.0, wrong=({FIRST: VALUE},))
    found = tune_kernel(trial, 1e9, trial.clock)
    assert found.choice == DEFAULT_KERNEL_CHOICE
    assert found.refused == (f"{FIRST} {VALUE}",)


def test_choices_without_effect_are_not_measured() -> None:
    trial = FakeTrial(lambda _: 1.0, asked=())
    assert tune_kernel(trial, 1e9, trial.clock).tried == 1


def test_after_the_deadline_nothing_more_is_built() -> None:
    trial = FakeTrial(lambda changed: 0.5 if changed.get(LAST) == OTHER else 1.0)
    assert tune(trial, seconds=3) == DEFAULT_KERNEL_CHOICE
    assert len(trial.built) <= 3


def test_a_win_needs_margin_and_significance() -> None:
    assert wins([0.9] * 15)
    assert not wins([0.98] * 15)
    assert not wins([0.5] * 8 + [1.1] * 7)
    assert not wins([0.5] * 4)
