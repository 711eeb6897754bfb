"""The accelerator as a memory-mapped device: its memory, its instruction memory and its registers as files."""

from __future__ import annotations

import mmap
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosyn.runtime.errors import HostError
from cosyn.runtime.fpga import registers
from cosyn.runtime.fpga.transport import Stripes

_REGISTER_BYTES = 4
_POLL_SECONDS = 1e-4


@dataclass(frozen=True, slots=True)
class Window:
    """A range of a device file, such as a PCIe BAR's resource file or /dev/mem."""

    path: Path
    offset: int
    size: int

    def map(self) -> NDArray[np.uint8]:
        """The range as bytes, shared with the device. HostError where the file does not open or lacks the range."""
        before = self.offset % mmap.ALLOCATIONGRANULARITY
        try:
            # O_SYNC: physical memory is not to be cached.
            handle = os.open(self.path, os.O_RDWR | os.O_SYNC)
            try:
                found = mmap.mmap(handle, before + self.size, offset=self.offset - before)
            finally:
                os.close(handle)
        except (OSError, ValueError, OverflowError) as error:
            raise HostError(
                f"cannot map {self.size} bytes of {self.path} at {self.offset:#x}: {error}",
                "check the device file, and the range that the accelerator has in it",
            ) from error
        return np.frombuffer(found, np.uint8)[before:]


class MmapTransport:
    """`data[core][channel]`: the windows of the memory channels; `programs[core]`; `control`: the AXI4-Lite window."""

    def __init__(
        self,
        control: Window,
        data: tuple[tuple[Window, ...], ...],
        programs: tuple[Window, ...],
        channel_bytes: int,
    ) -> None:
        """HostError for a window that cannot be mapped, or that holds no whole beats or registers."""
        for window, unit in ((control, _REGISTER_BYTES), *((w, channel_bytes) for core in data for w in core)):
            if window.size % unit or window.size <= 0:
                raise HostError(
                    f"the window at {window.offset:#x} of {window.path} has {window.size} bytes,"
                    f" expected a multiple of {unit}",
                    "give the size that the device's address map names",
                )
        self._control = control.map().view(np.uint32)
        self._programs = [window.map() for window in programs]
        self._data = [[channel.map().reshape(-1, channel_bytes) for channel in channels] for channels in data]

    def read_memory(self, core: int, stripe: int, count: int) -> Stripes:
        """See `Transport`."""
        self._check_stripes(core, stripe, count)
        return np.concatenate([channel[stripe : stripe + count] for channel in self._data[core]], axis=1)

    def write_memory(self, core: int, stripe: int, data: Stripes) -> None:
        """See `Transport`."""
        self._check_stripes(core, stripe, len(data))
        width = self._data[core][0].shape[1]
        if data.shape[1] != width * len(self._data[core]):
            raise HostError(
                f"core {core}: stripes of {data.shape[1]} bytes, the device's have {width * len(self._data[core])}",
                "give the windows of all of the core's channels, and their width",
            )
        for number, channel in enumerate(self._data[core]):
            channel[stripe : stripe + len(data)] = data[:, number * width : (number + 1) * width]

    def read_register(self, offset: int) -> int:
        """See `Transport`."""
        return int(self._control[self._register(offset)])

    def write_register(self, offset: int, value: int) -> None:
        """See `Transport`."""
        self._control[self._register(offset)] = value

    def load_program(self, core: int, address: int, data: bytes) -> None:
        """See `Transport`."""
        window = self._programs[core]
        if address < 0 or address + len(data) > len(window):
            raise HostError(
                f"core {core}: a program of {len(data)} bytes at {address:#x} does not fit its instruction memory of"
                f" {len(window)} bytes",
                "give a larger window, or compile the model for fewer step sizes",
            )
        window[address : address + len(data)] = np.frombuffer(data, np.uint8)

    def wait_done(self, timeout: float) -> None:
        """See `Transport`."""
        end = time.monotonic() + timeout
        while not self.read_register(registers.STATUS) & (registers.DONE | registers.FAILED):
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(_POLL_SECONDS)

    def _check_stripes(self, core: int, stripe: int, count: int) -> None:
        held = min(len(channel) for channel in self._data[core])
        if stripe < 0 or count < 0 or stripe + count > held:
            raise HostError(
                f"core {core} has {held} stripes, stripes {stripe} to {stripe + count} were asked for",
                "give windows as large as the memory that the artifact names",
            )

    def _register(self, offset: int) -> int:
        index, rest = divmod(offset, _REGISTER_BYTES)
        if rest or not 0 <= index < len(self._control):
            raise HostError(
                f"no register at {offset:#x}: the control window has {len(self._control) * _REGISTER_BYTES} bytes",
                "give the window that registers.md describes",
            )
        return index
