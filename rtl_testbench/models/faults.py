"""What every unit on the memory channels does after an error: it reports it, and once halted lets the bus run dry."""

from __future__ import annotations

from typing import Any, Protocol

from cosyn.accelerator_model.control import ErrorCode

_LIMIT = 2000
_SETTLE = 300
"""Cycles in which an error must come, and in which open transfers end."""


class FaultBench(Protocol):
    """A bench that counts cycles, retirements and the first error of its unit."""

    dut: Any
    cycle: int
    done: list[tuple[int, int]]
    error: tuple[int, int] | None

    async def start(self) -> None: ...

    async def step(self) -> None: ...


async def check_failure(bench: FaultBench, code: ErrorCode, retired: int) -> int:
    """Run until the unit reports `code`, then halt it: `retired` instructions retire in all. The error's detail."""
    await bench.start()
    while bench.error is None:
        await bench.step()
        assert bench.cycle < _LIMIT, "no error was reported"
    bench.dut.halt_i.value = 1
    for _ in range(_SETTLE):
        await bench.step()
    assert bench.error[0] == code
    assert len(bench.done) == retired, "an instruction retired after the error, or one before it did not"
    assert bench.dut.idle_o.value, "a transfer stays open after the halt"
    return bench.error[1]
