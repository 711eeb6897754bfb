"""cocotb tests of cosyn_dequantizer against the packer of tile streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from numpy.typing import NDArray

from cosyn.accelerator_model.tile_stream import DENSE, unit_steps
from cosyn.rtl_testbench.matrix_engine.stimulus import BITS, Case, Shape, make_case, random_shape
from cosyn.rtl_testbench.runner import bench_config

DATA, AUX, SCALE = range(3)
COUNT = 12 if cocotb.SIM_NAME.lower().startswith("icarus") else 60


def tags(shape: Shape, groups_per_word: int) -> Iterator[int]:
    """Kinds of the words of one tile, in order."""
    unit = unit_steps(shape.bits, shape.kept)
    data = {8: 2 * unit, 4: unit, 3: 2, 2: 1}[shape.bits]
    for step in range(0, shape.steps, unit):
        if shape.group_steps and step % (shape.group_steps * groups_per_word) == 0:
            yield SCALE
        if shape.bits == 3 or shape.kept != DENSE:
            yield AUX
        yield from [DATA] * data


class Checker:
    """What every (half) step must be, from the matrix itself."""

    def __init__(self, case: Case, codes: NDArray[np.int8], scales: NDArray[np.uint8] | None) -> None:
        self.config, self.shape, self.codes, self.scales = bench_config(), case.shape, codes, scales

    def check(self, dut: Any, tile: int, step: int, half: int) -> None:
        """Compare the operands in the cycle of valid_o."""
        config, shape = self.config, self.shape
        k, chains = config.chain_length, config.chains
        window = config.window(shape.kept)
        rows = self.codes[step * window : (step + 1) * window, tile * 2 * chains : (tile + 1) * 2 * chains]
        where = f"tile {tile} step {step} half {half}: {shape}"
        if shape.kept == DENSE:
            index = np.broadcast_to(np.arange(k), (chains, k))
        else:
            raw = dut.index_o.value.to_unsigned().to_bytes(k * chains // 2, "little")
            nibbles = np.frombuffer(raw, np.uint8)
            found = np.stack([nibbles & 15, nibbles >> 4], axis=-1).reshape(chains, k).astype(int)
            blocks = found.reshape(chains, k // shape.kept, shape.kept)
            assert (np.diff(np.sort(blocks), axis=-1) > 0).all(), f"an index twice in a block: {where}"
            index = found + np.arange(k) // shape.kept * 16
            kept = np.zeros((chains, window), bool)
            np.put_along_axis(kept, index, True, axis=1)
            assert not rows.reshape(window, chains, 2)[~kept.T].any(), f"a weight is left out: {where}"
        for port, field in ((dut.weight0_o, half), (dut.weight1_o, 1)) if not shape.mm else ((dut.weight0_o, half),):
            found = np.frombuffer(port.value.to_unsigned().to_bytes(k * chains, "little"), np.int8).reshape(chains, k)
            expected = np.take_along_axis(rows[:, field::2].T, index, axis=1)
            assert (found == expected).all(), f"weights: {where}"
        expected_scale = np.ones(2 * chains, np.uint8)
        if self.scales is not None:
            expected_scale = self.scales[step // shape.group_steps, tile * 2 * chains : (tile + 1) * 2 * chains]
        assert dut.scale_o.value.to_unsigned().to_bytes(2 * chains, "little") == expected_scale.tobytes(), (
            f"scale: {where}"
        )
        assert int(dut.first_o.value) == (step == 0) or half, f"first: {where}"
        last = step == shape.steps - 1 and (not shape.mm or half == 1)
        assert int(dut.last_o.value) == last, f"last: {where}"


async def _run(dut: Any, case: Case, codes: Any, scales: Any, rates: tuple[float, float], met: set[str]) -> int:
    """One pass over each tile; cycles between the first and the last step."""
    config, shape, rng = bench_config(), case.shape, np.random.default_rng(cocotb.RANDOM_SEED)
    words = case.stripes.reshape(-1, config.word_bytes)
    kinds = [*tags(shape, config.scale_groups_per_word)] * shape.tiles
    assert len(kinds) == len(words)
    checker = Checker(case, codes, scales)
    dut.mm_i.value, dut.bits_i.value = int(shape.mm), int(BITS[shape.bits])
    dut.sparse_i.value, dut.group_steps_i.value = int(shape.kept != DENSE), shape.group_steps
    dut.steps_i.value, dut.start_i.value = shape.steps, 1
    dut.word_valid_i.value = dut.token_valid_i.value = dut.result_free_i.value = 0
    await RisingEdge(dut.clk_i)
    dut.start_i.value = 0
    await RisingEdge(dut.clk_i)
    await RisingEdge(dut.clk_i)
    halves = 2 if shape.mm else 1
    sent = done = cycle = began = 0
    while done < shape.tiles * shape.steps * halves:
        await RisingEdge(dut.clk_i)
        cycle += 1
        assert cycle < 20000, f"stuck after {done} steps: {shape}"
        if dut.word_valid_i.value and dut.word_ready_o.value:
            sent += 1
        elif dut.word_valid_i.value:
            met.add("word_waits")
        if dut.blocked_o.value:
            met.add("results_wait")
        if dut.valid_o.value:
            tile, rest = divmod(done, shape.steps * halves)
            checker.check(dut, tile, *divmod(rest, halves))
            began = began or cycle
            done += 1
        offers = sent < len(words) and (
            rng.random() < rates[0] or (dut.word_valid_i.value and not dut.word_ready_o.value)
        )
        dut.word_valid_i.value = int(offers)
        if offers:
            dut.word_tag_i.value = kinds[sent]
            dut.word_i.value = int.from_bytes(words[sent].tobytes(), "little")
        dut.token_valid_i.value = int(rng.random() < rates[1])
        dut.result_free_i.value = int(rng.random() < rates[1])
    return cycle - began


def _case(rng: np.random.Generator, shape: Shape) -> tuple[Case, Any, Any]:
    from cosyn.accelerator_model.tile_stream import unpack_tiles

    config = bench_config()
    case = make_case(config, rng, shape)
    words = case.stripes.reshape(shape.tiles, -1, config.word_bytes)
    rows, columns = shape.steps * config.window(shape.kept), shape.tiles * config.tile_columns
    matrix = unpack_tiles(config, words, rows, columns, shape.bits, shape.kept, shape.group_steps)
    return case, matrix.codes, matrix.scales


async def _start(dut: Any) -> None:
    Clock(dut.clk_i, 10, unit="ns").start()
    for name in "start mm bits sparse group_steps steps word_valid word_tag word token_valid result_free".split():
        getattr(dut, f"{name}_i").value = 0
    dut.rst_i.value = 1
    for _ in range(3):
        await RisingEdge(dut.clk_i)
    dut.rst_i.value = 0


@cocotb.test
@cocotb.parametrize(rates=[(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.7, 0.7)])
async def every_format(dut: Any, rates: tuple[float, float]) -> None:
    """Bits x sparsity x groups x mode, then random shapes: weights, indices, scales and marks of every step."""
    config, rng = bench_config(), np.random.default_rng(cocotb.RANDOM_SEED)
    met: set[str] = set()
    await _start(dut)
    shapes = [
        Shape(mm=mm, bits=b, kept=n, steps=8, tiles=2, group_steps=g)
        for mm in (False, True)
        for b in config.weight_bits
        for n in (DENSE, *config.kept)
        for g in (0, 1, 3)
        if (b != 3 or n == DENSE) and (b != 8 or g == 0)
    ]
    if COUNT < 60:
        shapes = shapes[::3]
    # A pass here is a tile: token groups only repeat it.
    shapes += [replace(random_shape(config, rng, largest=16), rows=1) for _ in range(COUNT)]
    for shape in shapes:
        await _run(dut, *_case(rng, shape), rates, met)
    wanted = {"word_waits"} | ({"results_wait"} if rates[1] < 1 else set())
    assert wanted <= met, f"coverage: missing {sorted(wanted - met)}"


@cocotb.test
async def throughput(dut: Any) -> None:
    """A step a cycle at 4 bits and below in MV, half a step in MM; 8-bit MV needs two words a step."""
    config, rng = bench_config(), np.random.default_rng(cocotb.RANDOM_SEED)
    await _start(dut)
    for mm in (False, True):
        for bits in config.weight_bits:
            shape = Shape(mm=mm, bits=bits, steps=32, tiles=2)
            cycles = await _run(dut, *_case(rng, shape), (1.0, 1.0), set())
            expected = 2 * 32 * (2 if mm or bits == 8 else 1) - (2 if bits == 8 and not mm else 1)
            assert cycles == expected, f"{cycles} cycles, expected {expected}: {shape}"
