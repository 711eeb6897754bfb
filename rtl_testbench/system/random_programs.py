"""Random legal programs: every instruction class, mode and operand kind, on data that reaches the corners."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import SPARSITY_BLOCK, AcceleratorConfig
from cosyn.accelerator_model.isa import (
    Function,
    Instruction,
    Kept,
    Load,
    LoadTarget,
    MatrixInstruction,
    MatrixMatrix,
    MatrixVector,
    Misc,
    Operand,
    Output,
    Reduction,
    Register,
    Ring,
    Store,
    StoreMode,
    System,
    SystemOperation,
    WeightBits,
    mask,
)
from cosyn.accelerator_model.program import CoreProgram, Program
from cosyn.accelerator_model.tile_stream import DENSE, pack_tiles, tile_steps, tile_words, unit_steps

Bytes = NDArray[np.uint8]

STRIPES = 4096
"""Memory of each core that random programs use."""

_KEPT_CODES = {DENSE: Kept.DENSE, 8: Kept.N8, 4: Kept.N4, 2: Kept.N2}
_BITS_CODES = {2: WeightBits.B2, 3: WeightBits.B3, 4: WeightBits.B4, 8: WeightBits.B8}
_CORNERS = np.frombuffer(
    bytes.fromhex(
        "00000000 80000000 3F800000 BF800000 00000001 007FFFFF 00800000 7F7FFFFF FF7FFFFF"
        "7F800000 FF800000 7FC00000 42FE0000 42FF0000 C2FE0000 3F000000 BF000000 3EFFFFFF"
    ),
    ">u4",
).astype(np.uint32)
"""Zeros, ones, subnormals, the largest numbers, infinities, NaN, and what rounds to the ends of INT8."""


@dataclass(frozen=True, slots=True)
class Region:
    """Rows of the vector buffer that have been written: `rows` rows of `lines` lines, `stride` apart."""

    line: int
    rows: int
    stride: int
    lines: int


@dataclass(frozen=True, slots=True)
class Activations:
    """Rows of the activation buffer that have been written."""

    line: int
    row: int
    rows: int
    row_lines: int
    columns: int


@dataclass(frozen=True, slots=True)
class RandomProgram:
    """A program with the memory and the registers that it needs."""

    program: Program
    memories: tuple[Bytes, ...]
    registers: dict[Register, int]


def in_sequence(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Each instruction waits for the one before it, if that has another class."""
    found = list(instructions)
    for index in range(1, len(found)):
        before, after = found[index - 1], found[index]
        if before.opcode != after.opcode:
            found[index - 1] = replace(before, release=before.release | mask(after.opcode))
            found[index] = replace(after, wait=after.wait | mask(before.opcode))
    return found


def random_program(
    config: AcceleratorConfig, seed: int, length: int = 40, *, whole_groups: bool = False
) -> RandomProgram:
    """A program of about `length` instructions a core; the same for the same seed.

    With `whole_groups` activations come in whole token groups: MM multiplies the rows of a group that nobody wrote,
    too, and in a simulator with unknown values they spoil their neighbour in the DSP.
    """
    draw = random.Random(seed)
    registers: dict[Register, int] = {r: draw.randrange(1, 64) for r in Register if r != Register.ZERO}
    # The place that ST appends at; steps and tiles must lie inside the scratch memory.
    registers[Register.KEY_TILE] = draw.randrange(3)
    registers[Register.KEY_COLUMN] = draw.randrange(config.tile_columns)
    registers[Register.VALUE_STEP] = draw.randrange(3)
    registers[Register.VALUE_LANE] = draw.randrange(config.chain_length)
    registers[Register.SCALE_STRIPE] = draw.randrange(3)
    registers[Register.SCALE_WORD] = draw.randrange(config.stripe_bytes // 4)
    plan = [draw.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0] for _ in range(length)]
    group = config.token_group if whole_groups else 1
    builders = [_Builder(config, seed * 64 + core, registers, core, group) for core in range(config.cores)]
    for kind in plan:
        for builder in builders:
            getattr(builder, kind)(builder.draw)
    for builder in builders:
        builder.instructions.append(System(operation=SystemOperation.DONE))
    streams = [tuple(in_sequence(builder.instructions)) for builder in builders]
    cores = tuple(CoreProgram(stream, tuple(f"random {i}" for i in range(len(stream)))) for stream in streams)
    return RandomProgram(Program(1, cores), tuple(builder.memory for builder in builders), registers)


_WEIGHTS = {
    "load": 4,
    "misc": 10,
    "activate": 5,
    "matrix": 8,
    "store_lines": 3,
    "append": 4,
    "barrier": 1,
    "exchange": 1,
}
"""How often each kind is drawn."""


class _Builder:
    """One core's program as it grows; what it reads has been written before."""

    def __init__(
        self, config: AcceleratorConfig, seed: int, registers: dict[Register, int], core: int, row_unit: int
    ) -> None:
        self.config, self.core, self.registers, self.row_unit = config, core, registers, row_unit
        self.draw = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.memory = self.numpy.integers(0, 256, (STRIPES, config.stripe_bytes), np.uint8)
        self.instructions: list[Instruction] = []
        self.vectors: list[Region] = []
        self.activations: list[Activations] = []
        self._stripe = 0
        self._store = STRIPES // 2
        self._line = 0
        self._activation = 0

    # -- places -------------------------------------------------------------------------------------------------------

    def _stripes(self, count: int) -> int:
        """Stripes of memory that no other instruction reads; from the start again when they run out."""
        if self._stripe + count > STRIPES // 2:
            self._stripe = 0
        self._stripe += count
        return self._stripe - count

    def _lines(self, count: int) -> int:
        """Lines of the vector buffer; older regions that they overlap are forgotten."""
        if self._line + count > self.config.vector_lines:
            self._line = 0
        first, self._line = self._line, self._line + count
        self.vectors = [r for r in self.vectors if r.line >= first + count or r.line + r.rows * r.stride <= first]
        return first

    def _new_region(self, rows: int, lines: int) -> Region:
        stride = lines + self.draw.randrange(3)
        return Region(self._lines(rows * stride), rows, stride, lines)

    def _region(self, lines: int, rows: int = 1) -> Region:
        """A written region of at least that size; loaded when there is none."""
        fitting = [r for r in self.vectors if r.lines >= lines and r.rows >= rows]
        if fitting and self.draw.random() < 0.8:
            return self.draw.choice(fitting)
        return self._load(rows, lines)

    # -- instructions -------------------------------------------------------------------------------------------------

    def load(self, draw: random.Random) -> None:
        self._load(draw.randint(1, 4), draw.randint(1, 6) * self.config.stripe_lines)

    def _load(self, rows: int, lines: int) -> Region:
        """LD to the vector buffer of numbers near one with corners among them."""
        config = self.config
        length = -(-lines // config.stripe_lines)
        region = self._new_region(rows, length * config.stripe_lines)
        gap = self.draw.randrange(3)
        first = self._stripes(rows * (length + gap))
        values = self.numpy.normal(0, 2, (rows * (length + gap), config.stripe_bytes // 4)).astype(np.float32)
        raw = values.view(np.uint32)
        places = self.numpy.random(raw.shape) < 0.05
        raw[places] = self.numpy.choice(_CORNERS, int(places.sum()))
        self.memory[first : first + len(raw)] = raw.view(np.uint8)
        offset = Register.ROPE_OFFSET if self.draw.random() < 0.3 else 0
        if offset and first < self.registers[Register.ROPE_OFFSET]:
            offset = 0
        self.instructions.append(
            Load(
                target=LoadTarget.VECTOR,
                address=first - (self.registers[Register.ROPE_OFFSET] if offset else 0),
                address_reg=offset,
                length=length,
                rows=rows,
                row_stride=length + gap,
                vector_line=region.line,
                vector_stride=region.stride,
            )
        )
        self.vectors.append(region)
        return region

    def misc(self, draw: random.Random) -> None:
        """A pass to the vector buffer, a reduction, or both."""
        rows, lines = draw.randint(1, 4), draw.choice([1, 2, 3, 4, 7, 12])
        reduction = Reduction(draw.randrange(5))
        output = draw.choice([Output.VECTOR, Output.NONE]) if reduction else Output.VECTOR
        self._misc(draw, rows, lines, output, reduction)

    def activate(self, draw: random.Random) -> None:
        """A pass to the activation buffer."""
        config = self.config
        window = config.activation_line_bytes // config.lanes
        rows = -(-draw.randint(1, 5) // self.row_unit) * self.row_unit
        self._misc(draw, rows, draw.randint(1, 4) * window, Output.ACTIVATION, Reduction.NONE)

    def _misc(self, draw: random.Random, rows: int, lines: int, output: Output, reduction: Reduction) -> None:
        config = self.config
        a = self._region(lines, rows)
        fields: dict[str, int | float] = {"a": a.line, "a_stride": a.stride}
        for name in "bcd":
            fields |= self._operand(draw, name, rows, lines)
        if output == Output.ACTIVATION:
            fields |= {"d_kind": Operand.IMMEDIATE0, "immediate0": 20.0}
        target: Region | None = None
        if output == Output.VECTOR:
            target = self._new_region(rows, lines)
            fields |= {"destination": target.line, "destination_stride": target.stride}
        if output == Output.ACTIVATION:
            fields |= self._activation_target(draw, rows, lines)
        if reduction:
            words = self._new_region(1, -(-rows // config.lanes) + 1)
            fields["reduce_to"] = words.line * config.lanes + draw.randrange(config.lanes)
        columns = lines * config.lanes
        if draw.random() < 0.4:
            fields |= {"valid": draw.randint(1, columns), "causal": draw.randrange(2)}
            fields["window"] = draw.choice([0, draw.randint(1, columns)])
            fields["sinks"] = draw.choice([0, draw.randint(1, columns)])
        function = draw.choices(list(Function), [6, 2, 1, 1, 1])[0]
        numbers = {"immediate0": draw.uniform(-3, 3), "immediate1": draw.uniform(-3, 3)} | fields
        self.instructions.append(
            Misc(
                function=function,
                rows=rows,
                columns=columns,
                c_negate=draw.randrange(2),
                reduction=reduction,
                output=output,
                **numbers,  # type: ignore[arg-type]  # integers but for the two immediates
            )
        )
        if target is not None:
            self.vectors.append(target)

    def _operand(self, draw: random.Random, name: str, rows: int, lines: int) -> dict[str, int | float]:
        kind = Operand(draw.randrange(5))
        found: dict[str, int | float] = {f"{name}_kind": kind}
        if kind == Operand.ROW:
            region = self._region(-(-rows // self.config.lanes))
            found[name] = region.line * self.config.lanes
        elif kind == Operand.VECTOR:
            once = draw.random() < 0.4
            region = self._region(lines, 1 if once else rows)
            found |= {name: region.line, f"{name}_stride": 0 if once else region.stride}
        return found

    def _activation_target(self, draw: random.Random, rows: int, lines: int) -> dict[str, int | float]:
        config = self.config
        columns = lines * config.lanes
        row_lines = -(-columns // config.activation_line_bytes) + draw.randrange(2)
        row = draw.randrange(3) * config.token_group
        size = -(-(row + rows) // config.token_group) * row_lines
        if self._activation + size > config.activation_lines:
            self._activation = 0
        line, self._activation = self._activation, self._activation + size
        self.activations = [
            a
            for a in self.activations
            if a.line >= line + size or a.line + -(-(a.row + a.rows) // config.token_group) * a.row_lines <= line
        ]
        self.activations.append(Activations(line, row, rows, row_lines, columns))
        return {"destination": line, "destination_stride": row_lines, "destination_row": row}

    def matrix(self, draw: random.Random) -> None:
        """LD of a packed random matrix to a ring, then MV or MM with it."""
        config = self.config
        if not self.activations:
            self.activate(draw)
        rows_of = draw.choice(self.activations)
        bits = draw.choice(config.weight_bits)
        kept = DENSE if bits == 3 else draw.choice([DENSE, *(n for n in config.kept if n <= config.chain_length)])
        windows = rows_of.columns // config.window(kept)
        steps = windows // unit_steps(bits, kept) * unit_steps(bits, kept)
        if steps == 0:
            bits, kept, steps = 8, DENSE, rows_of.columns // config.chain_length
        if bits not in config.weight_bits:
            return
        steps = draw.randint(1, steps // unit_steps(bits, kept)) * unit_steps(bits, kept)
        group = draw.choice([0, 4, 8]) if bits < 8 else 0
        tiles = draw.randint(1, 3)
        ring = draw.choice([Ring.WEIGHTS, Ring.WEIGHTS, Ring.KV])
        words = tile_words(config, steps, bits, kept, group)
        depth = config.weight_ring_words if ring == Ring.WEIGHTS else config.kv_ring_words
        tiles = min(tiles, depth // words)
        if tiles == 0:
            return
        packed = self._packed(steps, tiles, bits, kept, group)
        stripes = packed.reshape(-1, config.stripe_bytes)
        first = self._stripes(len(stripes))
        self.memory[first : first + len(stripes)] = stripes
        self.instructions.append(Load(target=LoadTarget(ring), address=first, length=len(stripes)))
        many = draw.random() < 0.5
        rows = draw.randint(1, rows_of.rows) if many else 1
        columns = tiles * config.tile_columns // config.lanes
        scales = self._region(columns)
        token = self._region(-(-rows // config.lanes))
        target = self._new_region(rows, columns)
        kind: type[MatrixInstruction] = MatrixMatrix if many else MatrixVector
        self.instructions.append(
            kind(
                ring=ring,
                bits=_BITS_CODES[bits],
                kept=_KEPT_CODES[kept],
                group_steps=group,
                steps=steps,
                tiles=tiles,
                rows=rows,
                activation_line=rows_of.line,
                row=rows_of.row,
                row_lines=rows_of.row_lines,
                column_scale=scales.line,
                column_scaled=draw.randrange(2),
                token_scale=token.line * config.lanes,
                token_scaled=draw.randrange(2),
                destination=target.line,
                destination_stride=target.stride,
            )
        )
        self.vectors.append(target)

    def _packed(self, steps: int, tiles: int, bits: int, kept: int, group: int) -> Bytes:
        """A random matrix's words; products with group scales stay within INT8."""
        config = self.config
        inner, columns = steps * config.window(kept), tiles * config.tile_columns
        assert tile_steps(config, inner, bits, kept) == steps
        low, high = -(1 << bits - 1), 1 << bits - 1
        codes = self.numpy.integers(low, high, (inner, columns)).astype(np.int8)
        if kept != DENSE:
            blocks = codes.reshape(-1, SPARSITY_BLOCK, columns // 2, 2)
            order = self.numpy.random((blocks.shape[0], SPARSITY_BLOCK, columns // 2)).argsort(axis=1)
            codes = np.where((order < kept)[..., None], blocks, np.int8(0)).reshape(inner, columns)
        scales = None
        if group:
            groups = -(-steps // group)
            scales = self.numpy.integers(1, 128 // -low, (groups, columns), endpoint=True).astype(np.uint8)
        return pack_tiles(config, codes, bits, kept, group, scales)

    def store_lines(self, draw: random.Random) -> None:
        region = self._region(self.config.stripe_lines)
        length = region.lines // self.config.stripe_lines
        rows = draw.randint(1, region.rows)
        stride = length + draw.randrange(2)
        self.instructions.append(
            Store(
                mode=StoreMode.LINES,
                address=self._written(rows * stride),
                rows=rows,
                row_stride=stride,
                length=length,
                source=region.line,
                source_stride=region.stride,
            )
        )

    def append(self, draw: random.Random) -> None:
        """A key, a value, or scales, at the position that the registers say."""
        config, mode = self.config, draw.choice([StoreMode.KEY, StoreMode.VALUE, StoreMode.SCALE])
        step = config.macs // config.stripe_bytes
        if mode == StoreMode.SCALE:
            region = self._region(1)
            rows = draw.randint(1, config.lanes)
            self.instructions.append(
                Store(mode=mode, address=self._written(8), rows=rows, source=region.line * config.lanes)
            )
            return
        if not self.activations:
            self.activate(draw)
        source = draw.choice(self.activations)
        width = config.chain_length if mode == StoreMode.KEY else config.tile_columns
        length = min(source.columns // width, 4)
        if length == 0:
            return
        tile = step * (length if mode == StoreMode.KEY else 5)
        tiles = 5 if mode == StoreMode.KEY else length
        self.instructions.append(
            Store(
                mode=mode,
                address=self._written(tile * tiles),
                rows=draw.randint(1, source.rows),
                row_stride=tile,
                length=length,
                source=source.line,
                source_stride=source.row_lines,
                row=source.row,
            )
        )

    def _written(self, count: int) -> int:
        """Stripes of memory that only stores touch."""
        if self._store + count > STRIPES:
            self._store = STRIPES // 2
        self._store += count
        return self._store - count

    def barrier(self, draw: random.Random) -> None:
        self.instructions.append(System(operation=SystemOperation.BARRIER))

    def exchange(self, draw: random.Random) -> None:
        """Every core sends a part of the same region; a fixed place, because all must agree on it."""
        config = self.config
        rows, lines = 2, 2
        whole = lines * config.cores
        length = -(-whole // config.stripe_lines)
        stride = length * config.stripe_lines
        # The end of the vector buffer is kept for this.
        base = config.vector_lines - rows * stride
        self.vectors = [r for r in self.vectors if r.line + r.rows * r.stride <= base]
        first = self._stripes(rows * length)
        self.instructions.append(
            Load(
                target=LoadTarget.VECTOR,
                address=first,
                length=length,
                rows=rows,
                row_stride=length,
                vector_line=base,
                vector_stride=stride,
            )
        )
        self.instructions.append(
            System(
                operation=SystemOperation.EXCHANGE,
                base=base + self.core * lines,
                rows=rows,
                row_stride=stride,
                lines=lines,
            )
        )
        region = Region(base, rows, stride, stride)
        if self._line <= base:
            self.vectors.append(region)
