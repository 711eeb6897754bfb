"""ST against numpy: lines, keys and values as 8-bit tiles, scales; and LD's runs, registers and checksum."""

from __future__ import annotations

import numpy as np
import pytest

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Load, LoadTarget, Misc, Output, Register, Store, StoreMode
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.program import registers_for
from cosyn.accelerator_model.tile_stream import unpack_tiles
from tests.accelerator_model.simulator.programs import Memory, in_sequence, lines_of, run, store_lines

CONFIGS = ("tiny", "odd")


def _activations(config: AcceleratorConfig, memory: Memory, values: np.ndarray, line: int, row: int) -> list:
    """LD and MISC that leave INT8 `values` [rows, columns] in the activation buffer."""
    rows, columns = values.shape
    padded = lines_of(config, values.astype(np.float32))
    address, count = memory.put(padded)
    stride = padded.shape[1] // config.lanes
    row_lines = -(-columns // config.activation_line_bytes)
    load = Load(target=LoadTarget.VECTOR, address=address, rows=rows, length=count // rows, row_stride=count // rows,
                vector_stride=stride)  # fmt: skip
    misc = Misc(rows=rows, columns=columns, a=0, a_stride=stride, output=Output.ACTIVATION, destination=line,
                destination_stride=row_lines, destination_row=row)  # fmt: skip
    return [load, misc]


@pytest.mark.parametrize("preset", CONFIGS)
@pytest.mark.parametrize("position", [0, 5, 17])
@pytest.mark.parametrize("rows", [1, 4, 14])
def test_keys_are_appended_to_the_tiles_that_mv_reads(preset: str, position: int, rows: int) -> None:
    config = load_config(preset)
    steps = 3
    width, tiles = steps * config.chain_length, 8
    values = np.random.default_rng(position).integers(-127, 128, (rows, width)).astype(np.int8)
    memory = Memory(config)
    tile_stripes = steps * config.macs // config.stripe_bytes
    address, _ = memory.take(tiles * tile_stripes * config.stripe_bytes)
    row_lines = -(-width // config.activation_line_bytes)
    key = Store(mode=StoreMode.KEY, address=address, rows=rows, row_stride=tile_stripes, length=steps, source=11,
                source_stride=row_lines, row=1)  # fmt: skip
    program = in_sequence(*_activations(config, memory, values, 11, 1), key)
    run(config, [program], [memory], registers_for(config, position, rows))
    words = memory.stripes[address : address + tiles * tile_stripes].reshape(tiles, -1, config.word_bytes)
    found = unpack_tiles(config, words, width, tiles * config.tile_columns, 8).codes
    expected = np.zeros_like(found)
    expected[:, position : position + rows] = values.T
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("preset", CONFIGS)
@pytest.mark.parametrize("position", [0, 5, 17])
@pytest.mark.parametrize("rows", [1, 4, 14])
def test_values_are_appended_to_the_tiles_that_mv_reads(preset: str, position: int, rows: int) -> None:
    config = load_config(preset)
    tiles, steps = 2, 6
    width = tiles * config.tile_columns
    values = np.random.default_rng(position).integers(-127, 128, (rows, width)).astype(np.int8)
    memory = Memory(config)
    tile_stripes = steps * config.macs // config.stripe_bytes
    address, _ = memory.take(tiles * tile_stripes * config.stripe_bytes)
    row_lines = -(-width // config.activation_line_bytes)
    value = Store(mode=StoreMode.VALUE, address=address, rows=rows, row_stride=tile_stripes, length=tiles, source=3,
                  source_stride=row_lines)  # fmt: skip
    program = in_sequence(*_activations(config, memory, values, 3, 0), value)
    run(config, [program], [memory], registers_for(config, position, rows))
    words = memory.stripes[address : address + tiles * tile_stripes].reshape(tiles, -1, config.word_bytes)
    found = unpack_tiles(config, words, steps * config.chain_length, width, 8).codes
    expected = np.zeros_like(found)
    expected[position : position + rows] = values
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("preset", CONFIGS)
@pytest.mark.parametrize("position", [0, 5, 30])
def test_scales_are_appended_word_by_word(preset: str, position: int) -> None:
    config = load_config(preset)
    memory = Memory(config)
    scales = np.arange(1, 7, dtype=np.float32)
    source, stripes = memory.put(lines_of(config, scales))
    address, _ = memory.take(64 * 4)
    load = Load(target=LoadTarget.VECTOR, address=source, length=stripes, vector_line=9)
    scale = Store(mode=StoreMode.SCALE, address=address, rows=6, source=9 * config.lanes)
    run(config, [in_sequence(load, scale)], [memory], registers_for(config, position, 6))
    expected = np.zeros(64, np.float32)
    expected[position : position + 6] = scales
    np.testing.assert_array_equal(memory.floats(address, 64), expected)


@pytest.mark.parametrize("preset", CONFIGS)
def test_runs_of_a_load_follow_their_strides_and_registers(preset: str) -> None:
    config = load_config(preset)
    memory = Memory(config)
    data = np.random.default_rng(0).integers(0, 256, (40, config.stripe_bytes)).astype(np.uint8)
    address, _ = memory.put(data)
    length = 2
    load = Load(target=LoadTarget.VECTOR, address=address, address_reg=Register.ROPE_OFFSET, length=1,
                length_reg=Register.SCALE_STRIPES, rows=3, row_stride=5, vector_line=20, vector_stride=60)  # fmt: skip
    stores = [store_lines(config, memory, 20 + 60 * r, 1, 0, length * config.stripe_lines) for r in range(3)]
    registers = {Register.ROPE_OFFSET: 4, Register.SCALE_STRIPES: length}
    run(config, [in_sequence(load, *stores)], [memory], registers)
    for r, store in enumerate(stores):
        found = memory.stripes[store.address : store.address + length]
        np.testing.assert_array_equal(found, data[4 + 5 * r : 4 + 5 * r + length])


def test_a_wrong_checksum_stops_the_program() -> None:
    config = load_config("tiny")
    memory = Memory(config)
    data = np.zeros((2, 32), np.uint8)
    data[0, 0], data[1, 4] = 0x81, 0x10
    address, _ = memory.put(data)
    # stripe 0 folds to 0x81, stripe 1 to 0x10: rotl1(0x81) ^ 0x10
    load = Load(target=LoadTarget.VECTOR, address=address, length=2, checked=1, checksum=0x112)
    assert run(config, [in_sequence(load)], [memory]).retirements[0].digest == 0x112
    memory.stripes[address, 0] ^= 4
    text = r"instruction 0: LD\.checksum is 0x00000112, memory gives 0x0000011a: corrupt memory"
    with pytest.raises(ProgramError, match=text):
        run(config, [in_sequence(load)], [memory])
