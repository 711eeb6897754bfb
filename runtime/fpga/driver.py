"""The host driver: loads an artifact into an accelerator, and runs its steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cosyn.runtime.errors import ArtifactError, HostError, RequestError
from cosyn.runtime.executor import AnyArray, FloatArray, IntArray, State
from cosyn.runtime.fpga import registers
from cosyn.runtime.fpga.description import InputSpec, StepProgram, read_description
from cosyn.runtime.fpga.transport import Transport
from cosyn.runtime.manifest import Manifest
from cosyn.runtime.tensor_file import TensorFile

TABLES_FILE = "embeddings.safetensors"
_BATCH = 1 << 16
"""Stripes written at a time."""


class FpgaState:
    """The one sequence whose keys and values the accelerator's memory holds."""

    def __init__(self, capacity: int) -> None:
        self.slots = 1
        self.capacity = capacity

    def read(self, slot: int, length: int) -> list[AnyArray]:
        """Not offered: the cache stays in the accelerator's memory."""
        raise RequestError("the state of an accelerator cannot be saved", "give the whole prompt again")

    def write(self, slot: int, arrays: Sequence[AnyArray]) -> None:
        """Not offered, as `read`."""
        raise RequestError("the state of an accelerator cannot be loaded", "give the whole prompt again")


class FpgaExecutor:
    """An `Executor` whose steps run on an accelerator behind a transport."""

    def __init__(self, folder: Path, manifest: Manifest, transport: Transport, *, timeout: float = 600.0) -> None:
        """Write the images and programs. HostError where the accelerator has another configuration."""
        self.description = read_description(folder)
        self.transport = transport
        self.vocab_size = manifest.model.vocab_size
        self.max_seq = manifest.model.max_seq
        self.max_chunk = manifest.max_chunk
        self.max_out = max(e.max_out for e in manifest.entry_points)
        self.state_specs = manifest.states
        self.cycles: list[tuple[int, int]] = []
        """Tokens and cycles of every step so far."""
        self._timeout = timeout
        self._programs = sorted(self.description.programs, key=lambda p: -p.tokens)
        self._tables = TensorFile(folder / TABLES_FILE)
        self._check_device()
        self._load(folder)

    def allocate(self, slots: int, capacity: int) -> State:
        """The accelerator's only state; RequestError for more than one sequence."""
        if slots != 1:
            raise RequestError(f"the accelerator holds one sequence, {slots} were asked for", "give one prompt")
        return FpgaState(capacity)

    def step(
        self, state: State, token_ids: IntArray, positions: IntArray, slots: IntArray, out_rows: IntArray
    ) -> FloatArray:
        """See `Executor.step`: as the largest programs that end where logits are wanted, or where a span does."""
        result = np.zeros((len(out_rows), self.vocab_size), np.float32)
        ends = sorted({*out_rows.tolist(), len(token_ids) - 1})
        first = 0
        for end in ends:
            while first <= end:
                position = int(positions[first])
                program = self._program(position, end + 1 - first)
                self._run(program, token_ids[first : first + program.tokens], position)
                first += program.tokens
            wanted = [row for row, number in enumerate(out_rows.tolist()) if number == end]
            if wanted:
                result[wanted] = self._logits()
        return result

    def _program(self, position: int, tokens: int) -> StepProgram:
        """The largest for at most `tokens` tokens from `position` on that stay in its span."""
        firsts = self.description.geometry.spans
        span = registers.span_at(firsts, position)
        if span + 1 < len(firsts):
            tokens = min(tokens, firsts[span + 1] - position)
        return next(p for p in self._programs if p.tokens <= tokens and span in p.spans)

    def _run(self, program: StepProgram, token_ids: IntArray, position: int) -> None:
        link = self.transport
        for spec in self.description.inputs:
            rows = self._rows(spec, token_ids, position)
            for core in range(self.description.cores):
                link.write_memory(core, spec.address, rows)
        for offset, value in registers.step_registers(self.description.geometry, position, program.tokens).items():
            link.write_register(offset, value)
        for core, address in enumerate(program.addresses):
            link.write_register(registers.program_base(core), address & 0xFFFFFFFF)
            link.write_register(registers.program_base(core) + 4, address >> 32)
        link.write_register(registers.CONTROL, registers.START)
        try:
            link.wait_done(self._timeout)
        except TimeoutError as error:
            message = f"the accelerator did not answer within {self._timeout:.0f} s"
            raise HostError(message, "reset the device and load the artifact again") from error
        self._check_status(program)
        cycles = link.read_register(registers.CYCLES_LOW) | link.read_register(registers.CYCLES_HIGH) << 32
        self.cycles.append((program.tokens, cycles))
        link.write_register(registers.STATUS, registers.DONE)

    def _rows(self, spec: InputSpec, token_ids: IntArray, position: int) -> np.ndarray:
        table = self._tables.array(spec.table)
        numbers = position + np.arange(len(token_ids)) + spec.offset if spec.by_position else token_ids
        words = self.description.geometry.stripe_bytes // 4
        rows = np.zeros((len(token_ids), spec.row_stripes * words), np.float32)
        rows[:, : table.shape[1]] = table[numbers].astype(np.float32)
        return rows.view(np.uint8).reshape(-1, self.description.geometry.stripe_bytes)

    def _logits(self) -> FloatArray:
        logits = np.zeros(self.vocab_size, np.float32)
        stripe_bytes = self.description.geometry.stripe_bytes
        for spec in self.description.logits:
            stripes = self.transport.read_memory(spec.core, spec.address, -(-spec.count * 4 // stripe_bytes))
            words = np.ascontiguousarray(stripes).reshape(-1).view(np.float32)
            logits[spec.first : spec.first + spec.count] = words[: spec.count]
        return logits

    def _check_device(self) -> None:
        found = self.transport.read_register(registers.ID)
        if found != registers.IDENTITY:
            raise HostError(
                f"expected an accelerator of cosyn (ID {registers.IDENTITY:#010x}), found {found:#010x}",
                "check the device's address, and that its bitstream is loaded",
            )
        low, high = (self.transport.read_register(o) for o in (registers.HASH_LOW, registers.HASH_HIGH))
        hash_found = f"{high:08x}{low:08x}"
        if hash_found != self.description.config_hash:
            raise HostError(
                f"the artifact is for the configuration {self.description.configuration}"
                f" (hash {self.description.config_hash}), the accelerator has {hash_found}",
                "compile the model for the accelerator's configuration, or load its bitstream",
            )

    def _check_status(self, program: StepProgram) -> None:
        if not self.transport.read_register(registers.STATUS) & registers.FAILED:
            return
        error, detail = (self.transport.read_register(o) for o in (registers.ERROR, registers.ERROR_DETAIL))
        meaning = registers.ERRORS.get(error & 0xFF, f"error code {error & 0xFF}")
        raise HostError(
            f"the accelerator stopped in a step of {program.tokens} tokens: {meaning}"
            f" (core {error >> 8 & 0xFF}, class {error >> 16 & 0xF}, detail {detail:#010x})",
            "reset it and load the artifact again",
        )

    def _load(self, folder: Path) -> None:
        stripe_bytes = self.description.geometry.stripe_bytes
        for core in range(self.description.cores):
            image = np.memmap(folder / f"images/core{core}.bin", np.uint8, "r")
            if image.size % stripe_bytes:
                raise ArtifactError(f"images/core{core}.bin has no whole stripes", "compile the artifact again")
            stripes = image.reshape(-1, stripe_bytes)
            for first in range(0, len(stripes), _BATCH):
                self.transport.write_memory(core, first, np.asarray(stripes[first : first + _BATCH]))
            self.transport.load_program(core, 0, (folder / f"programs/core{core}.bin").read_bytes())
