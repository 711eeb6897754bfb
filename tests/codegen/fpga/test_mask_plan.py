"""What is planned for block masks: of the columns that are read, each head sees what attention means."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cosyn.accelerator_model.cache_pattern import skip_unit
from cosyn.accelerator_model.cache_spans import span_registers
from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import PatternRegister
from cosyn.accelerator_model.presets import load_config
from cosyn.codegen.fpga.heads import assign_heads
from cosyn.codegen.fpga.mask_plan import GroupReads, MaskPlanner, PenaltyTables, SpanReads
from cosyn.codegen.fpga.mask_spans import HeadMask, spans_of
from cosyn.ir.ops.attention import AttentionAttrs, visible

HEADS, SHARED = 6, 2


def masks(random: np.random.Generator, rows: int) -> Iterator[np.ndarray]:
    """Sparse, dense, striped, and the same for all heads."""
    i, j, h = np.arange(rows)[:, None], np.arange(rows)[None], np.arange(HEADS)[:, None, None]
    yield random.random((HEADS, rows, rows)) < 0.15
    yield random.random((HEADS, rows, rows)) < 0.9
    yield ((i - j) % 5 == h // 3) | (i == j)
    yield np.broadcast_to((j % 7 == 0) | (i - j < 2), (HEADS, rows, rows))
    yield np.broadcast_to(random.random(rows) < 0.5, (HEADS, rows, rows))


def positions_of(reads: SpanReads, group: GroupReads, unit: int) -> list[int]:
    """The position of each column."""
    kept = [
        (r.first + k * r.stride) * unit + n for r in group.runs for k in range(r.count) for n in range(r.length * unit)
    ]
    assert len(kept) == reads.kept
    return [*kept, *range(reads.tail, reads.tail + reads.most - reads.kept)]


def counted(columns: int, valid: int, group: GroupReads) -> np.ndarray:
    """The columns that the special-function unit counts (docs/isa.md)."""
    c = np.arange(columns)
    low = max(0, valid - group.window) if group.window else 0
    return ((c >= low) & (c < valid)) | ((c < group.sinks) & (c < valid))


@pytest.mark.parametrize(("window", "sinks"), [(0, 0), (37, 0), (90, 20), (1, 3)])
@pytest.mark.parametrize(("config", "block"), [("tiny", 1), ("tiny", 7), ("tiny", 16), ("tiny", 400), ("odd", 20)])
def test_heads_see_what_attention_means(config: str, window: int, sinks: int, block: int) -> None:
    preset = load_config(config)
    length = 6 * skip_unit(preset) - 5
    random = np.random.default_rng(block + window)
    for values in masks(random, -(-length // block)):
        _check(preset, values.astype(np.uint8), block, window, sinks, length, random)


def _check(
    config: AcceleratorConfig,
    values: np.ndarray,
    block: int,
    window: int,
    sinks: int,
    length: int,
    random: np.random.Generator,
) -> None:
    mask, unit = HeadMask.of(values, block, length), skip_unit(config)
    attrs = AttentionAttrs(scale=1.0, window=window or None, sinks=sinks, mask_block=block)
    spans = spans_of([mask], unit, length, windowed=window > 0)
    assert [s.first for s in spans[1:]] == [s.last + 1 for s in spans[:-1]]
    cores, tables = assign_heads(HEADS, SHARED, config.cores), PenaltyTables(config)
    planner = MaskPlanner(config, cores, mask, window, sinks, 1, skips=True)
    pattern = planner.pattern(spans)
    plan = planner.plan(spans, tables, skip=pattern is not None)
    words = [tables.words(core) if tables.stripes[core] else np.zeros(0) for core in range(config.cores)]
    for position in random.choice(length, 8, replace=False).tolist():
        number = next(n for n, span in enumerate(spans) if span.first <= position <= span.last)
        reads, valid = plan.spans[number], position + 1
        if pattern is not None:
            registers = span_registers(config, pattern, 1, position, 1)
            valid = registers[16 + PatternRegister.VALID]
            run = registers[16 + PatternRegister.KEY_TILES] - registers[16 + PatternRegister.RUN_KEY_TILES]
            assert run * config.tile_columns == reads.kept
        for core, groups in enumerate(reads.groups):
            for group, heads in zip(groups, cores[core].groups, strict=True):
                places = np.array(positions_of(reads, group, unit))
                assert np.array_equal(places, np.sort(places))
                assert places[valid - 1] == position
                allowed = counted(len(places), valid, group)
                for k, head in enumerate(heads.q_heads):
                    seen = allowed
                    if group.vectors:
                        width = reads.vector_stripes * config.stripe_bytes // 4
                        first = group.address * config.stripe_bytes // 4 + (k if group.vectors > 1 else 0) * width
                        seen = allowed & (words[core][first : first + len(places)] == 0)
                    meant = [j for j in visible(attrs, position) if values[head, position // block, j // block]]
                    assert places[seen].tolist() == meant, (position, head)
