"""The memory behind a core's AXI channels, for benches of the load and store units: stripes in a numpy array."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from cocotb.types import LogicArray

from cosyn.rtl_testbench.models.pauses import Pause, never


def number(handle: Any, name: str) -> int:
    """The value of a port. An unknown bit of a handshake is an error; of what it announces it reads as 0."""
    value = handle.value
    if "valid" not in name and "ready" not in name:
        value = value.resolve("zeros")
    return int(value.to_unsigned() if isinstance(value, LogicArray) else value)


@dataclass
class _ReadChannel:
    bursts: deque[tuple[int, int, int]] = field(default_factory=deque)
    """Cycle from which its first beat may move, first stripe, beats."""
    beat: int = 0


@dataclass
class ReadMemory:
    """Answers the read channels of `dut` (packed vectors, one index per channel) a beat a cycle after `latency` cycles.

    Call `cycle()` once after every rising edge: it takes what was offered before the edge and drives what follows.
    """

    dut: Any
    channels: int
    channel_bytes: int
    stripes: npt.NDArray[np.uint8]
    latency: int = 4
    idle: Pause = never
    """Pauses R of one channel for a cycle."""
    slow: Pause = never
    """Pauses AR of one channel for a cycle."""
    fail: set[int] = field(default_factory=set)
    """Stripes whose read answers with SLVERR on channel 0."""
    fixed_beats: int = 0
    """Beats of every burst, for a port without ARLEN and RLAST."""
    now: int = 0
    beats: int = 0
    requests: list[tuple[int, int, int]] = field(default_factory=list)
    """Cycle, first stripe and beats of every burst of channel 0."""

    def __post_init__(self) -> None:
        self._channels = [_ReadChannel() for _ in range(self.channels)]
        self._rvalid = 0
        self._arready = 0
        self._rdata = 0
        for name in ("arready", "rvalid", "rresp", "rdata"):
            self._in(name).value = 0

    def _in(self, name: str) -> Any:
        return getattr(self.dut, f"{name}_i")

    def _out(self, name: str) -> int:
        return number(getattr(self.dut, f"{name}_o"), name)

    @property
    def open(self) -> int:
        """Bursts of channel 0 that have not been answered entirely."""
        return len(self._channels[0].bursts)

    def cycle(self) -> None:
        """One clock cycle of every channel."""
        arvalid, rready = self._out("arvalid"), self._out("rready")
        if arvalid & self._arready:
            addresses = self._out("araddr")
            lengths = 0 if self.fixed_beats else self._out("arlen")
            for index in range(self.channels):
                if (arvalid & self._arready) >> index & 1:
                    beats = self.fixed_beats or (lengths >> 8 * index & 255) + 1
                    self._accept(index, addresses >> 40 * index & (1 << 40) - 1, beats)
        for index, channel in enumerate(self._channels):
            if self._rvalid >> index & 1 and rready >> index & 1:
                self.beats += 1
                channel.beat += 1
                self._rvalid &= ~(1 << index)
                if channel.beat == channel.bursts[0][2]:
                    channel.bursts.popleft()
                    channel.beat = 0
        self._drive()
        self.now += 1

    def _accept(self, index: int, address: int, beats: int) -> None:
        size = self.channel_bytes
        assert address % size == 0, f"channel {index}: address {address:#x} is not a multiple of a beat"
        assert address // 4096 == (address + beats * size - 1) // 4096, f"channel {index}: {address:#x} crosses 4 KiB"
        first = address // size
        assert first + beats <= len(self.stripes), f"channel {index}: burst {first}+{beats} is outside the memory"
        self._channels[index].bursts.append((self.now + self.latency, first, beats))
        if index == 0:
            self.requests.append((self.now, first, beats))

    def _drive(self) -> None:
        size = self.channel_bytes
        data = self._rdata if self._rvalid else 0
        last = resp = 0
        for index, channel in enumerate(self._channels):
            if not channel.bursts:
                continue
            due, first, beats = channel.bursts[0]
            if not self._rvalid >> index & 1:
                if due > self.now or self.idle():
                    continue
                self._rvalid |= 1 << index
                part = self.stripes[first + channel.beat, index * size : (index + 1) * size].tobytes()
                data &= ~((1 << 8 * size) - 1 << 8 * size * index)
                data |= int.from_bytes(part, "little") << 8 * size * index
            last |= (channel.beat == beats - 1) << index
            if index == 0 and first + channel.beat in self.fail:
                resp |= 2
        self._in("rvalid").value = self._rvalid
        if self._rvalid:
            self._in("rdata").value = self._rdata = data
        if not self.fixed_beats:
            self._in("rlast").value = last
        self._in("rresp").value = resp
        self._arready = sum(1 << index for index in range(self.channels) if not self.slow())
        self._in("arready").value = self._arready


@dataclass
class WriteMemory:
    """Takes the write channels of `dut` into `stripes`; responses come `latency` cycles after the last beat."""

    dut: Any
    channels: int
    channel_bytes: int
    stripes: npt.NDArray[np.uint8]
    latency: int = 3
    idle: Pause = never
    """Pauses B of one channel for a cycle."""
    slow: Pause = never
    """Pauses AW or W of one channel for a cycle."""
    fail: set[int] = field(default_factory=set)
    """First stripes of bursts whose response is SLVERR."""
    now: int = 0
    beats: int = 0
    bursts: list[tuple[int, int, int]] = field(default_factory=list)
    """Cycle, first stripe and beats of every burst of channel 0."""

    def __post_init__(self) -> None:
        self._awready = self._wready = self._bvalid = 0
        self._requests: list[deque[tuple[int, int]]] = [deque() for _ in range(self.channels)]
        self._data: list[deque[tuple[int, int, int]]] = [deque() for _ in range(self.channels)]
        self._responses: list[deque[tuple[int, int]]] = [deque() for _ in range(self.channels)]
        for name in ("awready", "wready", "bvalid", "bresp"):
            getattr(self.dut, f"{name}_i").value = 0

    def _out(self, name: str) -> int:
        return number(getattr(self.dut, f"{name}_o"), name)

    def cycle(self) -> None:
        """One clock cycle of every channel."""
        size = self.channel_bytes
        aw, w, b = self._out("awvalid") & self._awready, self._out("wvalid") & self._wready, self._out("bready")
        if aw:
            addresses, lengths = self._out("awaddr"), self._out("awlen")
        if w:
            data, strobes, lasts = self._out("wdata"), self._out("wstrb"), self._out("wlast")
        for index in range(self.channels):
            if aw >> index & 1:
                address, beats = addresses >> 40 * index & (1 << 40) - 1, (lengths >> 8 * index & 255) + 1
                assert address % size == 0
                assert address // 4096 == (address + beats * size - 1) // 4096
                self._requests[index].append((address // size, beats))
                if index == 0:
                    self.bursts.append((self.now, address // size, beats))
            if w >> index & 1:
                beat = data >> 8 * size * index & (1 << 8 * size) - 1
                self._data[index].append((beat, strobes >> size * index & (1 << size) - 1, lasts >> index & 1))
                self.beats += 1
            if self._bvalid >> index & 1 and b >> index & 1:
                self._responses[index].popleft()
                self._bvalid &= ~(1 << index)
            self._complete(index)
        self._drive()
        self.now += 1

    def _complete(self, index: int) -> None:
        size = self.channel_bytes
        while self._requests[index] and len(self._data[index]) >= self._requests[index][0][1]:
            first, beats = self._requests[index].popleft()
            for stripe in range(first, first + beats):
                value, strobes, last = self._data[index].popleft()
                assert last == (stripe == first + beats - 1), f"channel {index}: WLAST at the wrong beat of {first}"
                row = self.stripes[stripe, index * size : (index + 1) * size]
                for place in range(size):
                    if strobes >> place & 1:
                        row[place] = value >> 8 * place & 255
            self._responses[index].append((self.now + self.latency, first))

    def _drive(self) -> None:
        resp = 0
        for index, responses in enumerate(self._responses):
            if not responses:
                continue
            if not self._bvalid >> index & 1 and responses[0][0] <= self.now and not self.idle():
                self._bvalid |= 1 << index
            if responses[0][1] in self.fail:
                resp |= 2 << 2 * index
        self.dut.bvalid_i.value = self._bvalid
        self.dut.bresp_i.value = resp
        self._awready = sum(1 << index for index in range(self.channels) if not self.slow())
        self._wready = sum(1 << index for index in range(self.channels) if not self.slow())
        self.dut.awready_i.value = self._awready
        self.dut.wready_i.value = self._wready
