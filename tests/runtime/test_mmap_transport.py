"""The accelerator as a memory-mapped device: a thread plays the device behind files that both sides map."""

from __future__ import annotations

import mmap
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cosyn.accelerator_engine import SimulatorTransport, artifact_config
from cosyn.cli import main
from cosyn.runtime.errors import HostError
from cosyn.runtime.fpga import registers
from cosyn.runtime.fpga.description import read_description
from cosyn.runtime.fpga.driver import FpgaExecutor
from cosyn.runtime.fpga.mmap_transport import MmapTransport, Window
from cosyn.runtime.loader import open_artifact
from tests.architectures import save_folder

PAGE = mmap.PAGESIZE
CONTROL_BYTES = 4096
BUSY = 1


def _file(path: Path, size: int) -> Path:
    with path.open("wb") as handle:
        handle.truncate(size)
    return path


class Device:
    """Files that hold registers, memories and programs as a board's address map does, and what a board does with them.

    All windows but the programs' lie in one file, at offsets that are no multiples of a page, as channels in a BAR may.
    """

    def __init__(self, folder: Path, inner: SimulatorTransport, stripes: tuple[int, ...]) -> None:
        config = inner.config
        self.inner, self.stripes = inner, stripes
        place = 256
        self.control = Window(folder / "bar", place, CONTROL_BYTES)
        place += CONTROL_BYTES
        data = []
        for count in stripes:
            channels = []
            for _ in range(config.channels_per_core):
                channels.append(Window(folder / "bar", place, count * config.channel_bytes))
                place += count * config.channel_bytes
            data.append(tuple(channels))
        self.data = tuple(data)
        _file(folder / "bar", place)
        self.programs = tuple(
            Window(_file(folder / f"program{core}", 1 << 20), 0, 1 << 20) for core in range(config.cores)
        )
        self._words = self.control.map().view(np.uint32)
        for offset in (registers.ID, registers.HASH_LOW, registers.HASH_HIGH):
            self._words[offset // 4] = inner.read_register(offset)
        self._doorbell: queue.Queue[bool] = queue.Queue()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.runs = 0

    def written(self, offset: int, before: int, value: int) -> None:
        """What the control port does with a write."""
        if offset == registers.STATUS:
            self._words[offset // 4] = before & ~value
        elif offset == registers.CONTROL and value & registers.START:
            self._words[registers.STATUS // 4] = BUSY
            self._doorbell.put(True)

    def close(self) -> None:
        self._doorbell.put(False)
        self._thread.join()

    def _serve(self) -> None:
        """Each run as the simulator does it, on the bytes in the files."""
        board = MmapTransport(self.control, self.data, self.programs, self.inner.config.channel_bytes)
        while self._doorbell.get():
            for core, count in enumerate(self.stripes):
                self.inner.write_memory(core, 0, board.read_memory(core, 0, count))
                self.inner.load_program(core, 0, self.programs[core].path.read_bytes())
            for offset in range(registers.CYCLES_HIGH + 4, CONTROL_BYTES, 4):
                self.inner.write_register(offset, board.read_register(offset))
            self.inner.write_register(registers.CONTROL, registers.START)
            for core, count in enumerate(self.stripes):
                board.write_memory(core, 0, self.inner.read_memory(core, 0, count))
            for offset in (registers.ERROR, registers.CYCLES_LOW, registers.CYCLES_HIGH, registers.STATUS):
                self._words[offset // 4] = self.inner.read_register(offset)
            self.inner.write_register(registers.STATUS, registers.DONE | registers.FAILED)
            self.runs += 1


class Link(MmapTransport):
    """The transport, on a bus whose device notices writes."""

    device: Device

    def write_register(self, offset: int, value: int) -> None:
        before = self.read_register(offset)
        super().write_register(offset, value)
        self.device.written(offset, before, value)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama for two cores of several channels each."""
    folder = tmp_path_factory.mktemp("mmap")
    save_folder("llama", folder / "model")
    words = ["compile", str(folder / "model"), "--target", "fpga:odd", "--recipe", "w8a8", "--max-seq", "32"]
    assert main([*words, "-o", str(folder / "out"), "--quiet"]) == 0
    return folder / "out"


@pytest.fixture
def link(artifact: Path, tmp_path: Path) -> Iterator[Link]:
    stripes = read_description(artifact).memory_stripes
    config = artifact_config(artifact)
    device = Device(tmp_path, SimulatorTransport(config, stripes, timing=True), stripes)
    opened = Link(device.control, device.data, device.programs, config.channel_bytes)
    opened.device = device
    yield opened
    device.close()


def _logits(executor: FpgaExecutor, tokens: list[int], position: int) -> np.ndarray:
    count = np.arange(len(tokens), dtype=np.int32)
    state = executor.allocate(1, 32)
    return executor.step(state, np.array(tokens, np.int32), position + count, count * 0, count[-1:])


def test_a_mapped_device_computes_what_the_simulator_computes(artifact: Path, link: Link) -> None:
    """An odd prompt of several steps, then two decoded tokens; done arrives while the host polls."""
    opened = open_artifact(artifact)
    mapped = FpgaExecutor(artifact, opened.manifest, link, timeout=60.0)
    config = artifact_config(artifact)
    plain = SimulatorTransport(config, read_description(artifact).memory_stripes, timing=True)
    direct = FpgaExecutor(artifact, opened.manifest, plain)
    position = 0
    for tokens in ([5, 9, 77, 3, 4, 100, 31], [8], [66]):
        found, expected = (_logits(executor, tokens, position) for executor in (mapped, direct))
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
        assert np.abs(found).max() > 0
        position += len(tokens)
    assert [tokens for tokens, _ in mapped.cycles] == [4, 2, 1, 1, 1]
    assert mapped.cycles == direct.cycles
    assert link.device.runs == 5


def test_an_error_of_the_device_reaches_the_host(artifact: Path, link: Link) -> None:
    executor = FpgaExecutor(artifact, open_artifact(artifact).manifest, link, timeout=60.0)
    image = link.read_memory(0, 0, read_description(artifact).memory_stripes[0])
    used = int(np.flatnonzero(image.any(axis=1))[-1])
    image[used, 7] ^= 1
    link.write_memory(0, used, image[used : used + 1])
    with pytest.raises(HostError, match="weights have another checksum than the program expects"):
        _logits(executor, [5], 0)


def test_a_device_that_never_ends(artifact: Path, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = FpgaExecutor(artifact, open_artifact(artifact).manifest, link, timeout=0.05)
    monkeypatch.setattr(link.device, "written", lambda offset, before, value: None)
    with pytest.raises(HostError, match="the accelerator did not answer within 0 s"):
        _logits(executor, [5], 0)


def test_a_device_of_another_kind(artifact: Path, link: Link) -> None:
    link.write_register(registers.ID, 0xFFFFFFFF)
    with pytest.raises(HostError, match=r"expected an accelerator of cosyn \(ID 0x434f5359\), found 0xffffffff"):
        FpgaExecutor(artifact, open_artifact(artifact).manifest, link)


# -- the mapping itself ---------------------------------------------------------------------------------------------


def _small(folder: Path, stripes: int = 7, channels: int = 3, width: int = 16) -> tuple[MmapTransport, Path]:
    """One core; channels lie one after another, 40 bytes apart, behind 12 bytes of something else."""
    size = stripes * width
    path = _file(folder / "memory", 12 + channels * (size + 40))
    data = tuple(Window(path, 12 + c * (size + 40), size) for c in range(channels))
    control, program = _file(folder / "control", 64), _file(folder / "program", 130)
    return MmapTransport(Window(control, 0, 64), (data,), (Window(program, 1, 129),), width), path


def test_stripes_are_beats_of_every_channel(tmp_path: Path) -> None:
    transport, path = _small(tmp_path)
    stripes = np.arange(7 * 48, dtype=np.uint8).reshape(7, 48)
    transport.write_memory(0, 0, stripes[:5])
    transport.write_memory(0, 5, stripes[5:])
    np.testing.assert_array_equal(transport.read_memory(0, 0, 7), stripes)
    np.testing.assert_array_equal(transport.read_memory(0, 3, 1), stripes[3:4])
    assert transport.read_memory(0, 7, 0).shape == (0, 48)
    data = path.read_bytes()
    for channel in range(3):
        start = 12 + channel * (7 * 16 + 40)
        assert data[start : start + 7 * 16] == stripes[:, channel * 16 : channel * 16 + 16].tobytes()
        assert data[start + 7 * 16 : start + 7 * 16 + 40] == bytes(40)


def test_registers_and_programs_are_bytes_of_their_windows(tmp_path: Path) -> None:
    transport, _ = _small(tmp_path)
    transport.write_register(60, 0xDEADBEEF)
    assert transport.read_register(60) == 0xDEADBEEF
    transport.load_program(0, 2, bytes(range(127)))
    assert (tmp_path / "control").read_bytes() == bytes(60) + bytes.fromhex("efbeadde")
    assert (tmp_path / "program").read_bytes() == bytes(3) + bytes(range(127))


def test_what_lies_beyond_a_window_is_refused(tmp_path: Path) -> None:
    transport, path = _small(tmp_path)
    before = path.read_bytes()
    with pytest.raises(HostError, match="core 0 has 7 stripes, stripes 6 to 8 were asked for"):
        transport.read_memory(0, 6, 2)
    with pytest.raises(HostError, match="core 0 has 7 stripes, stripes 7 to 8 were asked for"):
        transport.write_memory(0, 7, np.ones((1, 48), np.uint8))
    with pytest.raises(HostError, match="core 0: stripes of 32 bytes, the device's have 48"):
        transport.write_memory(0, 0, np.ones((1, 32), np.uint8))
    with pytest.raises(
        HostError, match="a program of 64 bytes at 0x42 does not fit its instruction memory of 129 bytes"
    ):
        transport.load_program(0, 66, bytes(64))
    for offset in (64, 2, -4):
        with pytest.raises(HostError, match=f"no register at {offset:#x}: the control window has 64 bytes"):
            transport.read_register(offset)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (("missing", 0, 64), r"cannot map 64 bytes of .*missing at 0x0: .*No such file"),
        (("control", 32, 64), r"cannot map 64 bytes of .*control at 0x20: mmap length is greater than file size"),
        (
            ("control", 2 * PAGE, 64),
            r"cannot map 64 bytes of .*control at 0x[1-9a-f]\w+: mmap length is greater than file size",
        ),
        (("control", -64, 64), "cannot map 64 bytes of .*control at -0x40"),
        (("control", 0, 62), r"the window at 0x0 of .*control has 62 bytes, expected a multiple of 4"),
        (("control", 0, 0), r"the window at 0x0 of .*control has 0 bytes, expected a multiple of 4"),
    ],
)
def test_a_window_that_is_not_there(tmp_path: Path, window: tuple[str, int, int], message: str) -> None:
    """The file keeps its size: a device's range does not grow because somebody asks for more."""
    _file(tmp_path / "control", 64)
    name, offset, size = window
    with pytest.raises(HostError, match=message):
        MmapTransport(Window(tmp_path / name, offset, size), (), (), 16)
    assert (tmp_path / "control").stat().st_size == 64


def test_a_channel_of_no_whole_beats(tmp_path: Path) -> None:
    _file(tmp_path / "memory", 100)
    _file(tmp_path / "control", 64)
    with pytest.raises(HostError, match=r"the window at 0x0 of .*memory has 100 bytes, expected a multiple of 16"):
        MmapTransport(Window(tmp_path / "control", 0, 64), ((Window(tmp_path / "memory", 0, 100),),), (), 16)
