"""Random loads, stores, barriers and exchanges."""

from __future__ import annotations

import random

from cosyn.accelerator_model.isa import (
    Load,
    LoadTarget,
    Store,
    StoreMode,
    System,
    SystemOperation,
)
from cosyn.rtl_testbench.system.random_misc import activate
from cosyn.rtl_testbench.system.random_scratch import Region, Scratch


def load(scratch: Scratch, draw: random.Random) -> None:
    """LD to the vector buffer."""
    scratch.load_region(draw.randint(1, 4), draw.randint(1, 6) * scratch.config.stripe_lines)


def store_lines(scratch: Scratch, draw: random.Random) -> None:
    """ST of lines of the vector buffer."""
    region = scratch.region(scratch.config.stripe_lines)
    length = region.lines // scratch.config.stripe_lines
    rows = draw.randint(1, region.rows)
    stride = length + draw.randrange(2)
    scratch.instructions.append(
        Store(
            mode=StoreMode.LINES,
            address=scratch.written(rows * stride),
            rows=rows,
            row_stride=stride,
            length=length,
            source=region.line,
            source_stride=region.stride,
        )
    )


def append(scratch: Scratch, draw: random.Random) -> None:
    """A key, a value, or scales, at the position that the registers say."""
    config, mode = scratch.config, draw.choice([StoreMode.KEY, StoreMode.VALUE, StoreMode.SCALE])
    step = config.macs // config.stripe_bytes
    if mode == StoreMode.SCALE:
        region = scratch.region(1)
        rows = draw.randint(1, config.lanes)
        scratch.instructions.append(
            Store(mode=mode, address=scratch.written(8), rows=rows, source=region.line * config.lanes)
        )
        return
    if not scratch.activations:
        activate(scratch, draw)
    source = draw.choice(scratch.activations)
    width = config.chain_length if mode == StoreMode.KEY else config.tile_columns
    length = min(source.columns // width, 4)
    if length == 0:
        return
    tile = step * (length if mode == StoreMode.KEY else 5)
    tiles = 5 if mode == StoreMode.KEY else length
    scratch.instructions.append(
        Store(
            mode=mode,
            address=scratch.written(tile * tiles),
            rows=draw.randint(1, source.rows),
            row_stride=tile,
            length=length,
            source=source.line,
            source_stride=source.row_lines,
            row=source.row,
        )
    )


def barrier(scratch: Scratch, draw: random.Random) -> None:
    """All cores wait for each other."""
    scratch.instructions.append(System(operation=SystemOperation.BARRIER))


def exchange(scratch: Scratch, draw: random.Random) -> None:
    """Every core sends a part of the same region; a fixed place, because all must agree on it."""
    config = scratch.config
    rows, lines = 2, 2
    whole = lines * config.cores
    length = -(-whole // config.stripe_lines)
    stride = length * config.stripe_lines
    # The end of the vector buffer is kept for this.
    base = config.vector_lines - rows * stride
    scratch.vectors = [r for r in scratch.vectors if r.line + r.rows * r.stride <= base]
    first = scratch.stripes(rows * length)
    scratch.instructions.append(
        Load(
            target=LoadTarget.VECTOR,
            address=first,
            length=length,
            rows=rows,
            row_stride=length,
            vector_line=base,
            vector_stride=stride,
        )
    )
    scratch.instructions.append(
        System(
            operation=SystemOperation.EXCHANGE,
            base=base + scratch.core * lines,
            rows=rows,
            row_stride=stride,
            lines=lines,
        )
    )
    region = Region(base, rows, stride, stride)
    if scratch._line <= base:
        scratch.vectors.append(region)
