"""A program for the accelerator, the memory it works on, and the registers it is started with."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.cache_pattern import CachePattern, pattern_registers
from cosyn.accelerator_model.cache_spans import SpanPattern, span_registers
from cosyn.accelerator_model.config import INSTRUCTION_BYTES, AcceleratorConfig
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Instruction, Register, decode

_MAGIC = b"COSYNPRG"


@dataclass(frozen=True, slots=True)
class CoreProgram:
    """One core's instructions in order of dispatch, and for each the IR node it belongs to and its role there."""

    instructions: tuple[Instruction, ...]
    nodes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.instructions) != len(self.nodes):
            raise ProgramError(f"{len(self.instructions)} instructions, but {len(self.nodes)} node names")

    def to_bytes(self) -> bytes:
        """The instruction memory: instruction i at byte 64 i."""
        return b"".join(item.encode() for item in self.instructions)

    @staticmethod
    def from_bytes(data: bytes, nodes: Sequence[str] | None = None) -> CoreProgram:
        """The instructions in `data`; ProgramError names the first that is not legal."""
        if len(data) % INSTRUCTION_BYTES:
            raise ProgramError(
                f"a program has whole instructions of {INSTRUCTION_BYTES} bytes, found {len(data)} bytes"
            )
        found = []
        for index in range(len(data) // INSTRUCTION_BYTES):
            try:
                found.append(decode(data[index * INSTRUCTION_BYTES : (index + 1) * INSTRUCTION_BYTES]))
            except ProgramError as error:
                raise ProgramError(f"instruction {index}: {error}") from error
        return CoreProgram(tuple(found), tuple(nodes) if nodes is not None else ("",) * len(found))


@dataclass(frozen=True, slots=True)
class Program:
    """A step of `tokens` tokens: one instruction stream per core."""

    tokens: int
    cores: tuple[CoreProgram, ...]

    @property
    def size(self) -> int:
        """Instruction bytes of all cores."""
        return INSTRUCTION_BYTES * sum(len(core.instructions) for core in self.cores)

    def to_bytes(self) -> bytes:
        """Magic, header length, JSON header (tokens, instruction counts, node names), the cores' instructions."""
        return program_bytes(self.tokens, [core.to_bytes() for core in self.cores], [core.nodes for core in self.cores])

    @staticmethod
    def from_bytes(data: bytes) -> Program:
        """The inverse of `to_bytes`; ProgramError says what is wrong."""
        if data[: len(_MAGIC)] != _MAGIC or len(data) < len(_MAGIC) + 4:
            raise ProgramError(f"not a program: it does not start with {_MAGIC.decode()}")
        (length,) = struct.unpack_from("<I", data, len(_MAGIC))
        start = len(_MAGIC) + 4
        try:
            header = json.loads(data[start : start + length])
            tokens, counts, nodes = int(header["tokens"]), list(header["instructions"]), list(header["nodes"])
        except (ValueError, KeyError, TypeError) as error:
            raise ProgramError(f"the program's header is corrupt: {error}") from error
        position, cores = start + length, []
        if len(data) - position != INSTRUCTION_BYTES * sum(counts) or len(nodes) != len(counts):
            raise ProgramError(
                f"the header declares {sum(counts)} instructions of {INSTRUCTION_BYTES} bytes,"
                f" found {len(data) - position} bytes: the program is truncated"
            )
        for count, names in zip(counts, nodes, strict=True):
            size = count * INSTRUCTION_BYTES
            cores.append(CoreProgram.from_bytes(data[position : position + size], names))
            position += size
        return Program(tokens, tuple(cores))


def program_bytes(tokens: int, streams: Sequence[bytes], nodes: Sequence[Sequence[str]]) -> bytes:
    """What `Program.to_bytes` gives for these instructions of each core."""
    counts = [len(stream) // INSTRUCTION_BYTES for stream in streams]
    header = json.dumps(
        {"tokens": tokens, "instructions": counts, "nodes": [list(names) for names in nodes]}, separators=(",", ":")
    ).encode()
    return b"".join([_MAGIC, struct.pack("<I", len(header)), header, *streams])


@dataclass(frozen=True, slots=True)
class MemoryImage:
    """The memory of one core: stripes [count, stripe_bytes] uint8; channel i holds columns [i, i + 1) channel_bytes."""

    stripe_bytes: int
    stripes: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.stripes.ndim != 2 or self.stripes.shape[1] != self.stripe_bytes or self.stripes.dtype != np.uint8:
            raise ProgramError(
                f"a memory image has uint8 stripes [count, {self.stripe_bytes}],"
                f" found {self.stripes.dtype} {list(self.stripes.shape)}"
            )

    def channel(self, index: int, channel_bytes: int) -> NDArray[np.uint8]:
        """The bytes of one memory channel, from its address 0."""
        part = self.stripes[:, index * channel_bytes : (index + 1) * channel_bytes]
        return np.ascontiguousarray(part).reshape(-1)


def registers_for(
    config: AcceleratorConfig,
    position: int,
    tokens: int,
    rope_row_stripes: int = 0,
    patterns: Sequence[CachePattern | SpanPattern] = (),
) -> dict[int, int]:
    """What the host writes before a step of `tokens` tokens whose first is at `position`: bank 0, then a bank for each
    of the patterns.
    """
    context = position + tokens
    key_tiles = -(-context // config.tile_columns)
    value_steps = -(-context // config.chain_length)
    columns = max(key_tiles * config.tile_columns, value_steps * config.chain_length)
    words_per_stripe = config.stripe_bytes // 4
    values: dict[int, int] = {
        Register.VALID: position + 1,
        Register.KEY_TILES: key_tiles,
        Register.VALUE_STEPS: value_steps,
        Register.SCORE_COLUMNS: -(-columns // config.lanes) * config.lanes,
        Register.ROPE_OFFSET: position * rope_row_stripes,
        Register.KEY_TILE: position // config.tile_columns,
        Register.KEY_COLUMN: position % config.tile_columns,
        Register.VALUE_STEP: position // config.chain_length,
        Register.VALUE_LANE: position % config.chain_length,
        Register.SCALE_STRIPE: position // words_per_stripe,
        Register.SCALE_WORD: position % words_per_stripe,
        Register.SCALE_STRIPES: -(-context // words_per_stripe),
    }
    for bank, pattern in enumerate(patterns, start=1):
        if isinstance(pattern, SpanPattern):
            values |= span_registers(config, pattern, bank, position, tokens)
        else:
            values |= pattern_registers(config, pattern, bank, position, tokens)
    return values
