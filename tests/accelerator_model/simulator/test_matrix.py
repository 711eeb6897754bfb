"""MM and MV against numpy: every weight width, sparsity, groups, both rings, several tiles and token groups."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import (
    Kept,
    Load,
    LoadTarget,
    MatrixMatrix,
    MatrixVector,
    Misc,
    Output,
    Register,
    Ring,
    WeightBits,
)
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.tile_stream import TileMatrix, expanded, pack_tiles, tile_steps
from tests.accelerator_model.simulator.programs import Memory, in_sequence, lines_of, run, store_lines

CODES = {2: WeightBits.B2, 3: WeightBits.B3, 4: WeightBits.B4, 8: WeightBits.B8}
KEPT = {16: Kept.DENSE, 8: Kept.N8, 4: Kept.N4, 2: Kept.N2}
CASES = [
    (bits, kept, group)
    for bits in (2, 3, 4, 8)
    for kept in (16, 8, 4, 2)
    for group in (0, 2)
    if not (bits == 3 and kept != 16) and not (bits == 8 and group)
]


def _weights(config: AcceleratorConfig, rows: int, columns: int, bits: int, kept: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    codes = generator.integers(-(1 << bits - 1), 1 << bits - 1, (rows, columns)).astype(np.int8)
    if kept != 16:
        for block in range(0, rows, 16):
            for pair in range(0, columns, 2):
                size = min(16, rows - block)
                drop = generator.permutation(size)[kept:]
                codes[block + drop, pair : pair + 2] = 0
    return codes


@pytest.mark.parametrize("preset", ["tiny", "odd"])
@pytest.mark.parametrize(("bits", "kept", "group"), CASES)
@pytest.mark.parametrize("rows", [1, 3, 5])
def test_a_matrix_instruction_gives_what_numpy_gives(preset: str, bits: int, kept: int, group: int, rows: int) -> None:
    config = load_config(preset)
    generator = np.random.default_rng(bits * 100 + kept)
    steps = tile_steps(config, 5 * config.window(kept) // 2, bits, kept)
    inner, columns = steps * config.window(kept), 3 * config.tile_columns
    codes = _weights(config, inner, columns, bits, kept, seed=rows)
    scales = generator.integers(1, 1 << 8 - bits, (-(-steps // group), columns)).astype(np.uint8) if group else None
    activations = generator.integers(-127, 128, (rows, inner)).astype(np.float32)
    column_scale = generator.standard_normal(columns).astype(np.float32)
    token_scale = generator.standard_normal(rows).astype(np.float32)
    memory = Memory(config, 8192)
    x, x_stripes = memory.put(lines_of(config, activations))
    s, s_stripes = memory.put(lines_of(config, column_scale))
    t, _ = memory.put(lines_of(config, token_scale))
    w, w_stripes = memory.put(pack_tiles(config, codes, bits, kept, group, scales))
    x_lines = x_stripes // rows * config.stripe_lines
    row_lines = -(-inner // config.activation_line_bytes)
    s_line, t_line, out = 3000, 3500, 4000
    kind = MatrixVector if rows == 1 else MatrixMatrix
    ring, target = (Ring.KV, LoadTarget.KV) if kept == 8 else (Ring.WEIGHTS, LoadTarget.WEIGHTS)
    out_lines = columns // config.lanes
    stride = -(-out_lines // config.stripe_lines) * config.stripe_lines
    store = store_lines(config, memory, out, rows, stride, out_lines)
    registers = {Register.KEY_TILES: 3, Register.VALUE_STEPS: steps}
    found = run(
        config,
        [
            in_sequence(
                Load(target=LoadTarget.VECTOR, address=x, length=x_stripes // rows, rows=rows,
                     row_stride=x_stripes // rows, vector_stride=x_lines),
                Load(target=LoadTarget.VECTOR, address=s, length=s_stripes, vector_line=s_line),
                Load(target=LoadTarget.VECTOR, address=t, length=1, vector_line=t_line),
                Load(target=LoadTarget.VECTOR, address=0, rows=rows, length=stride // config.stripe_lines,
                     vector_line=out, vector_stride=stride),
                Misc(rows=rows, columns=inner, a=0, a_stride=x_lines, output=Output.ACTIVATION, destination=7,
                     destination_stride=row_lines),
                Load(target=target, address=w, length=w_stripes),
                kind(
                    ring=ring,
                    bits=CODES[bits],
                    kept=KEPT[kept],
                    group_steps=group,
                    steps_reg=Register.VALUE_STEPS,
                    tiles_reg=Register.KEY_TILES,
                    rows=rows,
                    activation_line=7,
                    row_lines=row_lines,
                    column_scale=s_line,
                    column_scaled=1,
                    token_scale=t_line * config.lanes,
                    token_scaled=1,
                    destination=out,
                    destination_stride=stride,
                ),
                store,
            )
        ],
        [memory],
        registers,
    )  # fmt: skip
    weights = expanded(config, TileMatrix(codes, scales), kept, group).astype(np.int64)
    exact = (activations.astype(np.int64) @ weights).astype(np.float32)
    expected = (exact * column_scale) * token_scale[:, None]
    result = memory.floats(store.address, rows * store.length * config.stripe_bytes // 4).reshape(rows, -1)
    np.testing.assert_array_equal(result[:, :columns], expected)
    assert len(found.retirements) == 9 + config.cores - 1
