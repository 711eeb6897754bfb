"""Tile streams: what is packed comes back, and single codes lie where the format says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.tile_stream import (
    DENSE,
    expanded,
    pack_tiles,
    place,
    tile_steps,
    tile_words,
    unpack_tiles,
)

CASES = [
    (name, bits, kept, groups)
    for name, bits, kept, groups in product(("tiny", "odd", "u280"), (2, 3, 4, 8), (DENSE, 8, 4, 2), (0, 1, 2, 3, 8))
    if not (bits == 3 and kept != DENSE) and not (bits == 8 and groups)
]


def _random(rng: np.random.Generator, rows: int, columns: int, bits: int, kept: int) -> np.ndarray:
    codes = rng.integers(-(1 << bits - 1), 1 << bits - 1, (rows, columns)).astype(np.int8)
    if kept == DENSE:
        return codes
    padded_rows, pairs = -(-rows // 16) * 16, -(-columns // 2)
    order = rng.permuted(np.tile(np.arange(16), (padded_rows // 16, pairs, 1)), axis=2)
    mask = (order < kept).transpose(0, 2, 1).reshape(padded_rows, pairs).repeat(2, axis=1)
    return codes * mask[:rows, :columns]


@pytest.mark.parametrize(("name", "bits", "kept", "group_steps"), CASES)
def test_a_packed_matrix_comes_back(name: str, bits: int, kept: int, group_steps: int) -> None:
    config, rng = load_config(name), np.random.default_rng(bits * 100 + kept * 10 + group_steps)
    rows, columns = 7 * config.window(kept) + 5, 3 * config.tile_columns - 1
    codes = _random(rng, rows, columns, bits, kept)
    scales = None
    if group_steps:
        groups = -(-rows // (group_steps * config.window(kept)))
        scales = rng.integers(1, 16, (groups, columns)).astype(np.uint8)
    words = pack_tiles(config, codes, bits, kept, group_steps, scales)
    steps = tile_steps(config, rows, bits, kept)
    assert words.shape == (3, tile_words(config, steps, bits, kept, group_steps), config.word_bytes)
    found = unpack_tiles(config, words, rows, columns, bits, kept, group_steps)
    np.testing.assert_array_equal(found.codes, codes)
    if scales is not None:
        assert found.scales is not None
        np.testing.assert_array_equal(found.scales[: scales.shape[0]], scales)


def _one(config_name: str, bits: int, row: int, column: int, value: int, kept: int = DENSE) -> np.ndarray:
    config = load_config(config_name)
    codes = np.zeros((4 * config.window(kept), config.tile_columns), np.int8)
    codes[row, column] = value
    return pack_tiles(config, codes, bits, kept)[0]


def test_eight_bit_codes_lie_at_byte_e_with_odd_columns_in_the_second_word() -> None:
    words = _one("tiny", 8, 8 + 3, 5, -7)  # step 1, k 3, chain 2, field 1: e = (4 + 2) 8 + 3 = 51
    assert words.shape == (8, 32)
    assert words[3, 51 - 32] == 256 - 7
    assert np.count_nonzero(words) == 1
    assert place(load_config("tiny"), 5) == 48


def test_four_bit_codes_lie_low_nibble_first() -> None:
    words = _one("tiny", 4, 8 + 3, 5, -7)
    assert words.shape == (4, 32)
    assert words[1, 25] == 9 << 4


def test_two_bit_codes_of_two_steps_share_a_word() -> None:
    words = _one("tiny", 2, 8 + 3, 5, -2)  # crumb 64 + 51 = 115
    assert words.shape == (2, 32)
    assert words[0, 28] == 2 << 6


def test_three_bit_codes_of_four_steps_share_three_words() -> None:
    words = _one("tiny", 3, 24 + 3, 5, -3)  # step 3: high bit 3 x 64 + 51 = 243; crumb 115 of the third word
    assert words.shape == (3, 32)
    assert words[0, 30] == 1 << 3
    assert words[2, 28] == 1 << 6
    assert np.count_nonzero(words) == 2


def test_indices_of_a_sparse_stream_select_rows_of_sixteen() -> None:
    words = _one("tiny", 4, 16 + 13, 5, 3, kept=8)  # step 1 of one block: index word, then the two steps
    assert words.shape == (6, 32)
    indices = np.stack([words[0] & 15, words[0] >> 4], axis=-1).reshape(2, 4, 8)
    assert sorted(indices[1, 2]) == [0, 1, 2, 3, 4, 5, 6, 13]
    assert words[2, 51 // 2] >> 4 == 0  # DSP 3 of the chain holds row 3, which is zero
    assert words[2, (48 + 7) // 2] == 3 << 4  # DSP 7 holds row 13


def test_a_scale_word_precedes_its_groups() -> None:
    config = load_config("tiny")
    codes = np.ones((10 * 8, 8), np.int8)
    scales = np.arange(1, 1 + 5 * 8, dtype=np.uint8).reshape(5, 8)
    words = pack_tiles(config, codes, 4, DENSE, 2, scales)[0]
    assert words.shape[0] == 10 + 2
    np.testing.assert_array_equal(words[0].reshape(4, 8), scales[:4])  # 4 groups of 2 steps
    np.testing.assert_array_equal(words[9].reshape(4, 8)[0], scales[4])
    assert not words[9][8:].any()


def test_expanded_weights_are_codes_times_scales() -> None:
    config = load_config("tiny")
    codes = np.array([[-8, 7]] * 32, np.int8)
    scales = np.array([[3, 2], [16, 18]], np.uint8)
    matrix = unpack_tiles(config, pack_tiles(config, codes, 4, DENSE, 2, scales), 32, 2, 4, DENSE, 2)
    weights = expanded(config, matrix, DENSE, 2)
    assert weights[0].tolist() == [-24, 14]
    assert weights[31].tolist() == [-128, 126]
    with pytest.raises(ProgramError, match=r"must fit INT8, found -136"):
        expanded(config, matrix._replace(scales=np.array([[17, 1], [1, 1]], np.uint8)), DENSE, 2)


@pytest.mark.parametrize(
    ("codes", "bits", "kept", "message"),
    [
        (np.full((16, 8), 8, np.int8), 4, DENSE, r"4-bit codes lie in -8\.\.7, found 8\.\.8"),
        (np.ones((16, 8), np.int8), 4, 8, r"8 of 16 rows may be kept .* found 16"),
        (np.zeros((16, 8), np.int8), 3, 8, r"found 8 in 3"),
        (np.zeros((16, 8), np.int8), 5, DENSE, r"weight bits \[2, 3, 4, 8\], found 5"),
    ],
)
def test_illegal_matrices_are_refused(codes: np.ndarray, bits: int, kept: int, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        pack_tiles(load_config("tiny"), codes, bits, kept)
