"""Memory in pages of 2 MiB, for what every step reads from the first byte to the last.

A core that walks through pages of 4 KiB waits for a translation every 64 cache lines: on a Zen 4 one thread reads
24-27 GB/s of them and 31-32 GB/s of huge ones. Linux alone has them here; elsewhere memory is ordinary.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cosyn.runtime.host_cpu import usable_cores

PAGE_BYTES = 2 << 20
_PIECE_BYTES = 32 << 20
_POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")

Bytes = npt.NDArray[np.uint8]


def offered() -> bool:
    """Whether the system gives huge pages to a program that asks for them."""
    return hasattr(mmap, "MADV_HUGEPAGE") and _POLICY.exists() and "[never]" not in _read(_POLICY)


def worth_a_copy(nbytes: int) -> bool:
    """Whether `nbytes` of a file should be copied into huge pages without being asked to.

    They are then no longer shared with other processes, nor dropped when memory is short: only where they fill a huge
    page and take at most half of what is free.
    """
    return offered() and PAGE_BYTES <= nbytes <= available_bytes() // 2


def available_bytes() -> int:
    """Memory that a new program could use without swapping, within the limit of this control group."""
    free = next((int(line.split()[1]) << 10 for line in _read(_MEMORY).splitlines() if "MemAvailable" in line), 0)
    limit, used = _read(_GROUP / "memory.max").strip(), _read(_GROUP / "memory.current").strip()
    return min(free, max(0, int(limit) - int(used))) if limit.isdigit() and used.isdigit() else free


def zeros(nbytes: int) -> Bytes:
    """`nbytes` of zeros that begin at a huge page, in ordinary memory where there are none."""
    # Private: shared memory is a file to the system, which has huge pages under another, stricter policy.
    area = mmap.mmap(-1, nbytes + PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if offered():
        area.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(area, np.uint8)
    start = -whole.ctypes.data % PAGE_BYTES
    return whole[start : start + nbytes]


def read_file(path: Path) -> Bytes:
    """The bytes of a file in huge pages, read by several threads; EOFError for one that shrinks meanwhile."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = zeros(size)
        with ThreadPoolExecutor(max_workers=min(8, usable_cores())) as pool:
            list(pool.map(_reader(file.fileno(), content), range(0, size, _PIECE_BYTES)))
    return content


def _reader(descriptor: int, content: Bytes) -> Callable[[int], None]:
    def read(start: int) -> None:
        left = content.data[start : start + _PIECE_BYTES]
        while left:
            count = os.preadv(descriptor, [left], start)
            if not count:
                raise EOFError(f"the file ended at byte {start}, where {len(content)} bytes were expected")
            left, start = left[count:], start + count

    return read


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
