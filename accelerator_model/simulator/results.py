"""What a run of the simulator reports."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum

from cosyn.accelerator_model.isa.opcode import Opcode


class Stall(StrEnum):
    """Why a unit with work did not move."""

    TOKEN = "token wait"
    FETCH = "fetch"
    RING_EMPTY = "ring empty"
    RING_FULL = "ring full"
    MEMORY = "memory"
    DRAIN = "drain"
    PORT = "port conflict"
    BARRIER = "barrier"


@dataclass(frozen=True, slots=True)
class Retirement:
    """One instruction at its end. `start` and `end` are cycles; without timing both count retirements."""

    core: int
    opcode: Opcode
    index: int
    digest: int
    start: int
    end: int
    node: str


@dataclass(slots=True)
class Traffic:
    """What one memory channel of one core moved."""

    read_bytes: int = 0
    written_bytes: int = 0
    busy_cycles: int = 0
    """Cycles in which a beat moved."""
    row_misses: int = 0
    turnarounds: int = 0


@dataclass(slots=True)
class RunResult:
    """A finished program. Cycles are 0 without timing; digests are 0 without values."""

    cycles: int = 0
    retirements: list[Retirement] = field(default_factory=list)
    """In order of retirement."""
    busy: dict[tuple[int, Opcode], int] = field(default_factory=lambda: defaultdict(int))
    """Cycles between start and retirement, by core and class."""
    stalls: dict[tuple[int, Opcode, Stall], int] = field(default_factory=lambda: defaultdict(int))
    occupancy: dict[tuple[int, Opcode], int] = field(default_factory=lambda: defaultdict(int))
    """Queue entries summed over cycles; ÷ cycles is the mean occupancy."""
    traffic: dict[tuple[int, int], Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    """By core and channel."""
    peak_bytes_per_cycle: int = 0

    @property
    def memory_bytes(self) -> int:
        """Bytes of all channels, both directions."""
        return sum(item.read_bytes + item.written_bytes for item in self.traffic.values())

    @property
    def meeting_cycles(self) -> int:
        """Cycles in which SYS waited for other cores, over all cores."""
        return sum(count for (_, _, stall), count in self.stalls.items() if stall == Stall.BARRIER)

    @property
    def memory_efficiency(self) -> float:
        """Bytes moved ÷ (cycles x peak bytes a cycle)."""
        return self.memory_bytes / (self.cycles * self.peak_bytes_per_cycle) if self.cycles else 0.0

    def class_cycles(self, opcode: Opcode) -> int:
        """Busy cycles of a class over all cores; those in which SYS waits for other cores are among them."""
        return sum(count for (_, op), count in self.busy.items() if op == opcode)
