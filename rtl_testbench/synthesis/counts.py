"""What a design takes of an UltraScale+ device, from Yosys's cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields

# Distributed memories: look-up tables that one cell takes.
_LUTRAM = {"RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8}

# A CARRY4 is half a CARRY8; its look-up tables are cells of their own.
_NEITHER = ("CARRY", "MUXF", "INV", "VCC", "GND", "BUF")


@dataclass(frozen=True, slots=True)
class Counts:
    """Resources of a design or module. `lut` are all look-up tables: of logic, shift registers and memories."""

    dsp: int = 0
    lut: int = 0
    ff: int = 0
    bram36: float = 0.0
    """A RAMB18 is half of one."""
    uram: int = 0
    shift_register: int = 0
    """Of `lut`: SRL16E, SRLC32E."""
    lutram: int = 0
    """Of `lut`: distributed memory."""

    @staticmethod
    def of(cells: Mapping[str, int]) -> Counts:
        """From Yosys's number of cells by type; ValueError for one that is not known here."""
        found: Counter[str] = Counter()
        bram = 0.0
        for kind, count in cells.items():
            if kind.startswith("DSP48"):
                found["dsp"] += count
            elif (kind.startswith("LUT") and kind[3:].isdigit()) or kind == "INV":
                found["lut"] += count
            elif kind.startswith("FD"):
                found["ff"] += count
            elif kind.startswith("RAMB36"):
                bram += count
            elif kind.startswith("RAMB18"):
                bram += count / 2
            elif kind.startswith("URAM"):
                found["uram"] += count
            elif kind.startswith("SRL"):
                found["lut"] += count
                found["shift_register"] += count
            elif kind in _LUTRAM:
                found["lut"] += count * _LUTRAM[kind]
                found["lutram"] += count * _LUTRAM[kind]
            elif not kind.startswith(_NEITHER):
                raise ValueError(f"cell {kind} of Yosys is not known: say in synthesis/counts.py what it takes")
        return Counts(bram36=bram, **{n: found[n] for n in ("dsp", "lut", "ff", "uram", "shift_register", "lutram")})

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)))

    def times(self, count: int) -> Counts:
        """`count` of it."""
        return Counts(*(getattr(self, f.name) * count for f in fields(Counts)))
