"""Random multiplications: a packed matrix for a ring, and the MM or MV that takes it."""

from __future__ import annotations

import random

import numpy as np

from cosyn.accelerator_model.config import SPARSITY_BLOCK
from cosyn.accelerator_model.isa import (
    Kept,
    Load,
    LoadTarget,
    MatrixInstruction,
    MatrixMatrix,
    MatrixVector,
    Ring,
    WeightBits,
)
from cosyn.accelerator_model.tile_stream import DENSE, pack_tiles, tile_steps, tile_words, unit_steps
from cosyn.rtl_testbench.system.random_misc import activate
from cosyn.rtl_testbench.system.random_scratch import Bytes, Scratch

_KEPT_CODES = {DENSE: Kept.DENSE, 8: Kept.N8, 4: Kept.N4, 2: Kept.N2}
_BITS_CODES = {2: WeightBits.B2, 3: WeightBits.B3, 4: WeightBits.B4, 8: WeightBits.B8}


def matrix(scratch: Scratch, draw: random.Random) -> None:
    """LD of a packed random matrix to a ring, then MV or MM with it."""
    config = scratch.config
    if not scratch.activations:
        activate(scratch, draw)
    rows_of = draw.choice(scratch.activations)
    bits = draw.choice(config.weight_bits)
    kept = DENSE if bits == 3 else draw.choice([DENSE, *(n for n in config.kept if n <= config.chain_length)])
    windows = rows_of.columns // config.window(kept)
    steps = windows // unit_steps(bits, kept) * unit_steps(bits, kept)
    if steps == 0:
        bits, kept, steps = 8, DENSE, rows_of.columns // config.chain_length
    if bits not in config.weight_bits:
        return
    steps = draw.randint(1, steps // unit_steps(bits, kept)) * unit_steps(bits, kept)
    group = draw.choice([0, 4, 8]) if bits < 8 else 0
    tiles = draw.randint(1, 3)
    ring = draw.choice([Ring.WEIGHTS, Ring.WEIGHTS, Ring.KV])
    words = tile_words(config, steps, bits, kept, group)
    depth = config.weight_ring_words if ring == Ring.WEIGHTS else config.kv_ring_words
    tiles = min(tiles, depth // words)
    if tiles == 0:
        return
    packed = _packed(scratch, steps, tiles, bits, kept, group)
    stripes = packed.reshape(-1, config.stripe_bytes)
    first = scratch.stripes(len(stripes))
    scratch.memory[first : first + len(stripes)] = stripes
    scratch.instructions.append(Load(target=LoadTarget(ring), address=first, length=len(stripes)))
    many = draw.random() < 0.5
    rows = draw.randint(1, rows_of.rows) if many else 1
    columns = tiles * config.tile_columns // config.lanes
    scales = scratch.region(columns)
    token = scratch.region(-(-rows // config.lanes))
    target = scratch.new_region(rows, columns)
    kind: type[MatrixInstruction] = MatrixMatrix if many else MatrixVector
    scratch.instructions.append(
        kind(
            ring=ring,
            bits=_BITS_CODES[bits],
            kept=_KEPT_CODES[kept],
            group_steps=group,
            steps=steps,
            tiles=tiles,
            rows=rows,
            activation_line=rows_of.line,
            row=rows_of.row,
            row_lines=rows_of.row_lines,
            column_scale=scales.line,
            column_scaled=draw.randrange(2),
            token_scale=token.line * config.lanes,
            token_scaled=draw.randrange(2),
            destination=target.line,
            destination_stride=target.stride,
        )
    )
    scratch.vectors.append(target)


def _packed(scratch: Scratch, steps: int, tiles: int, bits: int, kept: int, group: int) -> Bytes:
    """A random matrix's words; products with group scales stay within INT8."""
    config = scratch.config
    inner, columns = steps * config.window(kept), tiles * config.tile_columns
    assert tile_steps(config, inner, bits, kept) == steps
    low, high = -(1 << bits - 1), 1 << bits - 1
    codes = scratch.numpy.integers(low, high, (inner, columns)).astype(np.int8)
    if kept != DENSE:
        blocks = codes.reshape(-1, SPARSITY_BLOCK, columns // 2, 2)
        order = scratch.numpy.random((blocks.shape[0], SPARSITY_BLOCK, columns // 2)).argsort(axis=1)
        codes = np.where((order < kept)[..., None], blocks, np.int8(0)).reshape(inner, columns)
    scales = None
    if group:
        groups = -(-steps // group)
        scales = scratch.numpy.integers(1, 128 // -low, (groups, columns), endpoint=True).astype(np.uint8)
    return pack_tiles(config, codes, bits, kept, group, scales)
