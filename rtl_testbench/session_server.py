"""Runs inside the simulation: carries out what RtlSession asks for, one line of JSON each way.

While it waits for a command, no simulated time passes; while the accelerator works, no Python runs.
"""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import HierarchyObject
from cocotb.triggers import FallingEdge, RisingEdge
from cocotb.utils import get_sim_time

from cosyn.rtl_testbench.session_names import SOCKET_VARIABLE

_UNKNOWN = str.maketrans("XZUW-", "00000")
_CHUNK_CYCLES = 2_000_000
"""How long the accelerator runs before the server looks at the clock on the wall."""


class Server:
    """The commands; each method that a message names takes its fields and returns something JSON can hold."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.arrays = _ArrayMemories(dut) if os.environ["COSYN_RTL_SIMULATOR"] != "verilator" else None

    async def reset(self, cycles: int) -> None:
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 1
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await FallingEdge(self.dut.clk)

    async def access(self, address: int, value: int | None) -> int:
        """One AXI4-Lite read, or write of `value`; the data read. RuntimeError for an error response or none at all."""
        dut = self.dut
        await FallingEdge(dut.clk)
        dut.host_write.value = int(value is not None)
        dut.host_address.value = address
        dut.host_data.value = value or 0
        dut.host_go.value = 1
        await RisingEdge(dut.host_done_q)
        await FallingEdge(dut.clk)
        dut.host_go.value = 0
        if dut.host_response_q.value.to_unsigned():
            raise RuntimeError(f"the control port answered address {address:#x} with an error")
        return int(dut.host_read_q.value.to_unsigned()) if value is None else 0

    async def registers(self, accesses: list[list[int | None]]) -> list[int]:
        """Accesses [address, value or None] in order."""
        if self.arrays is not None:
            self.arrays.push()
        return [await self.access(int(address or 0), value) for address, value in accesses]

    async def wait(self, seconds: float, cycles: int) -> bool:
        """Until the interrupt rises; False after that many seconds of wall time or cycles of the clock."""
        dut = self.dut
        end, last = time.monotonic() + seconds, dut.cycle_q.value.to_unsigned() + cycles
        while not dut.interrupt.value:
            now = dut.cycle_q.value.to_unsigned()
            if time.monotonic() > end or now >= last:
                return False
            dut.limit.value = min(now + _CHUNK_CYCLES, last)
            await FallingEdge(dut.clk)
            if not dut.stop.value:
                await RisingEdge(dut.stop)
        await FallingEdge(dut.clk)
        if self.arrays is not None:
            self.arrays.pull()
        return True

    async def set(self, values: dict[str, int]) -> None:
        """Set signals of the simulation top: faults, pauses."""
        await FallingEdge(self.dut.clk)
        for name, value in values.items():
            getattr(self.dut, name).value = value

    async def deposit(self, path: str, flip: int) -> int:
        """Invert the bits `flip` of a signal by hierarchical name; the value before."""
        await FallingEdge(self.dut.clk)
        signal = self._find(path)
        before = int(signal.value)
        signal.value = before ^ flip
        return int(before)

    async def peek(self, path: str) -> int:
        return int(self._find(path).value)

    async def advance(self, cycles: int) -> float:
        """Let cycles pass; the simulated time in ns."""
        for _ in range(cycles):
            await FallingEdge(self.dut.clk)
        return float(get_sim_time("ns"))

    async def cpu_seconds(self) -> float:
        """Processor time of this process so far."""
        return time.process_time()

    def _find(self, path: str) -> Any:
        handle: Any = self.dut
        for part in path.split("."):
            name, _, index = part.partition("[")
            handle = getattr(handle, name)
            if index:
                handle = handle[int(index.rstrip("]"))]
        assert not isinstance(handle, HierarchyObject), f"{path} is a scope"
        return handle


class _ArrayMemories:
    """Icarus: the memories are arrays of the simulation; copies what changed from and to the host's files."""

    def __init__(self, dut: Any) -> None:
        self._parts: list[tuple[Any, np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.uint8]]]] = []
        folder, width = Path(os.environ["COSYN_RTL_FOLDER"]), int(os.environ["COSYN_RTL_WIDTH"])
        channels = int(os.environ["COSYN_RTL_CHANNELS"])
        for core in range(int(os.environ["COSYN_RTL_CORES"])):
            scope = dut.gen_core[core]
            data = np.memmap(folder / f"memory{2 * core}.bin", np.uint8, "r+").reshape(-1, channels, width)
            program = np.memmap(folder / f"memory{2 * core + 1}.bin", np.uint8, "r+").reshape(-1, 16)
            for channel in range(channels):
                self._parts.append((scope.gen_channel[channel].u_channel.store, data[:, channel], data[:, channel] + 1))
            self._parts.append((scope.u_program.store, program, program + 1))

    def push(self) -> None:
        for store, wanted, known in self._parts:
            for index in np.flatnonzero((wanted != known).any(axis=1)).tolist():
                store[index].value = int.from_bytes(wanted[index].tobytes(), "little")
                known[index] = wanted[index]

    def pull(self) -> None:
        for store, wanted, known in self._parts[:]:
            for index in range(len(known)):
                # Unknown bits become zeros: the retirement that wrote them has an unknown digest.
                bits = str(store[index].value).translate(_UNKNOWN)
                data = int(bits, 2).to_bytes(known.shape[1], "little")
                known[index] = np.frombuffer(data, np.uint8)
            wanted[:] = known


@cocotb.test
async def serve(dut: Any) -> None:
    """Answer commands until the host closes the connection."""
    server = Server(dut)
    with socket.socket(fileno=int(os.environ[SOCKET_VARIABLE])) as connection, connection.makefile("rw") as stream:
        for line in stream:
            message = json.loads(line)
            try:
                result = {"result": await getattr(server, message.pop("do"))(**message)}
            except (RuntimeError, AttributeError, ValueError, IndexError) as error:
                traceback.print_exc()  # to the session's log
                result = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(result) + "\n")
            stream.flush()
