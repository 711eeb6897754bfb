"""Attention with a block mask: the programs skip what it hides, and give the reference's bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosyn.accelerator_model.cache_pattern import skip_unit
from cosyn.accelerator_model.cache_spans import SpanPattern
from cosyn.accelerator_model.isa import Load
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.simulator.machine import register_file
from cosyn.accelerator_model.simulator.timed import TimedRun
from cosyn.codegen.fpga import programs
from cosyn.codegen.fpga.errors import FitError, UnsupportedError
from cosyn.codegen.fpga.mask_units import Run, equally_many, runs_of
from cosyn.codegen.fpga.plan import make_plan
from cosyn.codegen.fpga.programs import compile_steps
from cosyn.codegen.fpga.regions import Layout
from cosyn.passes.sparse_attention import BlockMask
from tests.architectures import VOCABULARY, save_folder
from tests.codegen.fpga.fpga_models import Compared, Mask, lowered, same_bits
from tests.codegen.fpga.step_races import races

TINY = load_config("tiny")
HEADS, SHARED, LAYERS = 6, 2, 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name in ("llama", "gemma2", "bloom", "gpt2"):
        found[name] = tmp_path_factory.mktemp(name)
        save_folder(name, found[name])
    return found


def mask_of(kind: str, length: int, block: int, heads: int = HEADS) -> Mask:
    """u8 [heads, rows, rows]."""
    rows, random = -(-length // block), np.random.default_rng(block)
    i, j, h = np.arange(rows)[:, None], np.arange(rows)[None], np.arange(heads)[:, None, None]
    found = {
        "random": random.random((heads, rows, rows)) < 0.5,
        # Every head but the first half sees another column of blocks in four.
        "columns": (i - j < 2) | (j == 0) | ((j + h // 3) % 4 == 0),
        # The second half of the heads sees what the first does not.
        "combs": (i == j) | (j % 2 == h // 3 % 2),
        "every other": (i == j) | ((j % 2 == 0) & (h >= 0)),
        # Some rows see nothing, a head sees nothing at all, and none its own block.
        "blind": (random.random((heads, rows, rows)) < 0.3) & (i % 3 != 1) & (h > 0) & (i != j),
        "near and first": (i - j < 2) | (j == 0) | (h < 0),
    }[kind]
    return np.ascontiguousarray(found).astype(np.uint8)


CASES = [
    # configuration, model, longest, block, mask, other options, whether something is skipped
    ("tiny", "llama", 112, 16, "combs", {}, True),
    ("tiny", "llama", 31, 3, "random", {}, False),
    ("tiny", "llama", 18, 1, "random", {}, False),
    ("tiny", "llama", 100, 20, "blind", {}, True),
    pytest.param("tiny", "llama", 60, 200, "blind", {}, False, marks=pytest.mark.slow),
    ("tiny", "llama", 130, 16, "every other", {"window": 90, "sinks": 20}, True),
    ("odd", "llama", 100, 16, "blind", {}, True),
    pytest.param("odd", "llama", 160, 16, "near and first", {"window": 30, "sinks": 5}, True, marks=pytest.mark.slow),
    pytest.param("tiny", "gemma2", 96, 16, "columns", {"window": 70}, True, marks=pytest.mark.slow),
    ("odd", "bloom", 60, 16, "blind", {}, False),
]


@pytest.mark.parametrize(("config", "name", "length", "block", "kind", "options", "skips"), CASES)
def test_every_step_gives_the_bits_of_the_reference(
    folders: dict[str, Path],
    config: str,
    name: str,
    length: int,
    block: int,
    kind: str,
    options: dict[str, int],
    skips: bool,
) -> None:
    """Steps of one and more tokens in every span, to the last position."""
    mask = mask_of(kind, length, block)
    compared = Compared(folders[name], load_config(config), max_seq=length, mask=mask, block=block, **options)
    assert skips == any(isinstance(p, SpanPattern) for p in compared.layout.plan.patterns)
    assert (len(compared.layout.plan.spans) > 1) == (block < length)
    random = np.random.default_rng(1)
    while compared.position < length:
        tokens = min(int(random.choice([1, 2, 4, 8])), compared.room())
        tokens = 1 << tokens.bit_length() - 1
        found, expected = compared.step(random.integers(0, VOCABULARY, tokens).tolist())
        assert same_bits(found, expected), f"{tokens} tokens to position {compared.position}"
    assert np.abs(found).max() > 0


def test_two_masks_of_other_blocks_in_two_layers(folders: dict[str, Path]) -> None:
    length = 64

    def edit(text: str) -> str:
        first, last = text.split("%attention_1 = ")
        attend, rest = last.split("\n", 1)
        attend = attend.replace("@block_mask", "@other").replace("mask_block=16", "mask_block=24")
        declared = f'weight @other : u8[{HEADS}, 3, 3] from "other"\nweight @block_mask'
        return first.replace("weight @block_mask", declared) + f"%attention_1 = {attend}\n{rest}"

    other = mask_of("random", length, 24)
    compared = Compared(
        folders["llama"], TINY, max_seq=length, mask=mask_of("columns", length, 16), block=16, more={"other": other},
        edit=edit,
    )  # fmt: skip
    assert {s.first for s in compared.layout.plan.spans} >= {24, 48}
    random = np.random.default_rng(1)
    while compared.position < length:
        found, expected = compared.step(random.integers(0, VOCABULARY, 1).tolist())
        assert same_bits(found, expected), compared.position


# -- what is read ---------------------------------------------------------------------------------------------------


def read_bytes(compared: Compared, position: int, tokens: int = 1) -> int:
    """Bytes that a step reads on the one channel of `tiny`."""
    registers = register_file(compared.layout.registers(position, tokens))
    run = TimedRun(TINY, compared.program(tokens, position), registers, None).run()
    return run.traffic[0, 0].read_bytes


def test_what_a_mask_hides_is_not_read(folders: dict[str, Path]) -> None:
    """At 100, in row 6 of blocks as long as a unit, blocks 0, 5 and 6 are seen, by all heads: 1 to 4 are not read."""
    length, block = 112, skip_unit(TINY)
    assert block == 16
    masked = Compared(folders["llama"], TINY, max_seq=length, mask=mask_of("near and first", length, 16), block=16)
    dense = Compared(folders["llama"], TINY, max_seq=length)
    skipped = 4 * 16
    # A head has 8 elements in two halves of lines of 4: one step of keys, one column tile of values.
    keys = skipped // TINY.tile_columns * 2 * TINY.ring_reads
    values = skipped // TINY.chain_length * 2 * TINY.ring_reads
    scales = 2 * skipped * 4 // TINY.stripe_bytes
    stripes = LAYERS * SHARED * (keys + values + scales)
    for position in (96, 100, 111):
        assert read_bytes(dense, position) - read_bytes(masked, position) == stripes * TINY.stripe_bytes
    assert read_bytes(dense, 20) == read_bytes(masked, 20)
    assert read_bytes(dense, 104, 4) - read_bytes(masked, 104, 4) == stripes * TINY.stripe_bytes
    # The scores need no more room than what is read.
    assert masked.compiled(1, 100).vector_lines < dense.compiled(1).vector_lines


def units_of(runs: tuple[Run, ...]) -> set[int]:
    return {r.first + k * r.stride + n for r in runs for k in range(r.count) for n in range(r.length)}


def test_groups_of_heads_read_as_much_each_at_its_own_places(folders: dict[str, Path]) -> None:
    """The first group sees blocks 0, 1 and 2 of five before its own, the second block 3: it reads two more of them."""
    length = 96
    mask = np.zeros((HEADS, 6, 6), np.uint8)
    mask[:3, 5, :3] = mask[3:, 5, 3] = mask[:, 5, 5] = 1
    compared = Compared(folders["llama"], TINY, max_seq=length, mask=mask, block=16)
    (plan, _) = compared.layout.plan.attentions.values()
    assert plan.mask is not None
    reads = plan.mask.spans[compared.layout.span_at(90)]
    assert (reads.kept, reads.tail) == (48, 80)
    (groups,) = reads.groups
    units = [units_of(g.runs) for g in groups]
    assert units[0] == {0, 1, 2}
    assert len(units[1]) == 3
    assert 3 in units[1]
    # The other two are hidden by penalties, the same for all heads; the first group needs none.
    assert [g.vectors for g in groups] == [0, 1]
    (core,) = compared.program(1, 90).cores
    loads = [i for i, node in zip(core.instructions, core.nodes, strict=True) if node.endswith(": penalties")]
    assert len(loads) == LAYERS
    assert all(isinstance(load, Load) and load.checked for load in loads)


def test_runs_bring_the_units_that_are_wanted_and_no_more_than_needed() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        total, groups, loads = int(random.integers(1, 40)), int(random.integers(1, 5)), int(random.integers(1, 9))
        wanted = [set(np.flatnonzero(random.random(total) < random.random()).tolist()) for _ in range(groups)]
        free, bounded = equally_many(wanted, total, total), equally_many(wanted, total, loads)
        assert {len(units) for units in free} == {max(map(len, wanted))}
        assert all(len(runs_of(units)) <= loads for units in bounded)
        for found in (free, bounded):
            assert len({len(units) for units in found}) == 1
            for units, mine in zip(found, wanted, strict=True):
                assert mine <= set(units)
                assert units_of(runs_of(units)) == set(units)
    assert runs_of((0, 1, 4, 5, 8, 9, 11)) == (Run(0, 2, 3, 4), Run(11, 1))


def test_a_mask_that_hides_nothing_changes_nothing(folders: dict[str, Path]) -> None:
    """And what lies after a position is not its mask's business."""
    causal = np.broadcast_to(np.tri(4, dtype=np.uint8), (HEADS, 4, 4))
    masked = Compared(folders["llama"], TINY, max_seq=64, mask=np.ascontiguousarray(causal), block=16)
    dense = Compared(folders["llama"], TINY, max_seq=64)
    assert masked.program(1).to_bytes() == dense.program(1).to_bytes()
    assert len(masked.layout.plan.spans) == 1


@pytest.mark.parametrize(("config", "tokens"), [("tiny", 1), ("tiny", 4), ("odd", 1)])
def test_every_access_is_ordered(folders: dict[str, Path], config: str, tokens: int) -> None:
    mask = mask_of("columns", 150, 16)
    compared = Compared(folders["llama"], load_config(config), max_seq=150, mask=mask, block=16)
    for position in (0, 81, 150 - tokens):
        assert not races(compared.layout, compared.compiled(tokens, position), position)


@pytest.mark.parametrize("depth", [3, 4])
def test_a_ring_that_holds_no_tile_does_not_lock(folders: dict[str, Path], depth: int) -> None:
    """More runs than a queue holds loads: some gaps are read, so that the multiplication can take what waits."""
    length = 16 * 14
    mask = np.zeros((HEADS, 14, 14), np.uint8)
    mask[:, :, [0, 2, 3, 5, 7, 8, 11]] = 1
    mask[:, np.arange(14), np.arange(14)] = 1
    small = replace(TINY, kv_ring_words=16, queue_depth=depth)
    compared = Compared(folders["gpt2"], small, max_seq=length, mask=mask, block=16)
    wide = Compared(folders["gpt2"], TINY, max_seq=length, mask=mask, block=16)
    runs = []
    for layout in (compared.layout, wide.layout):
        plan = next(iter(layout.plan.attentions.values()))
        assert plan.mask is not None
        runs.append(len(plan.mask.spans[layout.span_at(length - 1)].groups[0][0].runs))
    assert runs[0] < depth
    assert runs[1] >= depth
    registers = register_file(compared.layout.registers(length - 1, 1))
    run = TimedRun(small, compared.program(1, length - 1), registers, None).run()
    assert run.cycles > 0


# -- programs -------------------------------------------------------------------------------------------------------


def test_there_is_a_program_for_each_span_that_is_long_enough(folders: dict[str, Path]) -> None:
    """Rows 0 and 1 see all, and lie in two units: one span. Rows 3 and 4 see the same blocks, but not block 3."""
    length = 80
    mask = np.ones((HEADS, 5, 5), np.uint8)
    mask[:, 2, 0] = mask[:, 3:, 1] = mask[:, 4, 3] = 0
    compared = Compared(folders["llama"], TINY, max_seq=length, mask=mask, block=16)
    assert [(s.first, s.last) for s in compared.layout.plan.spans] == [(0, 31), (32, 47), (48, 63), (64, 79)]
    found = compile_steps(compared.layout, 32)
    assert found.tokens == (1, 2, 4, 8, 16, 32)
    assert [(p.name, p.spans) for p in found.of(16)] == [
        ("step_16_from_0", (0,)), ("step_16_from_32", (1,)), ("step_16_from_48", (2,)), ("step_16_from_64", (3,)),
    ]  # fmt: skip
    assert [p.name for p in found.of(32)] == ["step_32_from_0"]
    counts = [sum(p.step.instructions) for p in found.programs]
    assert found.instruction_bytes == 64 * sum(counts)
    ends = [first + 64 * count for (first,), count in zip(found.addresses(), counts, strict=True)]
    assert all(end <= start for end, (start,) in zip(ends, found.addresses()[1:], strict=False))
    assert len({p.step.pieces for p in found.of(8)}) == 1


def test_programs_that_do_not_fit_their_memory_name_what_would(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = Compared(folders["llama"], TINY, max_seq=80, mask=mask_of("random", 80, 16), block=16)
    size = max(programs.aligned(count) for count in compared.compiled(1, 79).instructions)
    monkeypatch.setattr(programs, "WINDOW_BYTES", 3 * size)
    with pytest.raises(
        FitError,
        match=rf"1 tokens have 5 programs, .* of {size:,} bytes .*: {5 * size:,} bytes in all, and there is room for"
        rf" {3 * size:,}; make blocks 2 times as long, or compile for 48 positions",
    ):
        compile_steps(compared.layout, 1)
    # Larger steps are left out.
    monkeypatch.setattr(programs, "WINDOW_BYTES", 7 * size)
    found = compile_steps(compared.layout, 16)
    assert found.tokens == (1,)
    assert found.left_out is not None
    assert "steps of 2 tokens have 5 programs" in found.left_out


@pytest.mark.parametrize(("heads", "rows"), [(6, 3), (5, 4)])
def test_a_mask_of_another_size_is_refused(folders: dict[str, Path], heads: int, rows: int) -> None:
    graph, _ = lowered(folders["llama"], "w8a8", 64, block_mask=BlockMask("mask", HEADS, 4, 16))
    with pytest.raises(
        UnsupportedError,
        match=rf"expected a block mask of 6 heads and at least 4 rows of 16 positions for max_seq 64, found {heads}"
        rf" heads and {rows} rows; give a larger mask or a smaller max_seq",
    ):
        Layout(make_plan(TINY, graph, 64, lambda _ref: np.zeros((heads, rows, rows), np.uint8)))
