"""`cosyn verify` where states are rings, caches are 8-bit and activations are quantized."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.kernel_runner import ring_index
from cosyn.runtime.manifest import StateSpec
from cosyn.verification import KERNEL_TOLERANCE, Comparison, VerifyReport, _relative


def test_a_ring_of_codes_agrees_in_every_step(cosyn, tiny_model, tmp_path) -> None:
    options = ("--recipe", "w8a8_kv8", "--window", "8", "--sinks", "2", "--prefill-chunk", "4", "--quiet")
    assert cosyn("compile", tiny_model, "-o", tmp_path / "out", *options).code == 0
    done = cosyn("verify", tmp_path / "out", "--prompt-tokens", "21", "--json")
    assert done.code == 0, done.out
    # Six prefill steps and one of decoding, two layers each.
    assert done.object["checked"] > 7 * 2 * 10


def test_where_a_ring_keeps_positions() -> None:
    ring = StateSpec("kv0", 1, 8, 8, "f32", window=4, sinks=2)
    assert [ring_index(ring, 6, p) for p in range(11)] == [0, 1, 2, 3, 4, 5, 2, 3, 4, 5, 2]
    straight = StateSpec("kv0", 1, 8, 8, "f32", window=0, sinks=0)
    assert [ring_index(straight, 6, p) for p in range(4)] == [0, 1, 2, 3]


def comparison(group: str, error: float) -> Comparison:
    return Comparison("decode", f"layers.{group}", group, f"%{group}", error, KERNEL_TOLERANCE)


def test_the_report_names_the_first_that_differs() -> None:
    report = VerifyReport((comparison("a", 0.0), comparison("b", 0.5), comparison("c", float("inf"))))
    assert report.checked == 3
    assert [c.group for c in report.mismatches] == ["b", "c"]
    assert report.first_divergence == comparison("b", 0.5)
    assert VerifyReport(()).first_divergence is None


@pytest.mark.parametrize(
    ("found", "wanted", "error"),
    [([1.0, 2.0], [1.0, 4.0], 0.5), ([0.0], [0.0], 0.0), ([np.nan], [1.0], np.inf)],
)
def test_errors_are_relative_to_the_largest_value(found, wanted, error: float) -> None:
    assert _relative(np.asarray(found, np.float32), np.asarray(wanted)) == error
