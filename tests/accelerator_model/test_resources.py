"""Resources by block, the rules by which memories map, and what a refusal says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cosyn.accelerator_model.memory_use import block_rams, fifo, ram, ultra_rams
from cosyn.accelerator_model.presets import config_from, load_config, preset_names
from cosyn.accelerator_model.resources import (
    RESOURCES,
    Use,
    as_table,
    modules,
    resources,
    shortages,
    smallest_change,
)
from cosyn.targets.fpga_device import load_fpga_device

MEASURED = json.loads((Path(__file__).parents[2] / "docs/measurements/synthesis.json").read_text(encoding="utf-8"))
"""What synthesis counted, by configuration (docs/synthesis.md)."""


def available(name: str) -> dict[str, float]:
    return {n: f.value for n, f in load_fpga_device(name).resources.items()}


@pytest.mark.parametrize(
    ("width", "depth", "rams"),
    [(72, 512, 1), (36, 512, 0.5), (36, 1024, 1), (18, 1024, 0.5), (512, 512, 7.5), (1, 16384, 0.5), (9, 4096, 1)],
)
def test_block_rams(width: int, depth: int, rams: float) -> None:
    assert block_rams(width, depth) == rams


@pytest.mark.parametrize(
    ("width", "depth", "part", "rams"),
    [(1024, 512, 128, 15), (1024, 300, 32, 16), (64, 1024, 32, 2), (256, 512, 32, 4)],
)
def test_block_rams_written_in_parts(width: int, depth: int, part: int, rams: float) -> None:
    """As yosys maps `cosyn_ram_1r1w` with write enables."""
    assert block_rams(width, depth, part) == rams


def test_memories_behind_each_other_need_a_choice() -> None:
    assert ram(256, 2048, ultra=True) == Use(ff=256, uram=4)
    assert ram(64, 8192, ultra=True).lut > 64
    assert ram(64, 8192, ultra=True).ff == 65


def test_a_queue_of_a_few_bits_is_made_of_registers() -> None:
    assert fifo(6, 2).ff == 6 * 2 + 5
    assert fifo(6, 16).ff == 17


@pytest.mark.parametrize(
    ("width", "depth", "rams"), [(72, 4096, 1), (73, 4096, 2), (144, 16384, 8), (8192, 4096, 114), (512, 8192, 15)]
)
def test_ultra_rams(width: int, depth: int, rams: int) -> None:
    assert ultra_rams(width, depth) == rams


def test_the_array_takes_one_dsp_for_two_products() -> None:
    config = load_config("u280")
    assert resources(config).core["chains"].dsp == 16 * 64
    four = replace(config, token_replicas=4)
    assert resources(four).core["chains"].dsp == 4 * 16 * 64


def test_without_sparsity_there_is_no_multiplexer() -> None:
    dense = replace(load_config("tiny"), kept=())
    assert "sparse multiplexers" not in resources(dense).core


def test_the_table_ends_with_the_total() -> None:
    config = load_config("odd")
    *blocks, (name, total) = as_table(config)
    assert name == "total"
    core = sum((use for key, use in blocks if key in resources(config).core), Use())
    once = sum((use for key, use in blocks if key not in resources(config).core), Use())
    assert total == core.times(config.cores) + once


def test_modules_add_up_to_the_total() -> None:
    config = load_config("odd")
    assert sum(modules(config).values(), Use()) == resources(config).total


@pytest.mark.parametrize("name", MEASURED)
def test_what_synthesis_counted(name: str) -> None:
    """DSPs and memories exactly, look-up tables and flip-flops within a tenth."""
    counted, modelled = MEASURED[name]["total"], resources(config_from(MEASURED[name]["configuration"], name)).total
    assert {n: getattr(modelled, n) for n in ("dsp", "bram36", "uram")} == {
        n: counted[n] for n in ("dsp", "bram36", "uram")
    }
    assert modelled.lut == pytest.approx(counted["lut"], rel=0.1)
    assert modelled.ff == pytest.approx(counted["ff"], rel=0.1)


def test_at_least_five_configurations_are_measured() -> None:
    configs = [config_from(entry["configuration"], name) for name, entry in MEASURED.items()]
    assert len(configs) >= 5
    for field in ("cores", "lanes", "chain_length", "token_replicas", "channels_per_core", "kept"):
        assert len({getattr(config, field) for config in configs}) > 1, f"all have the same {field}"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_fits_its_device(name: str) -> None:
    config = load_config(name)
    assert shortages(config, available(config.device)) == ()


def test_a_shortage_names_the_resource_and_by_how_much() -> None:
    config = load_config("u280")
    (uram,) = [s for s in shortages(replace(config, vector_lines=65536), available("u280")) if s.resource == "uram"]
    assert str(uram).startswith("uram ")
    assert f"{uram.needed - uram.available:,.0f} too many" in str(uram)


def test_the_smallest_change_that_fits() -> None:
    room = available("u280")
    large = replace(load_config("u280"), vector_lines=65536)
    change = smallest_change(large, room)
    assert change.startswith("vector_lines 65536 → ")
    smaller = replace(large, vector_lines=int(change.rpartition(" ")[2]))
    assert shortages(smaller, room) == ()


def test_no_single_change_may_be_enough() -> None:
    assert smallest_change(load_config("v80"), dict.fromkeys(RESOURCES, 1.0)) == ""
