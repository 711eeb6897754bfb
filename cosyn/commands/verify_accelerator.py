"""What `cosyn verify` prints for an accelerator: three levels of cycles, or where the RTL first differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from cosyn.console import table

if TYPE_CHECKING:
    from cosyn.accelerator_verification import AcceleratorReport, StepReport
    from cosyn.rtl_testbench.system.explain import Difference
    from cosyn.rtl_testbench.system.report import Cycles

_HEADINGS = ("", "RTL", "SIMULATOR", "", "ESTIMATE", "")


def data(report: AcceleratorReport) -> dict[str, object]:
    """The report as plain data."""
    return {
        "configuration": report.configuration,
        "checked": report.checked,
        "agrees": report.agrees,
        "first_difference": None if report.mismatch is None else asdict(report.mismatch),
        "element": report.difference.text if report.difference else None,
        "waves": str(report.difference.waves) if report.difference and report.difference.waves else None,
        "wrong_logits": report.wrong_logits,
        "steps": [asdict(step) for step in report.steps],
    }


def lines(report: AcceleratorReport, verbose: int) -> Iterator[str]:
    """The cycles of the last step of each length (of all steps with -v), then the verdict."""
    last = {step.tokens: step for step in report.steps}
    for step in report.steps if verbose else last.values():
        yield from _step(step)
        yield ""
    if report.mismatch is not None:
        yield f"the RTL differs from the simulator after {report.checked} retirements: {report.mismatch}"
        if report.difference is not None:
            yield f"first element: {report.difference.text}"
            yield from _waves(report.difference)
    elif report.wrong_logits is not None:
        yield report.wrong_logits
    else:
        yield (
            f"{report.checked} instructions retired on the RTL with the simulator's writes;"
            f" the logits of {len(report.steps)} steps are those of the bit-exact reference"
        )


def _waves(difference: Difference) -> Iterator[str]:
    if difference.waves is not None and difference.window is not None:
        yield f"waveform: {difference.waves} (cycles {difference.window.first} to {difference.window.last})"


def _step(step: StepReport) -> Iterator[str]:
    yield f"step of {step.tokens} token{'s' * (step.tokens > 1)} at position {step.position}, cycles"
    rows = [_row(step.total), *(_row(c) for c in step.classes if c.rtl), *(_row(c) for c in step.layers)]
    yield from table(_HEADINGS, rows)


def _row(cycles: Cycles) -> tuple[str, ...]:
    estimated = "" if cycles.estimated is None else f"{cycles.estimated:,.0f}"
    error = cycles.estimated_error
    return (
        cycles.name,
        f"{cycles.rtl:,}",
        f"{cycles.simulated:,}",
        f"{cycles.simulated_error:+.1%}",
        estimated,
        "" if error is None else f"{error:+.1%}",
    )
