"""The roofline: the slower of arithmetic and memory decides."""

from __future__ import annotations

import pytest

from cosyn.targets import Roofline, load_target, target_roofline

MACHINE = Roofline(ops_per_second=100.0, bytes_per_second=10.0)


@pytest.mark.parametrize(
    ("ops", "nbytes", "seconds", "bound"),
    [(100, 1, 1.0, "compute"), (1, 10, 1.0, "memory"), (100, 10, 1.0, "memory"), (0, 5, 0.5, "memory")],
)
def test_time_and_bound(ops: float, nbytes: float, seconds: float, bound: str) -> None:
    assert MACHINE.seconds(ops, nbytes) == seconds
    assert MACHINE.bound(ops, nbytes) == bound


def test_ridge_and_fraction() -> None:
    assert MACHINE.ridge == 10.0
    assert MACHINE.fraction(0, 10, measured_seconds=4.0) == 0.25


def test_datasheet_roofline_exists_only_where_peaks_do() -> None:
    h200 = target_roofline(load_target("cuda:h200"), "bf16")
    assert h200 is not None
    assert h200.ridge == pytest.approx(989 / 4.8)
    assert target_roofline(load_target("cpu"), "f32") is None
