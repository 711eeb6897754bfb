"""The memory images: weights as tile streams, parameters and tables as vector lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Instruction, Load
from cosyn.accelerator_model.isa.digest import fold, rotate_xor
from cosyn.accelerator_model.numerics.rotary import rotary_rows
from cosyn.accelerator_model.program import MemoryImage
from cosyn.accelerator_model.tile_stream import DENSE, pack_tiles
from cosyn.codegen.fpga.layout import PADDING, Columns, round_up
from cosyn.codegen.fpga.memory_map import Region
from cosyn.codegen.fpga.parameters import MAX_TOKENS
from cosyn.codegen.fpga.plan_records import LinearPlan
from cosyn.codegen.fpga.regions import Layout
from cosyn.ir.weight_format import QuantizedWeight, WeightFormat

Array = NDArray[Any]
Values = Callable[[str], Array]
"""Reference of a weight or constant → its values."""
Stored = Callable[[str], QuantizedWeight]
"""Reference of a quantized weight or constant → its codes and scales."""
Quantize = Callable[[Array, WeightFormat], QuantizedWeight]


class ImageBuilder:
    """Makes the constant regions of a layout, a matrix at a time."""

    def __init__(self, layout: Layout, values: Values, quantize: Quantize | None, stored: Stored | None = None) -> None:
        """Weights are `stored(reference)`, by default what `quantize` makes of their values."""
        self._layout = layout
        self._config = layout.plan.config
        self._values = values
        self._quantize = quantize
        self._stored = stored or self._quantized
        self._scales: dict[str, Array] = {}

    def build(self) -> tuple[MemoryImage, ...]:
        """The images of all cores; caches, inputs and outputs are zero."""
        config = self._config
        images = [np.zeros((m.stripes, config.stripe_bytes), np.uint8) for m in self._layout.maps]
        for core, region, data in self.regions():
            images[core][region.address : region.address + region.stripes] = data
        return tuple(MemoryImage(config.stripe_bytes, image) for image in images)

    def regions(self) -> Iterator[tuple[int, Region, Array]]:
        """Core, region and stripes of everything that is not zero: each matrix is read and quantized once."""
        for linear in self._layout.plan.linears.values():
            yield from self._weights(linear)
        for core in range(self._config.cores):
            for block in self._layout.parameters.blocks:
                if block.lines:
                    words = self._layout.parameters.values(block, core, self._values, self._row_scales)
                    yield core, self._layout.region(core, f"parameters {block.number}"), self._stripes(words)
            if self._layout.rope_row_stripes:
                yield core, self._layout.region(core, "positions"), self._positions()
            if self._layout.plan.penalties.stripes[core]:
                words = self._layout.plan.penalties.words(core)
                yield core, self._layout.region(core, "penalties"), self._stripes(words)
            if self._layout.has_positions:
                region = self._layout.region(core, "columns")
                count = region.stripes * self._config.stripe_bytes // 4
                yield core, region, self._stripes(np.arange(count, dtype=np.float32))

    def _weights(self, linear: LinearPlan) -> Iterator[tuple[int, Region, Array]]:
        quantized = self._stored(linear.weight)
        self._scales[linear.weight] = np.asarray(quantized.scales, np.float32)[:, 0]
        for core in range(self._config.cores):
            if linear.tiles[core]:
                words = self._pack(linear, quantized, linear.columns.cores[core])
                region = self._layout.region(core, f"weights {linear.node.name}")
                yield core, region, words.reshape(region.stripes, self._config.stripe_bytes)

    def _pack(self, linear: LinearPlan, quantized: QuantizedWeight, columns: Columns) -> NDArray[np.uint8]:
        """Tile words of one core's columns of a matrix `[n, k]`."""
        codes = _gather(_gather(quantized.codes, columns).T, linear.rows)
        kept, group_steps, scales = linear.format.kept, linear.format.group_steps, None
        if group_steps and quantized.integers is not None:
            scales = np.ascontiguousarray(_gather(quantized.integers, columns).T)
        try:
            return pack_tiles(self._config, np.ascontiguousarray(codes), linear.format.bits, kept, group_steps, scales)
        except ProgramError as error:
            if kept == DENSE:
                raise
            raise ProgramError(
                f"%{linear.node.name}, weight {linear.weight}: {error}; columns 2 i and 2 i + 1 of a tile share their"
                " pattern: heads whose pairs interleave cannot be pruned"
            ) from error

    def _row_scales(self, ref: str) -> Array:
        if ref not in self._scales:
            self._scales[ref] = np.asarray(self._stored(ref).scales, np.float32)[:, 0]
        return self._scales[ref]

    def _quantized(self, ref: str) -> QuantizedWeight:
        kind = self._layout.plan.graph.types[ref]
        assert kind.format is not None
        assert self._quantize is not None
        return self._quantize(self._values(ref), kind.format)

    def _positions(self) -> Array:
        """The table of positions: cosines and sines of each, and the numbers from it on."""
        layout, config = self._layout, self._config
        count = layout.plan.max_seq
        words = np.zeros((count, layout.rope_row_stripes * config.stripe_bytes // 4), np.float32)
        for (ref, scale, pairs), (line, _) in layout.tables.items():
            half = round_up(int(pairs), config.lanes)
            cosine, sine = rotary_rows(self._values(ref), np.arange(count), float(scale))
            first = line * config.lanes
            words[:, first : first + int(pairs)] = cosine
            words[:, first + half : first + half + int(pairs)] = sine
        if layout.has_positions:
            first = layout.position_stripe * config.stripe_bytes // 4
            words[:, first : first + MAX_TOKENS] = np.arange(count)[:, None] + np.arange(MAX_TOKENS)
        return self._stripes(words)

    def _stripes(self, words: Array) -> Array:
        raw = np.ascontiguousarray(words, np.float32).view(np.uint8)
        return raw.reshape(-1, self._config.stripe_bytes)


def _gather(array: Array, places: Columns) -> Array:
    """Rows `places` of an array, zeros for padding."""
    found = array[np.maximum(places, 0)]
    if (places == PADDING).any():
        found = np.where((places == PADDING).reshape(-1, *[1] * (array.ndim - 1)), 0, found)
    return found.astype(array.dtype, copy=False)


def checksums(
    layout: Layout, images: Mapping[int, Array] | tuple[MemoryImage, ...]
) -> Callable[[int, Instruction], int | None]:
    """What the loads of constant regions must add up to, by core."""
    constant = {"weights", "parameters", "mask"}
    found: dict[tuple[int, int, int], int] = {}
    starts = [{r.address: r for r in found_map.regions.values() if r.kind in constant} for found_map in layout.maps]
    bounds = [np.array(sorted(s), np.int64) for s in starts]

    def checksum(core: int, load: Instruction) -> int | None:
        if not isinstance(load, Load) or load.length_reg or load.address_reg:
            return None
        address, length = load.address, load.length
        index = int(np.searchsorted(bounds[core], address, side="right")) - 1
        if index < 0:
            return None
        region = starts[core][int(bounds[core][index])]
        if address + length > region.address + region.stripes:
            return None
        key = (core, address, length)
        if key not in found:
            image = images[core]
            data = image.stripes if isinstance(image, MemoryImage) else image
            found[key] = rotate_xor(fold(data[address : address + length]))
        return found[key]

    return checksum
