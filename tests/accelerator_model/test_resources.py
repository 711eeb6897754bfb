"""Resources by block, the rules by which memories map, and what a refusal says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosyn.accelerator_model.presets import load_config, preset_names
from cosyn.accelerator_model.resources import (
    RESOURCES,
    Use,
    as_table,
    block_rams,
    resources,
    shortages,
    smallest_change,
    ultra_rams,
)
from cosyn.targets.fpga_device import load_fpga_device


def available(name: str) -> dict[str, float]:
    return {n: f.value for n, f in load_fpga_device(name).resources.items()}


@pytest.mark.parametrize(
    ("width", "depth", "rams"),
    [(72, 512, 1), (36, 512, 0.5), (36, 1024, 1), (18, 1024, 0.5), (512, 512, 7.5), (1, 16384, 0.5), (9, 4096, 1)],
)
def test_block_rams(width: int, depth: int, rams: float) -> None:
    assert block_rams(width, depth) == rams


@pytest.mark.parametrize(("width", "depth", "rams"), [(1024, 512, 15), (64, 1024, 2), (256, 512, 4)])
def test_block_rams_written_in_parts(width: int, depth: int, rams: float) -> None:
    """As yosys maps `cosyn_ram_1r1w` with write enables."""
    assert block_rams(width, depth, partial=True) == rams


@pytest.mark.parametrize(("width", "depth", "rams"), [(72, 4096, 1), (73, 4096, 2), (144, 16384, 8), (8192, 4096, 114)])
def test_ultra_rams(width: int, depth: int, rams: int) -> None:
    assert ultra_rams(width, depth) == rams


def test_the_array_takes_one_dsp_for_two_products() -> None:
    config = load_config("u280")
    assert resources(config).core["chains"].dsp == 16 * 64
    four = replace(config, token_replicas=4)
    assert resources(four).core["chains"].dsp == 4 * 16 * 64


def test_without_sparsity_there_is_no_multiplexer() -> None:
    dense = replace(load_config("tiny"), kept=())
    assert resources(dense).core["sparse multiplexers"] == Use()


def test_the_table_ends_with_the_total() -> None:
    config = load_config("odd")
    *blocks, (name, total) = as_table(config)
    assert name == "total"
    core = sum((use for key, use in blocks if key in resources(config).core), Use())
    once = sum((use for key, use in blocks if key not in resources(config).core), Use())
    assert total == core.times(config.cores) + once


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
