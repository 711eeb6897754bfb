"""The accelerator as a memory-mapped device: its memory, its instruction memory and its registers as files."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosyn.runtime.errors import HostError
from cosyn.runtime.fpga import registers
from cosyn.runtime.fpga.transport import Stripes


@dataclass(frozen=True, slots=True)
class Window:
    """A range of a device file, such as a PCIe BAR's resource file or /dev/mem."""

    path: Path
    offset: int
    size: int

    def map(self, dtype: type[np.generic]) -> np.memmap:
        """The range as an array. HostError where it cannot be opened."""
        try:
            return np.memmap(self.path, dtype, "r+", self.offset, (self.size // np.dtype(dtype).itemsize,))
        except (OSError, ValueError) as error:
            raise HostError(f"cannot map {self.path} at {self.offset:#x}: {error}", "check the device file") from error


class MmapTransport:
    """`data[core][channel]`: the windows of the memory channels; `programs[core]`; `control`: the AXI4-Lite window."""

    def __init__(
        self,
        control: Window,
        data: tuple[tuple[Window, ...], ...],
        programs: tuple[Window, ...],
        channel_bytes: int,
    ) -> None:
        self._control = control.map(np.uint32)
        self._programs = [window.map(np.uint8) for window in programs]
        self._data = [[channel.map(np.uint8).reshape(-1, channel_bytes) for channel in channels] for channels in data]

    def read_memory(self, core: int, stripe: int, count: int) -> Stripes:
        """See `Transport`."""
        return np.concatenate([channel[stripe : stripe + count] for channel in self._data[core]], axis=1)

    def write_memory(self, core: int, stripe: int, data: Stripes) -> None:
        """See `Transport`."""
        width = self._data[core][0].shape[1]
        for number, channel in enumerate(self._data[core]):
            channel[stripe : stripe + len(data)] = data[:, number * width : (number + 1) * width]

    def read_register(self, offset: int) -> int:
        """See `Transport`."""
        return int(self._control[offset // 4])

    def write_register(self, offset: int, value: int) -> None:
        """See `Transport`."""
        self._control[offset // 4] = value

    def load_program(self, core: int, address: int, data: bytes) -> None:
        """See `Transport`."""
        self._programs[core][address : address + len(data)] = np.frombuffer(data, np.uint8)

    def wait_done(self, timeout: float) -> None:
        """See `Transport`."""
        end = time.monotonic() + timeout
        while not self.read_register(registers.STATUS) & (registers.DONE | registers.FAILED):
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(1e-4)
