"""cocotb tests of cosyn_weight_ring."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cosyn.rtl_testbench.runner import bench_config

CYCLES = 5000 if cocotb.SIM_NAME.lower().startswith("icarus") else 12000

FIRST_TILES = [(0, 1, 2), (1, 1, 3), (0, 3, 2), (1, 2, 1)]
"""Ring, words and passes: what every run of random tiles begins with, so that no seed misses a kind."""


class Bench:
    """LD on one side, a reader of passes on the other, and lists of words as the model."""

    def __init__(self, dut: Any, push: float, pull: float) -> None:
        self.dut, self.source, self.config = dut, random.Random(cocotb.RANDOM_SEED), bench_config()
        self.push, self.pull = push, pull
        self.depth = (self.config.weight_ring_words, self.config.kv_ring_words)
        self.words: list[deque[int]] = [deque(), deque()]
        """Not freed, complete."""
        self.parts: list[list[int]] = [[], []]
        self.due: deque[tuple[int, int]] = deque()
        """Tags and words that must come out."""
        self.met: set[str] = set()
        self.tiles: Iterator[tuple[int, int, int]] = iter(())
        """What is read next: ring, words, passes."""
        # the reader: `ahead` of the `tile` words that are not freed have been read in this pass, the last of `passes`
        self.ring = self.ahead = self.tag = self.cycle = self.tile = self.passes = 0

    async def start(self) -> None:
        """Reset."""
        Clock(self.dut.clk_i, 10, unit="ns").start()
        for name in "write_valid write_ring write_data ring want tag free rewind word_ready".split():
            getattr(self.dut, f"{name}_i").value = 0
        self.dut.rst_i.value = 1
        await RisingEdge(self.dut.clk_i)
        await RisingEdge(self.dut.clk_i)
        self.dut.rst_i.value = 0
        await RisingEdge(self.dut.clk_i)

    def random_tiles(self) -> Iterator[tuple[int, int, int]]:
        """One ring for a long time, then the other: readers meet the end of both."""
        yield from FIRST_TILES
        while True:
            preferred = self.cycle // (CYCLES // 2) % 2
            ring = preferred if self.source.random() < 0.9 else 1 - preferred
            tile = self.source.choice([1, 2, 3, self.source.randrange(1, 20), min(self.depth[ring], 40)])
            yield ring, tile, self.source.choice([1, 1, 2, 3])

    async def step(self) -> None:
        """One cycle."""
        dut = self.dut
        await RisingEdge(dut.clk_i)
        self.cycle += 1
        self._output()
        self._write()
        self._take()
        # A ring keeps its place in a tile, and so does this reader: the next one begins when this one is done.
        if self.tile == 0:
            self.ring, self.tile, self.passes = next(self.tiles, (self.ring, 0, 0))
        self._drive()

    def _output(self) -> None:
        dut = self.dut
        if dut.word_valid_o.value:
            assert self.due, "a word that nobody took"
            found = (dut.word_tag_o.value.to_unsigned(), dut.word_o.value.to_unsigned())
            assert found == self.due[0], f"word {found}, expected {self.due[0]}"
            if dut.word_ready_i.value:
                self.due.popleft()
            else:
                self.met.add("word_waits")

    def _take(self) -> None:
        dut = self.dut
        if not dut.want_i.value:
            return
        assert bool(dut.empty_o.value) == (self.ahead >= len(self.words[self.ring]))
        if dut.empty_o.value:
            self.met.add(f"empty_{self.ring}")
        if not dut.take_o.value:
            return
        free, rewind = int(dut.free_i.value), int(dut.rewind_i.value)
        self.due.append((self.tag, self.words[self.ring][self.ahead]))
        if free:
            self.words[self.ring].popleft()
            self.tile -= 1
            self.met.add("free")
        else:
            self.ahead += 1
            if rewind:
                assert self.ahead == self.tile
                self.ahead, self.passes = 0, self.passes - 1
                self.met.add("rewind_one_word" if self.tile == 1 else "rewind")

    def _write(self) -> None:
        dut = self.dut
        ready = dut.write_ready_o.value.to_unsigned()
        for ring in (0, 1):
            full = len(self.words[ring]) == self.depth[ring]
            assert (ready >> ring & 1) == (not full), f"ring {ring}: ready with {len(self.words[ring])} words"
            if full:
                self.met.add(f"full_{ring}")
        if dut.write_valid_i.value:
            ring = int(dut.write_ring_i.value)
            if ready >> ring & 1:
                self.parts[ring].append(dut.write_data_i.value.to_unsigned())

    def _drive(self) -> None:
        dut, source = self.dut, self.source
        for ring in (0, 1):
            if len(self.parts[ring]) == self.config.ring_reads:
                bits = 8 * self.config.stripe_bytes
                self.words[ring].append(sum(part << i * bits for i, part in enumerate(self.parts[ring])))
                self.parts[ring] = []
        held = dut.write_valid_i.value and not dut.write_ready_o.value.to_unsigned() >> int(dut.write_ring_i.value) & 1
        if not held:
            dut.write_valid_i.value = int(source.random() < self.push)
            dut.write_ring_i.value = source.randrange(2)
            dut.write_data_i.value = source.getrandbits(8 * self.config.stripe_bytes)
        elif source.random() < 0.2:
            # LD never turns away from a full ring; the test does, so that the other one goes on.
            dut.write_valid_i.value = 0
        self.tag = source.randrange(3)
        dut.want_i.value = int(self.tile > 0 and source.random() < self.pull)
        dut.ring_i.value, dut.tag_i.value = self.ring, self.tag
        dut.free_i.value = int(self.passes == 1)
        dut.rewind_i.value = int(self.passes > 1 and self.ahead == self.tile - 1)
        dut.word_ready_i.value = int(source.random() < self.pull)


@cocotb.test
@cocotb.parametrize(rates=[(1.0, 1.0), (0.3, 1.0), (1.0, 0.2), (0.7, 0.7)])
async def random_traffic(dut: Any, rates: tuple[float, float]) -> None:
    """A fast and a slow LD, a fast and a slow reader: every word in order, and both rings full and empty."""
    bench = Bench(dut, *rates)
    await bench.start()
    bench.tiles = bench.random_tiles()
    for _ in range(CYCLES):
        await bench.step()
    wanted = {"free", "rewind", "rewind_one_word"}
    wanted |= {"word_waits"} if rates[1] < 1 else set()
    wanted |= {"empty_0", "empty_1"} if rates == (0.3, 1.0) else set()
    assert wanted <= bench.met, f"coverage: missing {sorted(wanted - bench.met)}"


@cocotb.test
async def fills(dut: Any) -> None:
    """Nobody reads until both rings are full; then everything comes out, a word a cycle."""
    bench = Bench(dut, 1.0, 0.0)
    await bench.start()
    stripes = sum(bench.depth) * bench.config.ring_reads
    for _ in range(8 * stripes):
        await bench.step()
        if {"full_0", "full_1"} <= bench.met:
            break
    assert {"full_0", "full_1"} <= bench.met, "the rings hold more or fewer words than they should"
    bench.push, bench.pull = 0.0, 1.0
    bench.tiles = iter([(ring, len(words), 1) for ring, words in enumerate(bench.words)])
    for _ in range(1 + sum(bench.depth)):
        await bench.step()
    assert bench.tile == 0, f"{bench.tile} words of ring {bench.ring} did not come in their cycles"
    # The write that waited for room when nobody read has come in meanwhile, if it was not turned away.
    left = [len(words) for words in bench.words]
    assert sum(left) <= 1, f"{left} words are left in the rings"
    bench.tiles = iter([(ring, words, 1) for ring, words in enumerate(left) if words])
    for _ in range(5):
        await bench.step()
    assert not any(bench.words)
    assert not bench.due, f"{len(bench.due)} words have not come out"
