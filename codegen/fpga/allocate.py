"""Addresses of buffers in the vector and activation buffers, by lifetime."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.codegen.fpga.draft import Buffer, Space


def allocate(buffers: Sequence[Buffer], space: Space) -> int:
    """Give every buffer of `space` an address; the lines that are needed in all.

    Largest first, each to the lowest gap among those alive at the same time (passes/arena.py searches further: here
    lifetimes nest and the order by size reaches the bound in the models tried).
    """
    mine = sorted((b for b in buffers if b.space is space), key=lambda b: (-b.lines, b.first, b.name))
    placed: list[Buffer] = []
    total = 0
    for buffer in mine:
        taken = sorted(
            (p.address, p.address + p.lines) for p in placed if p.first <= buffer.last and buffer.first <= p.last
        )
        address = 0
        for start, end in taken:
            if start - address >= buffer.lines:
                break
            address = max(address, end)
        buffer.address = address
        total = max(total, address + buffer.lines)
        placed.append(buffer)
    return total
