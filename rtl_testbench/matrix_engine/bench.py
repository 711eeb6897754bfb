"""cocotb tests of cosyn_matrix_engine."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.control import ErrorCode
from cosyn.accelerator_model.isa import Kept, MatrixInstruction, Ring, WeightBits
from cosyn.accelerator_model.tile_stream import DENSE, unit_steps
from cosyn.rtl_testbench.matrix_engine.coverage import all_coverpoints, coverpoints
from cosyn.rtl_testbench.matrix_engine.driver import CALM, Bench, Stress
from cosyn.rtl_testbench.matrix_engine.stimulus import Shape, make_case, random_shape, words_of
from cosyn.rtl_testbench.matrix_engine.timing import instruction_cycles
from cosyn.rtl_testbench.runner import bench_config

SLOW_SIMULATOR = cocotb.SIM_NAME.lower().startswith("icarus")
CASES = int(os.environ.get("BENCH_CASES", "5" if SLOW_SIMULATOR else "30"))
SEED = cocotb.RANDOM_SEED


async def run_cases(dut: Any, shapes: Iterable[Shape], stress: Stress = CALM) -> Bench:
    """One after another, each LD's stripes coming while it runs."""
    bench = Bench(dut, np.random.default_rng(SEED), stress)
    await bench.start()
    for shape in shapes:
        case = make_case(bench.config, bench.rng, shape)
        await bench.load(case)
        bench.queue(case)
        await bench.run(case)
    return bench


def _formats(config: AcceleratorConfig) -> list[tuple[int, int]]:
    """Every stream format: bits and kept."""
    return [(b, n) for b in config.weight_bits for n in (DENSE, *config.kept) if b != 3 or n == DENSE]


@cocotb.test
@cocotb.parametrize(mm=[False, True])
async def one_tile_of_every_format(dut: Any, mm: bool) -> None:
    """The fewest steps that the format allows, one tile, one row."""
    formats = _formats(bench_config())
    await run_cases(dut, [Shape(mm=mm, bits=b, kept=n, steps=unit_steps(b, n)) for b, n in formats])


@cocotb.test
@cocotb.parametrize(mm=[False, True])
async def extreme_values(dut: Any, mm: bool) -> None:
    """Activations of 127 and -127 with weights of both ends: every borrow between the fields of a DSP."""
    rows = bench_config().token_group if mm else 1
    await run_cases(dut, [Shape(mm=mm, bits=b, steps=8, rows=rows, values="extreme") for b in (8, 4)])


@cocotb.test
@cocotb.parametrize(
    stress=[
        Stress(store=0.5),
        Stress(push=0.3),
        Stress(read=0.3, write=0.3),
        Stress(push=0.5, read=0.6, write=0.5, store=0.2),
    ]
)
async def random_cases(dut: Any, stress: Stress) -> None:
    """Idle source, slow sink, both, and ST in between."""
    config, rng = bench_config(), np.random.default_rng(SEED)
    # The drain takes longer than the array: more passes wait than there are places for.
    shapes = [Shape(mm=True, bits=8, steps=1, tiles=4, rows=4 * config.token_group)]
    shapes += [random_shape(config, rng) for _ in range(CASES)]
    if not SLOW_SIMULATOR:
        shapes += _missing(shapes, config, rng)
    bench = await run_cases(dut, shapes, stress)
    if stress.push < 1:
        assert bench.empty > CASES, "coverage: the ring was hardly ever empty"
    if stress.write < 1:
        assert bench.stalled > 0, "coverage: the drain never held the array"
    if stress.store:
        assert min(bench.stored, bench.refused) > CASES, "coverage: ST and array hardly ever met"


def _missing(shapes: list[Shape], config: AcceleratorConfig, rng: np.random.Generator) -> list[Shape]:
    """More shapes until every coverpoint is met; fails when one cannot be met in reasonable time."""
    left = all_coverpoints(config)
    for shape in shapes:
        left -= set(coverpoints(shape, config))
    more: list[Shape] = []
    for _ in range(20000):
        if not left:
            return more
        shape = random_shape(config, rng)
        found = left & set(coverpoints(shape, config))
        if found:
            more.append(shape)
            left -= found
    raise AssertionError(f"coverage: no case gave {sorted(left)}")


@cocotb.test
async def rings_together(dut: Any) -> None:
    """LD fills one ring while the engine reads the other; instructions of both rings in turn."""
    config, rng = bench_config(), np.random.default_rng(SEED)
    bench = Bench(dut, rng, Stress(push=0.8))
    await bench.start()
    cases = [
        make_case(config, rng, replace(random_shape(config, rng, largest=8), ring=Ring(i % 2)))
        for i in range(4 if SLOW_SIMULATOR else 16)
    ]
    for case in cases[:2]:
        bench.queue(case)
    for index, case in enumerate(cases):
        await bench.load(case)
        await bench.run(case)
        if index + 2 < len(cases):
            bench.queue(cases[index + 2])


@cocotb.test
async def ring_wraps(dut: Any) -> None:
    """More words than a ring has, a tile that fills it entirely, and its rereading across the end."""
    config = bench_config()
    if SLOW_SIMULATOR or config.macs > 512:
        return
    steps = config.weight_ring_words // 2  # 8-bit: two words a step
    # Activations hold that many steps only if sparse windows are not needed.
    steps = min(steps, config.activation_lines * config.activation_line_bytes // config.chain_length // 4)
    shapes = [Shape(mm=True, bits=8, steps=steps, rows=config.token_group + 1), Shape(mm=False, bits=8, steps=5)]
    await run_cases(dut, [*shapes, Shape(mm=True, bits=8, steps=steps, rows=config.token_group + 1, tiles=2)])


@cocotb.test
async def mm_goes_first(dut: Any) -> None:
    """Both offered while the engine is idle: MM runs, then MV."""
    config, rng = bench_config(), np.random.default_rng(SEED)
    bench = Bench(dut, rng)
    await bench.start()
    mm = make_case(config, rng, Shape(mm=True, steps=4, rows=3))
    mv = make_case(config, rng, Shape(mm=False, steps=4, ring=Ring.KV))
    while set(mm.activation_lines) & set(mv.activation_lines):
        mv = make_case(config, rng, Shape(mm=False, steps=4, ring=Ring.KV))
    for case in (mv, mm):
        await bench.load(case)
        bench.queue(case)
    await bench.fill()
    dut.mv_inst_i.value = int.from_bytes(mv.instruction.encode(), "little")
    dut.mv_valid_i.value = 1
    dut.registers_i.value = 0
    await bench.offer(replace(mm.instruction, steps_reg=0, tiles_reg=0), (0,) * 16)
    while not dut.mm_done_o.value:
        assert not dut.mv_ready_o.value, "MV was taken before MM had ended"
        await bench.tick()
    bench.compare(mm, dut.mm_digest_o.value.to_unsigned())
    bench.vector[:] = mv.vector
    while not dut.mv_ready_o.value:
        await bench.tick()
    dut.mv_valid_i.value = 0
    while not dut.mv_done_o.value:
        await bench.tick()
    bench.compare(mv, dut.mv_digest_o.value.to_unsigned())


@cocotb.test
async def timing(dut: Any) -> None:
    """Measured cycles are those of README.md, with all words in the ring and every access granted."""
    config, rng = bench_config(), np.random.default_rng(SEED)
    bench = Bench(dut, rng)
    await bench.start()
    done = 0
    while done < (4 if SLOW_SIMULATOR else 2 * CASES):
        shape = replace(random_shape(config, rng, largest=24), values="random")
        if shape.tiles * words_of(config, shape) > min(config.weight_ring_words, config.kv_ring_words):
            continue
        case = make_case(config, rng, shape)
        await bench.load(case)
        bench.queue(case)
        await bench.fill()
        found = await bench.run(case)
        expected = instruction_cycles(case.instruction, config, case.registers)
        assert found == expected, f"{found} cycles, expected {expected}: {case.shape}"
        done += 1


async def _measured(dut: Any, shape: Shape) -> tuple[int, float]:
    """Cycles of a case with its words in the ring, and the share of them in which the array works."""
    bench = Bench(dut, np.random.default_rng(SEED))
    await bench.start()
    case = make_case(bench.config, bench.rng, shape)
    await bench.load(case)
    bench.queue(case)
    await bench.fill()
    began = bench.active
    cycles = await bench.run(case)
    share = (bench.active - began) / cycles
    dut._log.info(f"MEASURED {bench.config.name} {shape}: {cycles} cycles, {share:.4f} of them active")
    return cycles, share


@cocotb.test
@cocotb.parametrize(mm=[True, False])
async def long_dense_stream_uses_the_array(dut: Any, mm: bool) -> None:
    """At least 95 % of all multipliers work in every cycle from acceptance to done, at 4 bits with group scales."""
    config = bench_config()
    if SLOW_SIMULATOR:
        return
    rows = 4 * config.token_group if mm else 1
    shape = Shape(mm=mm, bits=4, group_steps=128 // config.chain_length, steps=128, tiles=6 if mm else 24, rows=rows)
    _, share = await _measured(dut, shape)
    # In MV a replica of the chains for further tokens has nothing to do.
    assert share >= 0.95, f"the array works in {share:.3f} of the cycles"


@cocotb.test
@cocotb.parametrize(kept=[8, 4, 2])
async def sparse_mm_is_faster(dut: Any, kept: int) -> None:
    """N of 16 in MM: at least 0.9 of the ideal speed-up over the same dense matrix, at 4 bits."""
    config = bench_config()
    if SLOW_SIMULATOR or kept not in config.kept:
        return
    rows = 4 * config.token_group
    dense_steps = 128
    dense = Shape(mm=True, bits=4, steps=dense_steps, tiles=4, rows=rows)
    sparse = replace(dense, kept=kept, steps=dense_steps * kept // DENSE)
    before, _ = await _measured(dut, dense)
    after, _ = await _measured(dut, sparse)
    ideal = DENSE / kept
    speedup = before / after
    dut._log.info(f"MEASURED {config.name} {kept} of 16: {speedup:.3f} times as fast, {speedup / ideal:.3f} of ideal")
    assert speedup >= 0.9 * ideal, f"{kept} of 16: {speedup:.3f} times as fast, ideal {ideal}"


async def _error_of(dut: Any, bench: Bench, instruction: MatrixInstruction, stripes: int) -> int:
    """The code that it ends with; afterwards the engine takes nothing, and works again after a reset."""
    bench.stripes = [deque([0] * stripes), deque([0] * stripes)]
    await bench.offer(instruction, (0,) * 16)
    for _ in range(2000):
        await bench.tick()
        if dut.error_o.value:
            break
    else:
        raise AssertionError(f"no error: {instruction.assembly()}")
    code = dut.error_code_o.value.to_unsigned()
    for _ in range(20):
        await bench.tick()
        assert not dut.mm_ready_o.value
        assert not dut.mv_ready_o.value
        assert dut.error_code_o.value.to_unsigned() == code, "the first error must stay"
    bench.stripes = [deque(), deque()]
    await bench.start()
    return int(code)


@cocotb.test
async def errors(dut: Any) -> None:
    """Lines beyond the buffers, and instructions that the engine must refuse."""
    config, rng = bench_config(), np.random.default_rng(SEED)
    bench = Bench(dut, rng)
    await bench.start()
    mv, mm = (make_case(config, rng, Shape(mm=mm, steps=4)).instruction for mm in (False, True))
    beyond = [
        replace(
            mv,
            activation_line=config.activation_lines - 1,
            steps=4 * config.activation_line_bytes // config.chain_length,
        ),
        replace(mv, activation_line=0xFFFF, row=config.token_group, row_lines=0xFFF),
        replace(mv, destination=config.vector_lines - 1),
        replace(mm, destination=0, destination_stride=0xFFFFF, rows=2),
        replace(mv, column_scale=config.vector_lines),
        replace(mv, token_scale=config.vector_lines * config.lanes),
    ]
    for instruction in beyond:
        code = await _error_of(dut, bench, instruction, 16 * config.ring_reads * len(beyond))
        assert code == ErrorCode.ADDRESS_RANGE, f"{code}: {instruction.assembly()}"
    refused = [
        replace(mv, steps=0),
        replace(mv, tiles=0),
        replace(mm, rows=0),
        replace(mv, rows=2),
        replace(mm, row=1),
        replace(mv, bits=WeightBits.B2, steps=3),
        replace(mv, bits=WeightBits.B3, steps=6),
        replace(mv, bits=WeightBits.B4, kept=Kept.N8, steps=3),
        replace(mv, bits=WeightBits.B3, kept=Kept.N8, steps=4),
        replace(mv, bits=WeightBits.B8, group_steps=1),
    ]
    for instruction in refused:
        code = await _error_of(dut, bench, instruction, 0)
        assert code == ErrorCode.UNIT, f"{code}: {instruction.assembly()}"
    # A register with more than 16 bits.
    wide = replace(mv, steps_reg=3)
    bench.stripes = [deque(), deque()]
    await bench.offer(wide, tuple((1 << 16) + 4 if i == 3 else 0 for i in range(16)))
    for _ in range(10):
        await bench.tick()
    assert dut.error_o.value
    assert dut.error_code_o.value.to_unsigned() == ErrorCode.UNIT
    await bench.start()
    case = make_case(config, rng, Shape(mm=True, steps=4, rows=3))
    await bench.load(case)
    bench.queue(case)
    await bench.run(case)
