"""The control registers: one declaration, three renderings."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cosyn.accelerator_model import control
from cosyn.accelerator_model.control import CoreRegister, ErrorCode
from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.isa import Opcode, Register
from cosyn.accelerator_model.presets import load_config, preset_names


@pytest.mark.parametrize("preset", preset_names())
def test_addresses_are_words_apart_and_inside_the_window(preset: str) -> None:
    addresses = [item.address for item in control.registers(load_config(preset))]
    assert len(set(addresses)) == len(addresses)
    assert all(address % 4 == 0 and 0 <= address < 1 << control.ADDRESS_BITS for address in addresses)
    assert addresses == sorted(addresses)


@pytest.mark.parametrize("preset", preset_names())
def test_bits_do_not_overlap(preset: str) -> None:
    for item in control.registers(load_config(preset)):
        taken = 0
        for part in item.bits:
            mask = (1 << part.width) - 1 << part.low
            assert part.low + part.width <= 32, f"{item.name}.{part.name}"
            assert not taken & mask, f"{item.name}.{part.name}"
            taken |= mask


def test_addresses_by_hand() -> None:
    assert control.global_register("STATUS").address == 0x14
    assert control.runtime_register_address(Register.KEY_TILES) == 0x48
    assert control.core_address(0, CoreRegister.RETIRED, Opcode.LD) == 0x210
    assert control.core_address(1, CoreRegister.TOKEN_WAIT, Opcode.SYS) == 0x354
    assert control.core_address(2, CoreRegister.INSTRUCTION_BEATS) == 0x470


def test_a_per_class_register_needs_its_class() -> None:
    with pytest.raises(ValueError, match="RETIRED is a per-class register"):
        control.core_address(0, CoreRegister.RETIRED)
    with pytest.raises(ValueError, match="FETCHED is not a per-class register"):
        control.core_address(0, CoreRegister.FETCHED, Opcode.LD)


def test_too_many_cores() -> None:
    config = replace(load_config("tiny"), cores=control.MAX_CORES + 1)
    with pytest.raises(ConfigError, match=r"the control window of 4096 bytes holds 14 cores, found cores 15"):
        control.render_control_package(config)
    list(control.registers(replace(config, cores=control.MAX_CORES)))


def test_the_package_has_every_register_and_error() -> None:
    text = control.render_control_package(load_config("tiny"))
    assert text == control.render_control_package(load_config("tiny"))
    assert "localparam bit [11:0] AddrErrorDetail = 12'h01c;" in text
    assert "localparam bit [7:0] ErrorTokenCorrupt = 8'd6;" in text
    assert "localparam bit [7:0] CoreInstructionBeats = 8'h70;" in text
    assert len(re.findall(r"bit \[7:0\] Error\w+ = ", text)) == len(ErrorCode)


def test_the_table_documents_every_register() -> None:
    config = load_config("odd")
    text = control.render_control_table(config)
    for item in control.registers(config):
        assert f"| 0x{item.address:03X} | {item.name} |" in text
    for code in ErrorCode:
        assert f"| {int(code)} | {code.name} | " in text


def test_errors_in_words() -> None:
    error = ErrorCode.WATCHDOG | 2 << 8 | Opcode.MV << 16
    assert control.describe_error(error, 0x10) == "WATCHDOG on core 2, MV, detail 0x00000010"
    assert control.describe_error(ErrorCode.AXI_READ | control.NO_CLASS << 16, 5) == (
        "AXI_READ on core 0, no class, detail 0x00000005"
    )
    assert control.describe_error(200, 0).startswith("code 200 on core 0, LD")
