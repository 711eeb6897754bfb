"""What lies where in a core's memory."""

from __future__ import annotations

from dataclasses import dataclass

from cosyn.codegen.fpga.draft import Buffer, Space


@dataclass(frozen=True)
class Region:
    """Stripes of one core's memory with one purpose."""

    name: str
    kind: str
    """weights, parameters, table, mask, input, output or cache."""
    buffer: Buffer
    """Its address and stripes."""

    @property
    def address(self) -> int:
        return self.buffer.address

    @property
    def stripes(self) -> int:
        return self.buffer.lines


class MemoryMap:
    """The regions of one core, one after the other."""

    def __init__(self) -> None:
        self.regions: dict[str, Region] = {}
        self.stripes = 0

    def add(self, name: str, kind: str, stripes: int) -> Region:
        """A region of `stripes` at the end."""
        buffer = Buffer(name, Space.MEMORY, stripes, 0, 0, self.stripes)
        region = Region(name, kind, buffer)
        self.regions[name] = region
        self.stripes += stripes
        return region

    def __getitem__(self, name: str) -> Region:
        return self.regions[name]
