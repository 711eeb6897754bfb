"""The control interface: every AXI4-Lite register, bit and error code of the accelerator, declared once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from cosyn.accelerator_model.config import REGISTERS, AcceleratorConfig
from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.isa.opcode import Opcode, register_name

ADDRESS_BITS = 12
"""The AXI4-Lite window is 4 KiB of 32-bit registers."""

IDENTITY = int.from_bytes(b"COSY", "big")
"""What ID reads as."""

NO_CLASS = 15
"""Class code of an error that belongs to no queue (fetch, tokens, control)."""

CORE_BASE = 0x200
CORE_STRIDE = 0x100
REGISTER_BASE = 0x040

Access = Literal["RO", "RW", "W1C"]


class ErrorCode(IntEnum):
    """What went wrong; the first error is kept until a soft reset. `ERROR_DOCS` explains each."""

    NONE = 0
    INSTRUCTION_CRC = 1
    INSTRUCTION_CODE = 2
    AXI_READ = 3
    AXI_WRITE = 4
    CHECKSUM = 5
    TOKEN_CORRUPT = 6
    TOKEN_OVERFLOW = 7
    WATCHDOG = 8
    UNIT = 9
    ADDRESS_RANGE = 10
    EXCHANGE = 11


ERROR_DOCS: dict[ErrorCode, str] = {
    ErrorCode.NONE: "no error",
    ErrorCode.INSTRUCTION_CRC: "an instruction's CRC-16 does not match its bits. Detail: index of the instruction",
    ErrorCode.INSTRUCTION_CODE: "no such opcode, or no such choice in a field. Detail: index of the instruction",
    ErrorCode.AXI_READ: "RRESP was not OKAY. Detail: channel of the core (LD), or index of the instruction (15)",
    ErrorCode.AXI_WRITE: "BRESP was not OKAY. Detail: channel within the core",
    ErrorCode.CHECKSUM: "the stripes of a checked LD have another checksum. Detail: the checksum found",
    ErrorCode.TOKEN_CORRUPT: (
        "a token counter and its complement disagree. Detail: giving class x 6 + taking class; class: the taker"
    ),
    ErrorCode.TOKEN_OVERFLOW: (
        "a token counter is full and got one more. Detail: giving class x 6 + taking class; class: the taker"
    ),
    ErrorCode.WATCHDOG: (
        "a busy core retired nothing for watchdog_cycles. Class: the first one in flight, else the first "
        "with a queue that is not empty, else 15 (fetch). Detail: classes with a queued instruction "
        "[5:0], in flight [13:8], waiting for tokens [21:16]"
    ),
    ErrorCode.UNIT: "MM, MV or MISC refused an instruction whose fields it cannot serve. Detail: 0",
    ErrorCode.ADDRESS_RANGE: (
        "an instruction reaches beyond a buffer or range. Detail: line or value (LD, ST, SYS); 0 (MM, MV, MISC)"
    ),
    ErrorCode.EXCHANGE: "cores met in different SYS operations. Detail: operation of the named core",
}
"""What each error means, and what ERROR_DETAIL holds."""


@dataclass(frozen=True, slots=True)
class Bits:
    """Bits `low` ... `low + width - 1` of a register."""

    name: str
    low: int
    width: int
    doc: str


@dataclass(frozen=True, slots=True)
class ControlRegister:
    """One 32-bit register at a byte address."""

    name: str
    address: int
    access: Access
    doc: str
    bits: tuple[Bits, ...] = ()

    def field(self, name: str) -> Bits:
        """The bits called `name`; KeyError when the register has none of that name."""
        return {item.name: item for item in self.bits}[name]


GLOBAL_REGISTERS: tuple[ControlRegister, ...] = (
    ControlRegister("ID", 0x000, "RO", f"reads {IDENTITY:#010x}, 'COSY'"),
    ControlRegister("CONFIG_HASH_LOW", 0x004, "RO", "hash of the configuration, low word"),
    ControlRegister("CONFIG_HASH_HIGH", 0x008, "RO", "hash of the configuration, high word"),
    ControlRegister("CORES", 0x00C, "RO", "number of cores"),
    ControlRegister(
        "CONTROL",
        0x010,
        "RW",
        "commands",
        (
            Bits("START", 0, 1, "write 1: run every core's program; ignored while busy or in error; reads 0"),
            Bits("INTERRUPT_ENABLE", 1, 1, "interrupt while done or error is set"),
            Bits("SOFT_RESET", 2, 1, "write 1: let the AXI ports finish, then reset all cores; reads 1 until done"),
        ),
    ),
    ControlRegister(
        "STATUS",
        0x014,
        "W1C",
        "state",
        (
            Bits("BUSY", 0, 1, "a program runs, or AXI transfers are still open after an error"),
            Bits("DONE", 1, 1, "the program has ended; write 1 to clear"),
            Bits("ERROR", 2, 1, "see ERROR; nothing is issued any more; only a soft reset clears it"),
            Bits("ABANDONED", 3, 1, "a reset gave up waiting for open AXI transfers; write 1 to clear"),
        ),
    ),
    ControlRegister(
        "ERROR",
        0x018,
        "RO",
        "the first error",
        (
            Bits("CODE", 0, 8, "error code"),
            Bits("CORE", 8, 8, "core"),
            Bits("CLASS", 16, 4, "instruction class, 15: none"),
        ),
    ),
    ControlRegister("ERROR_DETAIL", 0x01C, "RO", "more about the first error, by its code"),
    ControlRegister("CYCLES_LOW", 0x020, "RO", "cycles from start to the last DONE, low word"),
    ControlRegister("CYCLES_HIGH", 0x024, "RO", "cycles from start to the last DONE, high word"),
)
"""Registers that exist once."""


class CoreRegister(IntEnum):
    """Offsets in a core's block of registers; per-class counters take six words, in the order of Opcode."""

    PROGRAM_BASE_LOW = 0x00
    PROGRAM_BASE_HIGH = 0x04
    STATE = 0x08
    FETCHED = 0x0C
    RETIRED = 0x10
    BUSY = 0x28
    TOKEN_WAIT = 0x40
    ARRAY_ACTIVE = 0x58
    RING_EMPTY = 0x5C
    RING_FULL = 0x60
    DRAIN_STALL = 0x64
    READ_BEATS = 0x68
    WRITE_BEATS = 0x6C
    INSTRUCTION_BEATS = 0x70
    MEETING_WAIT = 0x74


_CORE_DOCS: dict[CoreRegister, tuple[Access, str]] = {
    CoreRegister.PROGRAM_BASE_LOW: ("RW", "byte address of the program in instruction memory, a multiple of 64"),
    CoreRegister.PROGRAM_BASE_HIGH: ("RW", "address bits 39..32"),
    CoreRegister.STATE: ("RO", "classes with queued work [5:0], in flight [13:8], waiting for tokens [21:16]"),
    CoreRegister.FETCHED: ("RO", "instructions dispatched since start"),
    CoreRegister.RETIRED: ("RO", "instructions retired"),
    CoreRegister.BUSY: ("RO", "cycles with an instruction in flight"),
    CoreRegister.TOKEN_WAIT: ("RO", "cycles in which the next instruction lacked a token"),
    CoreRegister.ARRAY_ACTIVE: ("RO", "cycles in which the DSP chains took a step"),
    CoreRegister.RING_EMPTY: ("RO", "cycles in which the matrix engine waited for a ring"),
    CoreRegister.RING_FULL: ("RO", "cycles in which LD waited for a ring"),
    CoreRegister.DRAIN_STALL: ("RO", "cycles in which the matrix engine waited for its drain"),
    CoreRegister.READ_BEATS: ("RO", "beats read from data memory, all channels of the core"),
    CoreRegister.WRITE_BEATS: ("RO", "beats written to data memory, all channels of the core"),
    CoreRegister.INSTRUCTION_BEATS: ("RO", "128-bit beats read from instruction memory"),
    CoreRegister.MEETING_WAIT: ("RO", "cycles in which SYS waited for other cores"),
}

PER_CLASS = (CoreRegister.RETIRED, CoreRegister.BUSY, CoreRegister.TOKEN_WAIT)
"""Counters that exist for each of the six classes."""

MAX_CORES = ((1 << ADDRESS_BITS) - CORE_BASE) // CORE_STRIDE
"""Cores whose registers fit the window."""


def global_register(name: str) -> ControlRegister:
    """The register called `name` among those that exist once; KeyError otherwise."""
    return {item.name: item for item in GLOBAL_REGISTERS}[name]


def runtime_register_address(register: int) -> int:
    """Byte address of R_i."""
    return REGISTER_BASE + 4 * int(register)


def core_address(core: int, register: CoreRegister, opcode: Opcode | None = None) -> int:
    """Byte address of a core's register; `opcode` selects one of a per-class group."""
    if (register in PER_CLASS) != (opcode is not None):
        raise ValueError(f"{register.name} is {'' if register in PER_CLASS else 'not '}a per-class register")
    return CORE_BASE + CORE_STRIDE * core + int(register) + (4 * int(opcode) if opcode is not None else 0)


def registers(config: AcceleratorConfig) -> Iterator[ControlRegister]:
    """Every register of the configuration, in order of address; ConfigError when the cores do not fit the window."""
    if config.cores > MAX_CORES:
        raise ConfigError(
            f"accelerator configuration {config.name!r}: the control window of {1 << ADDRESS_BITS} bytes holds"
            f" {MAX_CORES} cores, found cores {config.cores}"
        )
    yield from GLOBAL_REGISTERS
    for index in range(1, REGISTERS):
        yield ControlRegister(
            f"R{index}", runtime_register_address(index), "RW", f"runtime register {register_name(index)}"
        )
    for core in range(config.cores):
        for register, (access, doc) in _CORE_DOCS.items():
            if register in PER_CLASS:
                for opcode in Opcode:
                    name = f"CORE{core}_{register.name}_{opcode.name}"
                    yield ControlRegister(name, core_address(core, register, opcode), access, doc)
            else:
                yield ControlRegister(f"CORE{core}_{register.name}", core_address(core, register), access, doc)


def describe_error(error: int, detail: int) -> str:
    """One sentence for the values of ERROR and ERROR_DETAIL."""
    code = error & 0xFF
    number = error >> 16 & 0xF
    unit = Opcode(number).name if number < len(Opcode) else "no class"
    name = ErrorCode(code).name if code in list(ErrorCode) else f"code {code}"
    return f"{name} on core {error >> 8 & 0xFF}, {unit}, detail {detail:#010x}"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.lower().split("_"))


def render_control_package(config: AcceleratorConfig) -> str:
    """`cosyn_control_pkg.sv`: addresses, bit positions and error codes for the RTL."""
    list(registers(config))  # refuses a configuration whose cores do not fit
    word = f"bit [{ADDRESS_BITS - 1}:0]"
    constants = [
        f"int AddressBits = {ADDRESS_BITS}",
        f"bit [31:0] Identity = 32'h{IDENTITY:08x}",
        f"bit [3:0] NoClass = 4'd{NO_CLASS}",
        f"int CoreBase = {CORE_BASE}",
        f"int CoreStride = {CORE_STRIDE}",
        f"int RegisterBase = {REGISTER_BASE}",
    ]
    for item in GLOBAL_REGISTERS:
        constants.append(f"{word} Addr{_camel(item.name)} = {ADDRESS_BITS}'h{item.address:03x}")
        for part in item.bits:
            constants.append(f"int {_camel(item.name)}{_camel(part.name)}Low = {part.low}")
            constants.append(f"int {_camel(item.name)}{_camel(part.name)}Bits = {part.width}")
    constants += [f"bit [7:0] Core{_camel(item.name)} = 8'h{int(item):02x}" for item in CoreRegister]
    constants += [f"bit [7:0] Error{_camel(item.name)} = 8'd{int(item)}" for item in ErrorCode]
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// Generated by cosyn for the configuration {config.name}: the control registers and error codes.",
        "package cosyn_control_pkg;",
        *(f"  localparam {text};" for text in constants),
        "endpackage",
    ]
    return "\n".join(lines) + "\n"


def render_control_table(config: AcceleratorConfig) -> str:
    """The register map and the error codes as Markdown tables."""
    rows = ["| address | register | access | what it holds |", "|---|---|---|---|"]
    for item in registers(config):
        parts = "".join(
            f"; [{part.low + part.width - 1}:{part.low}] {part.name}: {part.doc}"
            if part.width > 1
            else f"; [{part.low}] {part.name}: {part.doc}"
            for part in item.bits
        )
        rows.append(f"| 0x{item.address:03X} | {item.name} | {item.access} | {item.doc}{parts} |")
    rows += ["", "| code | error | meaning |", "|---|---|---|"]
    rows += [f"| {int(code)} | {code.name} | {ERROR_DOCS[code]} |" for code in ErrorCode]
    return "\n".join(rows) + "\n"
