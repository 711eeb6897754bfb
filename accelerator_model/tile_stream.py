"""The tile stream: weights and cached keys and values as the words that the matrix engine reads.

K = chain_length, T = tile_columns, a word has K T / 2 bytes. Column c of a tile is field j = c % 2 of chain
n = c // 2; element e = (j chains + n) K + k of a *step* is kept row k of that column. A step has 2 words of 8-bit
codes or 1 word of 4-bit codes; two steps share 1 word of 2-bit codes; four steps share 3 words of 3-bit codes (the
high bits, then the low two bits of steps 0 and 1, then of 2 and 3). Before the data of every two steps of an N:16
sparse stream lies a word of 4-bit indices; before the K/2 groups that share one lies a word of group scales.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import SPARSITY_BLOCK, AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError

DENSE = SPARSITY_BLOCK
"""`kept` of a matrix without N:16 sparsity."""

_STEPS_PER_UNIT = {2: 2, 3: 4, 4: 1, 8: 1}
_WORDS_PER_UNIT = {2: 1, 3: 3, 4: 1, 8: 2}


class TileMatrix(NamedTuple):
    """What a stream holds: codes [rows, columns] int8, zeros included, and group scales [groups, columns] uint8."""

    codes: NDArray[np.int8]
    scales: NDArray[np.uint8] | None


def unit_steps(bits: int, kept: int = DENSE) -> int:
    """Steps whose words cannot be taken apart: a tile's steps are padded to a multiple of it."""
    return max(_STEPS_PER_UNIT[bits], 2 if kept != DENSE else 1)


def tile_steps(config: AcceleratorConfig, rows: int, bits: int, kept: int = DENSE) -> int:
    """Steps of a tile with `rows` rows, padding included."""
    unit = unit_steps(bits, kept)
    return -(-rows // (config.window(kept) * unit)) * unit


def tile_words(config: AcceleratorConfig, steps: int, bits: int, kept: int = DENSE, group_steps: int = 0) -> int:
    """Words of one tile of `steps` steps."""
    unit = unit_steps(bits, kept)
    units = -(-steps // unit)
    words = units * (unit // _STEPS_PER_UNIT[bits] * _WORDS_PER_UNIT[bits] + (kept != DENSE) * unit // 2)
    if group_steps:
        words += -(-steps // (group_steps * config.scale_groups_per_word))
    return words


def pack_tiles(
    config: AcceleratorConfig,
    codes: NDArray[np.int8],
    bits: int,
    kept: int = DENSE,
    group_steps: int = 0,
    scales: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """The words [tiles, tile words, word bytes] of a matrix of codes [rows, columns], padded with zeros.

    With `kept` = N < 16 at most N of each 16 rows x 2 columns block (columns 2n, 2n + 1) may differ from zero;
    with `group_steps` `scales` [groups, columns] holds the scale of every group_steps windows of rows.
    ProgramError when a code does not fit its bits or a block keeps too many rows.
    """
    _check(config, codes, bits, kept, group_steps, scales)
    rows, columns = codes.shape
    steps, tiles = tile_steps(config, rows, bits, kept), -(-columns // config.tile_columns)
    padded = np.zeros((steps * config.window(kept), tiles * config.tile_columns), np.int8)
    padded[:rows, :columns] = codes
    indices = None
    if kept == DENSE:
        shaped = padded.reshape(steps, config.chain_length, tiles, config.chains, 2)
    else:
        shaped, indices = _compress(config, padded, steps, tiles, kept)
    elements = np.ascontiguousarray(shaped.transpose(2, 0, 4, 3, 1)).reshape(tiles, steps, config.macs)
    units = _data_words(elements, bits).reshape(tiles, steps // unit_steps(bits, kept), -1, config.word_bytes)
    if indices is not None:
        nibbles = np.ascontiguousarray(indices.transpose(2, 0, 3, 1)).reshape(tiles, steps // 2, -1)
        packed = (nibbles[..., 0::2] | nibbles[..., 1::2] << 4).reshape(tiles, steps // 2, config.word_bytes)
        # units of 2 steps: 3-bit codes are never sparse
        units = np.concatenate([packed[:, :, None], units], axis=2)
    return np.concatenate(list(_records(config, units, scales, steps, tiles, bits, kept, group_steps)), axis=1)


def unpack_tiles(
    config: AcceleratorConfig,
    words: NDArray[np.uint8],
    rows: int,
    columns: int,
    bits: int,
    kept: int = DENSE,
    group_steps: int = 0,
) -> TileMatrix:
    """The matrix of `rows` x `columns` whose words [tiles, tile words, word bytes] these are."""
    steps, tiles = tile_steps(config, rows, bits, kept), -(-columns // config.tile_columns)
    expected = (tiles, tile_words(config, steps, bits, kept, group_steps), config.word_bytes)
    if words.shape != expected:
        raise ProgramError(f"a stream of {rows} x {columns} has words {expected}, found {words.shape}")
    scales, units = _split_scales(config, words, steps, bits, kept, group_steps)
    indices = None
    if kept != DENSE:
        packed, units = units[:, :, 0], units[:, :, 1:]
        nibbles = np.stack([packed & 15, packed >> 4], axis=-1).reshape(tiles, steps, config.chains, -1)
        indices = nibbles.transpose(1, 3, 0, 2)
    elements = _elements(units, bits, tiles, steps, config.macs)
    shaped = elements.reshape(tiles, steps, 2, config.chains, config.chain_length).transpose(1, 4, 0, 3, 2)
    dense = shaped if indices is None else _expand(config, shaped, indices, kept)
    codes = np.ascontiguousarray(dense).reshape(steps * config.window(kept), tiles * config.tile_columns)
    return TileMatrix(codes[:rows, :columns], None if scales is None else scales[:, :columns])


def expanded(config: AcceleratorConfig, matrix: TileMatrix, kept: int, group_steps: int) -> NDArray[np.int8]:
    """The INT8 weights [rows, columns] that the matrix engine multiplies: code x its group's scale."""
    if matrix.scales is None:
        return matrix.codes
    group_rows = group_steps * config.window(kept)
    repeated = np.repeat(matrix.scales.astype(np.int16), group_rows, axis=0)[: matrix.codes.shape[0]]
    product = matrix.codes.astype(np.int16) * repeated
    if product.size and (product.max() > 127 or product.min() < -128):
        raise ProgramError(f"code x group scale must fit INT8, found {product.min()}..{product.max()}")
    return product.astype(np.int8)


def place(config: AcceleratorConfig, column: NDArray[np.int64] | int) -> NDArray[np.int64] | int:
    """Byte of an 8-bit step at which a tile column's K codes start."""
    return ((column % 2) * config.chains + column // 2) * config.chain_length


def _check(
    config: AcceleratorConfig,
    codes: NDArray[np.int8],
    bits: int,
    kept: int,
    group_steps: int,
    scales: NDArray[np.uint8] | None,
) -> None:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if bits not in config.weight_bits:
        raise ProgramError(f"{config.name} has weight bits {list(config.weight_bits)}, found {bits}")
    if kept != DENSE and (kept not in config.kept or bits == 3 or kept > config.chain_length):
        raise ProgramError(f"{config.name} keeps {list(config.kept)} of 16 in 2, 4 or 8 bits, found {kept} in {bits}")
    if codes.size and (codes.max() > high or codes.min() < low):
        raise ProgramError(f"{bits}-bit codes lie in {low}..{high}, found {codes.min()}..{codes.max()}")
    if bool(group_steps) != (scales is not None) or (group_steps and bits == 8):
        raise ProgramError("group scales belong to groups of 2, 3 or 4-bit codes: give both group_steps and scales")
    if scales is not None:
        groups = -(-codes.shape[0] // (group_steps * config.window(kept)))
        if scales.shape != (groups, codes.shape[1]):
            raise ProgramError(f"expected group scales {(groups, codes.shape[1])}, found {scales.shape}")


def _compress(
    config: AcceleratorConfig, padded: NDArray[np.int8], steps: int, tiles: int, kept: int
) -> tuple[NDArray[np.int8], NDArray[np.uint8]]:
    """Kept codes [steps, K, tiles, chains, 2] and their indices [steps, K, tiles, chains]."""
    blocks = padded.reshape(steps, config.chain_length // kept, SPARSITY_BLOCK, tiles, config.chains, 2)
    used = (blocks != 0).any(axis=-1)
    most = int(used.sum(axis=2).max(initial=0))
    if most > kept:
        raise ProgramError(f"{kept} of 16 rows may be kept in each block of two columns, found {most}")
    indices = np.sort(np.argsort(~used, axis=2, kind="stable")[:, :, :kept], axis=2)
    codes = np.take_along_axis(blocks, indices[..., None], axis=2)
    shape = (steps, config.chain_length, tiles, config.chains)
    return codes.reshape(*shape, 2), indices.astype(np.uint8).reshape(shape)


def _expand(
    config: AcceleratorConfig, kept_codes: NDArray[np.int8], indices: NDArray[np.uint8], kept: int
) -> NDArray[np.int8]:
    """The inverse of `_compress`: codes [steps, blocks, 16, tiles, chains, 2]."""
    steps, _, tiles, chains, _ = kept_codes.shape
    blocks = config.chain_length // kept
    dense = np.zeros((steps, blocks, SPARSITY_BLOCK, tiles, chains, 2), np.int8)
    where = indices.reshape(steps, blocks, kept, tiles, chains)[..., None].astype(np.int64)
    np.put_along_axis(dense, where, kept_codes.reshape(steps, blocks, kept, tiles, chains, 2), axis=2)
    return dense


def _data_words(elements: NDArray[np.int8], bits: int) -> NDArray[np.uint8]:
    """Data bytes [tiles, ...] of elements [tiles, steps, macs], in stream order."""
    tiles, steps, macs = elements.shape
    raw = elements.view(np.uint8)
    if bits == 8:
        return raw
    if bits == 4:
        return _bytes((raw[..., 0::2] & 15) | (raw[..., 1::2] & 15) << 4)
    crumbs = _pack_crumbs(_bytes(raw & 3).reshape(tiles, steps // 2, 2 * macs))
    if bits == 2:
        return crumbs
    high = np.packbits((raw >> 2 & 1).reshape(tiles, steps // 4, 4 * macs), axis=-1, bitorder="little")
    lows = crumbs.reshape(tiles, steps // 4, 2, macs // 2)
    return np.concatenate([high[:, :, None], lows], axis=2)


def _pack_crumbs(crumbs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _bytes(crumbs[..., 0::4] | crumbs[..., 1::4] << 2 | crumbs[..., 2::4] << 4 | crumbs[..., 3::4] << 6)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return values.astype(np.uint8, copy=False)


def _elements(units: NDArray[np.uint8], bits: int, tiles: int, steps: int, macs: int) -> NDArray[np.int8]:
    """The inverse of `_data_words`."""
    units = np.ascontiguousarray(units)
    if bits == 8:
        raw = units.reshape(tiles, steps, macs)
    elif bits == 4:
        raw = _bytes(np.stack([units & 15, units >> 4], axis=-1)).reshape(tiles, steps, macs)
    elif bits == 2:
        raw = _unpack_crumbs(units).reshape(tiles, steps, macs)
    else:
        words = units.reshape(tiles, steps // 4, 3, macs // 2)
        high = np.unpackbits(words[:, :, 0], axis=-1, bitorder="little").reshape(tiles, steps, macs)
        raw = _unpack_crumbs(words[:, :, 1:]).reshape(tiles, steps, macs) | _bytes(high << 2)
    signed: NDArray[np.int8] = _bytes(raw << np.uint8(8 - bits)).view(np.int8) >> np.int8(8 - bits)
    return signed


def _unpack_crumbs(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _bytes(np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=-1))


def _intervals(config: AcceleratorConfig, steps: int, bits: int, kept: int, group_steps: int) -> Iterator[slice]:
    """The units that follow each scale word; all of them when there is none."""
    unit = unit_steps(bits, kept)
    length = group_steps * config.scale_groups_per_word // unit if group_steps else steps // unit
    for start in range(0, steps // unit, length or 1):
        yield slice(start, start + length)


def _records(
    config: AcceleratorConfig,
    units: NDArray[np.uint8],
    scales: NDArray[np.uint8] | None,
    steps: int,
    tiles: int,
    bits: int,
    kept: int,
    group_steps: int,
) -> Iterator[NDArray[np.uint8]]:
    """Pieces [tiles, words, word bytes] of the stream, in order."""
    per_word = config.scale_groups_per_word
    for number, interval in enumerate(_intervals(config, steps, bits, kept, group_steps)):
        if scales is not None:
            word = np.zeros((per_word, tiles * config.tile_columns), np.uint8)
            part = scales[number * per_word : (number + 1) * per_word]
            word[: part.shape[0], : part.shape[1]] = part
            shaped = word.reshape(per_word, tiles, config.tile_columns).transpose(1, 0, 2)
            yield shaped.reshape(tiles, 1, config.word_bytes)
        yield units[:, interval].reshape(tiles, -1, config.word_bytes)


def _split_scales(
    config: AcceleratorConfig, words: NDArray[np.uint8], steps: int, bits: int, kept: int, group_steps: int
) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]:
    """Scales [groups, columns] and the other words as [tiles, units, words of a unit, word bytes]."""
    unit = unit_steps(bits, kept)
    unit_words = tile_words(config, unit, bits, kept)
    if not group_steps:
        return None, words.reshape(words.shape[0], steps // unit, unit_words, -1)
    tiles, position = words.shape[0], 0
    scale_words, data = [], []
    for interval in _intervals(config, steps, bits, kept, group_steps):
        scale_words.append(words[:, position])
        length = len(range(steps // unit)[interval]) * unit_words
        data.append(words[:, position + 1 : position + 1 + length])
        position += 1 + length
    groups = -(-steps // group_steps)
    stacked = np.stack(scale_words, axis=1).reshape(tiles, -1, config.tile_columns)[:, :groups]
    scales = np.ascontiguousarray(stacked.transpose(1, 0, 2)).reshape(groups, -1)
    return scales, np.concatenate(data, axis=1).reshape(tiles, steps // unit, unit_words, -1)
