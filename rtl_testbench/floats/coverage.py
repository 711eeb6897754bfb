"""Coverpoints of the float benches: which kinds of results and roundings the operands have provoked."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def require(found: set[str], wanted: set[str]) -> None:
    """Fail when a coverpoint was not met."""
    missing = wanted - found
    assert not missing, f"coverage: no operand gave {sorted(missing)}"


def result_kinds(results: npt.NDArray[np.uint32]) -> set[str]:
    """zero, smallest (exponent 1), normal, largest (saturated or equal to it), negative."""
    magnitude = results & np.uint32(0x7FFFFFFF)
    exponent = magnitude >> np.uint32(23)
    points = {
        "zero": magnitude == 0,
        "smallest": exponent == 1,
        "normal": (exponent > 1) & (exponent < 254),
        "largest": magnitude == 0x7F7FFFFF,
        "negative": results != magnitude,
    }
    return {name for name, hit in points.items() if hit.any()}


def rounding_kinds(exact: npt.NDArray[np.float64]) -> set[str]:
    """How `exact` values in the normal range round to 24 bits: exact, tie_up, tie_down, up, down."""
    with np.errstate(invalid="ignore", over="ignore"):
        inside = np.isfinite(exact) & (np.abs(exact) > 2.0**-126) & (np.abs(exact) < 2.0**127)
    bits = exact[inside].view(np.uint64)
    rest = bits & np.uint64((1 << 29) - 1)
    half = np.uint64(1 << 28)
    last = (bits >> np.uint64(29)) & np.uint64(1)
    points = {
        "exact": rest == 0,
        "tie_up": (rest == half) & (last == 1),
        "tie_down": (rest == half) & (last == 0),
        "up": rest > half,
        "down": (rest < half) & (rest != 0),
    }
    return {name for name, hit in points.items() if hit.any()}
