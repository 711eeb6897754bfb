"""Cached keys and values as they lie in memory: what appending them token by token would leave there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.reference.attention import CacheContent
from cosyn.accelerator_model.tile_stream import pack_tiles
from cosyn.codegen.fpga.layout import PADDING, Columns
from cosyn.codegen.fpga.memory_map import Region
from cosyn.codegen.fpga.plan_records import AttentionPlan
from cosyn.codegen.fpga.regions import Layout

Array = NDArray[Any]


def cache_regions(layout: Layout, contents: Mapping[str, CacheContent]) -> Iterator[tuple[int, Region, Array]]:
    """Core, region and stripes of every cache, for the first positions of a sequence; the others are zero.

    `contents`: by name of the state.
    """
    config = layout.plan.config
    for plan in layout.plan.attentions.values():
        content = contents[plan.attention.state.name]
        for core, mine in enumerate(plan.heads):
            for head in mine.kv_heads:
                keys = _wide(content.keys[head], plan.key.slots).T
                keys = _padded(keys, plan.key_steps * config.chain_length, plan.key_tiles * config.tile_columns)
                values = _wide(content.values[head], plan.value.slots)
                width = plan.value_tiles * config.tile_columns
                values = _padded(values, plan.value_steps * config.chain_length, width)
                for kind, codes in (("keys", keys), ("values", values)):
                    region = layout.region(core, f"{kind} {plan.name}.{head}")
                    yield core, region, pack_tiles(config, codes, 8).reshape(region.stripes, config.stripe_bytes)
            if mine.kv_heads:
                yield core, layout.region(core, f"scales {plan.name}"), _scales(layout, plan, content, mine.kv_heads)


def _scales(layout: Layout, plan: AttentionPlan, content: CacheContent, heads: tuple[int, ...]) -> Array:
    """Stripes of the scales: of the keys of each head, then of the values."""
    stripe_bytes = layout.plan.config.stripe_bytes
    words = np.zeros((2 * len(heads), plan.scale_stripes * stripe_bytes // 4), np.float32)
    for place, head in enumerate(heads):
        count = content.keys.shape[1]
        words[place, :count] = content.key_scales[head]
        words[len(heads) + place, :count] = content.value_scales[head]
    return words.view(np.uint8).reshape(-1, stripe_bytes)


def _wide(codes: NDArray[np.int8], slots: Columns) -> NDArray[np.int8]:
    """Codes [positions, places] of a head's elements [positions, d]."""
    return np.where(slots == PADDING, np.int8(0), codes[:, np.maximum(slots, 0)])


def _padded(codes: NDArray[np.int8], rows: int, columns: int) -> NDArray[np.int8]:
    found = np.zeros((rows, columns), np.int8)
    found[: codes.shape[0], : codes.shape[1]] = codes
    return found
