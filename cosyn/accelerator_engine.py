"""The simulator behind the host driver's transport: the same artifact, registers and doorbell as a device has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cosyn.accelerator_model.config import INSTRUCTION_BYTES, REGISTERS, AcceleratorConfig
from cosyn.accelerator_model.control import (
    CoreRegister,
    ErrorCode,
    core_address,
    global_register,
    runtime_register_address,
)
from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Instruction, System, SystemOperation, decode
from cosyn.accelerator_model.isa.systemverilog import config_hash
from cosyn.accelerator_model.presets import config_from
from cosyn.accelerator_model.program import CoreProgram, MemoryImage, Program
from cosyn.accelerator_model.simulator.machine import Machine
from cosyn.runtime.fpga.transport import Stripes

_CONTROL, _STATUS, _ERROR = (global_register(n).address for n in ("CONTROL", "STATUS", "ERROR"))
_CYCLES_LOW, _CYCLES_HIGH = global_register("CYCLES_LOW").address, global_register("CYCLES_HIGH").address
_DONE = 1 << global_register("STATUS").field("DONE").low
_FAILED = 1 << global_register("STATUS").field("ERROR").low


def artifact_config(folder: Path) -> AcceleratorConfig:
    """The configuration that an artifact was compiled for."""
    data = json.loads((folder / "accelerator.json").read_text(encoding="utf-8"))
    return config_from(data["configuration"], f"{folder}/accelerator.json")


class SimulatorTransport:
    """The simulated accelerator; with `timing` it counts cycles, otherwise it only computes."""

    def __init__(self, config: AcceleratorConfig, stripes: tuple[int, ...], *, timing: bool = False) -> None:
        self.config = config
        self._timing = timing
        images = [MemoryImage(config.stripe_bytes, np.zeros((n, config.stripe_bytes), np.uint8)) for n in stripes]
        self.machine = Machine(config, images)
        self._instructions = [bytearray() for _ in stripes]
        self._programs: dict[tuple[int, ...], Program] = {}
        number = int(config_hash(config), 16)
        self._registers = {
            global_register("ID").address: int.from_bytes(b"COSY", "big"),
            global_register("CONFIG_HASH_LOW").address: number & 0xFFFFFFFF,
            global_register("CONFIG_HASH_HIGH").address: number >> 32,
            global_register("CORES").address: config.cores,
        }
        self.failure: ProgramError | None = None

    def read_memory(self, core: int, stripe: int, count: int) -> Stripes:
        """See `Transport`."""
        return self.machine.memory(core)[stripe : stripe + count].copy()

    def write_memory(self, core: int, stripe: int, data: Stripes) -> None:
        """See `Transport`."""
        self.machine.memory(core)[stripe : stripe + len(data)] = data

    def read_register(self, offset: int) -> int:
        """See `Transport`."""
        return self._registers.get(offset, 0)

    def write_register(self, offset: int, value: int) -> None:
        """See `Transport`; the doorbell runs the program at once."""
        if offset == _STATUS:
            self._registers[_STATUS] = self.read_register(_STATUS) & ~value
        elif offset == _CONTROL and value & 1:
            self._run()
        else:
            self._registers[offset] = value

    def load_program(self, core: int, address: int, data: bytes) -> None:
        """See `Transport`."""
        memory = self._instructions[core]
        memory.extend(bytes(max(0, address + len(data) - len(memory))))
        memory[address : address + len(data)] = data
        self._programs.clear()

    def wait_done(self, timeout: float) -> None:
        """The run has ended when the doorbell returns."""

    def _run(self) -> None:
        values = {r: self.read_register(runtime_register_address(r)) for r in range(1, REGISTERS)}
        try:
            result = self.machine.run(self._program(), values, timing=self._timing)
        except ProgramError as error:
            self.failure = error
            self._registers[_ERROR] = ErrorCode.CHECKSUM if "checksum" in str(error) else ErrorCode.UNIT
            self._registers[_STATUS] = _FAILED
            return
        cycles = result.cycles
        self._registers |= {_CYCLES_LOW: cycles & 0xFFFFFFFF, _CYCLES_HIGH: cycles >> 32, _STATUS: _DONE}

    def _program(self) -> Program:
        """The instructions from each core's program base to its DONE."""
        bases = tuple(
            self.read_register(core_address(core, CoreRegister.PROGRAM_BASE_LOW))
            | self.read_register(core_address(core, CoreRegister.PROGRAM_BASE_HIGH)) << 32
            for core in range(self.config.cores)
        )
        if bases not in self._programs:
            cores = tuple(self._core_program(core, base) for core, base in enumerate(bases))
            self._programs[bases] = Program(0, cores)
        return self._programs[bases]

    def _core_program(self, core: int, base: int) -> CoreProgram:
        memory = self._instructions[core]
        found: list[Instruction] = []
        while True:
            start = base + INSTRUCTION_BYTES * len(found)
            found.append(decode(bytes(memory[start : start + INSTRUCTION_BYTES])))
            last = found[-1]
            if isinstance(last, System) and last.operation == SystemOperation.DONE:
                return CoreProgram(tuple(found), ("",) * len(found))
