"""An accelerator in RTL simulation that stays up, and the host's transport to it."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TextIO

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.control import CoreRegister, core_address, global_register
from cosyn.accelerator_model.isa.opcode import Opcode
from cosyn.rtl_testbench.build import Design, build
from cosyn.rtl_testbench.errors import SessionError, SessionTimeout
from cosyn.rtl_testbench.session_names import SOCKET_VARIABLE, VISIBLE, WINDOW
from cosyn.rtl_testbench.toolchain import Simulator

Bytes = npt.NDArray[np.uint8]

PROGRAM_BYTES = 1 << 26
"""Size of a core's instruction memory."""

DATA_BYTES = 1 << 33
"""Size of a core's memory unless the session is told; the file is sparse."""

_ICARUS_DATA_BYTES, _ICARUS_PROGRAM_BYTES = 1 << 19, 1 << 18
_UNKNOWN_DIGEST = -1
"""Of a retirement that wrote an unknown bit (Icarus)."""
_TRACE_RECORDS = 1 << 24
_TRACE_HEADER = 16
_CONTROL, _STATUS = global_register("CONTROL"), global_register("STATUS")
_INTERRUPT_ENABLE = 1 << _CONTROL.field("INTERRUPT_ENABLE").low

WAVES_FILE = "waves.fst"
_CRASHED_FILE = "crashed"
"""Tells `_end`, which must not hold the session, to keep the log."""
_TAIL_LINES = 30
_START_SECONDS = 300.0
"""A simulation that has not answered its first command by then is given up."""
_END_SECONDS = 30.0


class RtlRetirement(NamedTuple):
    """An instruction that ended in cycle `cycle` since reset; instructions of a core and class end in program order."""

    core: int
    opcode: Opcode
    digest: int
    cycle: int


class RtlSession:
    """The accelerator of `config` in a simulator: a `runtime.fpga.transport.Transport`, and its trace and faults.

    Memory is a file that this process and the simulation both map, so reading and writing it costs nothing
    (Verilator; Icarus copies). Time passes only inside `wait_done` and, a few cycles, register accesses.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        simulator: Simulator = "verilator",
        *,
        data_bytes: int | None = None,
        window: bool = False,
        visible: Sequence[str] = (),
        folders: Sequence[Path] = (),
        trace_writes: bool = False,
        memory_files: Sequence[Path] = (),
    ) -> None:
        """Build the simulation (or find it built) and start it. ToolError, BuildError, SessionError.

        With `window` it can record waves (`record_from`), with `trace_writes` every write to a buffer (Verilator).
        `visible` names modules that faults may reach into; modules are sought in `folders` before rtl/. `memory_files`
        holds the cores' memories, one file each, which are changed in place and stay; new and empty ones by default.
        """
        small = simulator == "icarus"
        design = Design(
            "cosyn_tb",
            config,
            simulator,
            folders=tuple(folder.resolve() for folder in folders),
            visible=tuple(visible),
            shown=(*VISIBLE, WINDOW) if window else VISIBLE,
            timing=True,
            waves=window,
            defines=("COSYN_WRITES",) * trace_writes + ("COSYN_WINDOW",) * window,
        )
        built = build(design)
        self.config = config
        self.folder = Path(tempfile.mkdtemp(prefix="cosyn-rtl-"))
        self._writes: list[tuple[int, int]] = []
        self._memory: list[Bytes] = []
        self._program: list[Bytes] = []
        data_bytes = data_bytes or (_ICARUS_DATA_BYTES if small else DATA_BYTES)
        data_bytes -= data_bytes % config.stripe_bytes
        for core in range(config.cores):
            name = f"memory{2 * core}.bin"
            if memory_files:
                (self.folder / name).symlink_to(memory_files[core].resolve())
                data: Bytes = np.memmap(memory_files[core], np.uint8, "r+")
            else:
                data = self._file(name, data_bytes)
            self._memory.append(data.reshape(-1, config.stripe_bytes))
            self._program.append(
                self._file(f"memory{2 * core + 1}.bin", _ICARUS_PROGRAM_BYTES if small else PROGRAM_BYTES)
            )
        self._trace = self._file("retirements.bin", _TRACE_HEADER + 16 * _TRACE_RECORDS)
        self._text_trace = self.folder / "retirements.txt" if small else None
        self._text_lines = 0

        ours, theirs = socket.socketpair()
        environment = built.environment("cosyn.rtl_testbench.session_server")
        environment.update(
            {
                SOCKET_VARIABLE: str(theirs.fileno()),
                "COSYN_RTL_FOLDER": str(self.folder),
                "COSYN_RTL_SIMULATOR": simulator,
                "COSYN_RTL_CORES": str(config.cores),
                "COSYN_RTL_CHANNELS": str(config.channels_per_core),
                "COSYN_RTL_WIDTH": str(config.channel_bytes),
                "COCOTB_RESULTS_FILE": str(self.folder / "results.xml"),
                "COCOTB_ANSI_OUTPUT": "0",
            }
        )
        self.log = self.folder / "simulation.log"
        with self.log.open("w", encoding="utf-8") as handle:
            self._process = subprocess.Popen(
                # Without the options that would record from the first cycle: cosyn_tb starts when it is told.
                built.command()[:1] if window else built.command(),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
            )
        theirs.close()
        self._socket = ours
        self._stream = ours.makefile("rw")
        self._end = weakref.finalize(self, _end, self._process, ours, self._stream, self.folder)
        ours.settimeout(_START_SECONDS)
        self._ask("reset", cycles=4)
        ours.settimeout(None)

    # -- transport --------------------------------------------------------------------------------------------------

    def write_memory(self, core: int, stripe: int, data: Bytes) -> None:
        """Write stripes uint8 [count, stripe_bytes] from `stripe` on."""
        self._window(core, stripe, len(data))[:] = data

    def read_memory(self, core: int, stripe: int, count: int) -> Bytes:
        """A copy of `count` stripes, uint8 [count, stripe_bytes]."""
        return self._window(core, stripe, count).copy()

    def load_program(self, core: int, address: int, data: bytes) -> None:
        """Write instructions to a core's instruction memory from byte `address` on."""
        memory = self._program[core]
        if address + len(data) > memory.size:
            raise SessionError(
                f"the program memory of core {core} has {memory.size} bytes, the program needs {address + len(data)}"
            )
        memory[address : address + len(data)] = np.frombuffer(data, np.uint8)

    def write_register(self, offset: int, value: int) -> None:
        """Write a 32-bit control register (kept until the next read or wait)."""
        self._writes.append((offset, value & 0xFFFFFFFF))

    def read_register(self, offset: int) -> int:
        """Read a 32-bit control register."""
        return self.read_registers([offset])[0]

    def read_registers(self, offsets: Sequence[int]) -> list[int]:
        """Several control registers in one exchange with the simulation."""
        accesses = [*self._flush(), *([offset, None] for offset in offsets)]
        found = self._ask("registers", accesses=accesses)
        return [int(value) for value in found[len(found) - len(offsets) :]]

    def wait_done(self, timeout: float, cycles: int = 1 << 62) -> None:
        """Return when the accelerator is done or in error; SessionTimeout after that many seconds or cycles."""
        self.write_register(_CONTROL.address, _INTERRUPT_ENABLE)
        self._ask("registers", accesses=self._flush())
        if not self._ask("wait", seconds=timeout, cycles=cycles):
            status = self.read_register(_STATUS.address)
            raise SessionTimeout(
                f"the accelerator is still busy (status {status:#x}) after {timeout} s or {cycles} cycles;"
                f" {self._state()}"
            )

    def close(self) -> None:
        """End the simulation and remove its memories; waves, and the log of one that crashed, stay in `folder`."""
        self._end()

    def __enter__(self) -> RtlSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what a device does not offer ---------------------------------------------------------------------------------

    def cycles(self) -> int:
        """Cycles of the last program, from start to the last core's DONE."""
        low, high = self.read_registers([global_register(f"CYCLES_{part}").address for part in ("LOW", "HIGH")])
        return low | high << 32

    def memory(self, core: int) -> Bytes:
        """A core's memory itself [stripes, stripe_bytes]."""
        return self._memory[core]

    def take_retirements(self) -> list[RtlRetirement]:
        """Retirements since the last call, in order."""
        if self._text_trace is not None:
            lines = self._text_trace.read_text().splitlines()
            new, self._text_lines = lines[self._text_lines :], len(lines)
            rows = [tuple(map(_number, line.split())) for line in new]
        else:
            count = int(self._trace[:8].view(np.uint64)[0])
            if count > _TRACE_RECORDS:
                raise SessionError(f"{count} retirements since the last look; the trace holds {_TRACE_RECORDS}")
            kind = np.dtype([("place", "<u4"), ("digest", "<u4"), ("cycle", "<u8")])
            rows = self._trace[_TRACE_HEADER : _TRACE_HEADER + 16 * count].view(kind).tolist()
            self._trace[:8].view(np.uint64)[0] = 0
        return [RtlRetirement(*_core_and_class(place), digest, cycle) for place, digest, cycle in rows]

    def latest_cycle(self) -> int:
        """Cycle of the latest retirement since the last look, also while a program runs (Verilator); 0 for none."""
        count = int(self._trace[:8].view(np.uint64)[0])
        if not 0 < count <= _TRACE_RECORDS:
            return 0
        end = _TRACE_HEADER + 16 * count
        return int(self._trace[end - 8 : end].view(np.uint64)[0])

    def counter(self, core: int, register: CoreRegister, opcode: Opcode | None = None) -> int:
        """A core's counter."""
        return self.read_register(core_address(core, register, opcode))

    def record_from(self, cycle: int) -> Path:
        """Start recording waves in that cycle since reset; the file, which is complete after `close`."""
        self._ask("set", values={WINDOW: cycle})
        return self.folder / WAVES_FILE

    def cpu_seconds(self) -> float:
        """Processor time that the simulation has taken so far."""
        return float(self._ask("cpu_seconds"))

    @property
    def process_id(self) -> int:
        """Of the simulation."""
        return self._process.pid

    def set(self, **signals: int) -> None:
        """Set fault and stress inputs of the simulation top: fail_read, freeze_writes, pause, … (see cosyn_tb.sv)."""
        self._ask("set", values=signals)

    def flip(self, path: str, bits: int) -> int:
        """Invert bits of a signal, by its path below cosyn_tb, in a module made `visible`; the value before."""
        return int(self._ask("deposit", path=path, flip=bits))

    def peek(self, path: str) -> int:
        """Value of a signal, by its path below cosyn_tb."""
        return int(self._ask("peek", path=path))

    def advance(self, cycles: int) -> None:
        """Let cycles pass."""
        self._ask("advance", cycles=cycles)

    def reset(self) -> None:
        """Hardware reset."""
        self._writes.clear()
        self._ask("reset", cycles=4)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _flush(self) -> list[list[int | None]]:
        accesses: list[list[int | None]] = [[offset, value] for offset, value in self._writes]
        self._writes.clear()
        return accesses

    def _window(self, core: int, stripe: int, count: int) -> Bytes:
        memory = self._memory[core]
        if stripe + count > len(memory):
            raise SessionError(
                f"core {core} has {len(memory)} stripes, stripes {stripe} to {stripe + count} were asked for;"
                " start the session with more data_bytes"
            )
        return memory[stripe : stripe + count]

    def _file(self, name: str, size: int) -> Bytes:
        path = self.folder / name
        with path.open("wb") as handle:
            handle.truncate(size)
        return np.memmap(path, np.uint8, "r+")

    def _state(self) -> str:
        """What each core waits for, from its STATE register."""
        states = self.read_registers([core_address(core, CoreRegister.STATE) for core in range(self.config.cores)])
        return "; ".join(
            f"core {core}: queued {_classes(state)}, in flight {_classes(state >> 8)},"
            f" lacking tokens {_classes(state >> 16)}"
            for core, state in enumerate(states)
        )

    def _ask(self, do: str, **fields: Any) -> Any:
        """One command to the simulation; SessionError with the end of its log when it has ended."""
        try:
            self._stream.write(json.dumps({"do": do, **fields}) + "\n")
            self._stream.flush()
            line = self._stream.readline()
        except TimeoutError:
            self._process.kill()
            raise SessionError(f"the simulation did not start within {_START_SECONDS:.0f} s{self._tail()}") from None
        except OSError:
            line = ""
        if not line:
            code = _wait(self._process)
            raise SessionError(f"the simulation ended with {code}{' at its start' * (do == 'reset')}{self._tail()}")
        answer: Mapping[str, Any] = json.loads(line)
        if "error" in answer:
            raise SessionError(str(answer["error"]))
        return answer["result"]

    def _tail(self) -> str:
        """The path of the log, and its end."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        (self.folder / _CRASHED_FILE).touch()
        return "; log: " + "\n".join([str(self.log), *text.splitlines()[-_TAIL_LINES:]])


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process that ends by itself, or is made to."""
    try:
        return process.wait(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _end(process: subprocess.Popen[bytes], connection: socket.socket, stream: TextIO, folder: Path) -> None:
    """End the simulation and remove its memories; also when the session is forgotten, and when Python ends."""
    # A command that a dead simulation never took is still in the buffer.
    with contextlib.suppress(OSError):
        stream.close()
    connection.close()
    _wait(process)
    waves, crashed = (folder / WAVES_FILE).exists(), (folder / _CRASHED_FILE).exists()
    if not waves and not crashed:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.suffix != ".fst" and path.suffix != ".log":
            path.unlink(missing_ok=True)


def _number(text: str) -> int:
    return _UNKNOWN_DIGEST if "x" in text.lower() else int(text)


def _core_and_class(place: int) -> tuple[int, Opcode]:
    """Core and class of an index into the retirement ports."""
    core, number = divmod(place, len(Opcode))
    return core, Opcode(number)


def _classes(bits: int) -> str:
    return "+".join(opcode.name for opcode in Opcode if bits >> opcode & 1) or "none"
