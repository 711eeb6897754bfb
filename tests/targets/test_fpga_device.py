"""Descriptions of FPGA boards: what ships, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cosyn.targets.errors import TargetError
from cosyn.targets.fpga_device import ENERGIES, RESOURCES, fpga_device_names, load_fpga_device, read_fpga_device

U280 = Path(__file__).parents[2] / "targets" / "fpga" / "u280.yaml"


def test_the_boards_that_ship() -> None:
    assert fpga_device_names() == ("kv260", "u280", "v80", "vhk158")
    for name in fpga_device_names():
        device = load_fpga_device(name)
        assert device.name == name
        assert set(device.resources) == set(RESOURCES)
        assert set(device.energy) == set(ENERGIES)
        assert all(len(fact.source) > 10 for fact in device.facts().values())


def test_numbers_are_in_base_units() -> None:
    device = load_fpga_device("u280")
    assert device.bandwidth.base == 460.8e9
    assert device.energy["memory_byte"].base == pytest.approx(31.4e-12)
    assert device.resources["dsp"].value == 9024
    assert device.price is not None
    assert device.price.value == 8000
    assert load_fpga_device("vhk158").price is None


def test_what_is_ours_says_so() -> None:
    facts = load_fpga_device("u280").facts()
    assert facts["energy int8_mac"].assumed
    assert not facts["memory bandwidth"].assumed


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(U280.read_text(encoding="utf-8").replace("name: u280", "name: mine"), encoding="utf-8")
    assert load_fpga_device(str(path)).name == "mine"


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(TargetError, match="unknown FPGA device 'u290'; devices: kv260, u280, v80, vhk158") as found:
        load_fpga_device("u290")
    assert "did you mean 'u280'?" in found.value.hint


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (("resources", "dsp", "value"), -1, r"resources\.dsp\.value: must be a positive number, found -1"),
        (("memory", "bandwidth", "unit"), "MB/s", r"memory\.bandwidth\.unit: must be GB/s, found 'MB/s'"),
        (("power", "source"), "", r"power\.source: must say where the number is from, found ''"),
        (("resources",), [], r"resources: must be a mapping with dsp, lut, ff, bram36, uram, found \[\]"),
        (("slrs", "kind"), 1, r"slrs: unknown kind"),
        (("energy", "static_power"), None, r"energy\.static_power: must be a mapping with value, unit, source"),
    ],
)
def test_what_is_refused(key: tuple[str, ...], value: object, message: str, tmp_path: Path) -> None:
    data = yaml.safe_load(U280.read_text(encoding="utf-8"))
    inner = data
    for part in key[:-1]:
        inner = inner[part]
    inner[key[-1]] = value
    path = tmp_path / "board.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(TargetError, match=message):
        read_fpga_device(path)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    data = yaml.safe_load(U280.read_text(encoding="utf-8"))
    del data["memory"], data["power"]
    path = tmp_path / "board.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(TargetError, match="missing memory, power"):
        read_fpga_device(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot be read: No such file or directory"):
        load_fpga_device(str(tmp_path / "none.yaml"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [", encoding="utf-8")
    with pytest.raises(TargetError, match="not valid YAML"):
        load_fpga_device(str(broken))
