"""Every rule of an accelerator configuration, and how its YAML is refused."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from cosyn.accelerator_model.config import AcceleratorConfig, MemoryTiming
from cosyn.accelerator_model.errors import ConfigError
from cosyn.accelerator_model.isa import systemverilog
from cosyn.accelerator_model.isa.systemverilog import config_hash
from cosyn.accelerator_model.presets import config_from, config_mapping, load_config, preset_names

TINY = load_config("tiny")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cores": 0}, "accelerator configuration 'tiny': cores must be a positive integer, found 0"),
        ({"lanes": 1.5}, r"lanes must be a positive integer, found 1\.5"),
        ({"chain_length": 12}, "chain_length must be 8, 16 or 32, found 12"),
        ({"weight_bits": (4, 5)}, r"weight_bits must be some of 2, 3, 4, 8, found \[4, 5\]"),
        ({"weight_bits": ()}, r"weight_bits must be some of 2, 3, 4, 8, found \[\]"),
        ({"kept": (8, 16)}, r"kept must be some of 8, 4, 2 \(of 16\), found \[8, 16\]"),
        ({"channel_bytes": 24}, "channel_bytes must be 16, 32 or 64, found 24"),
        ({"channel_bytes": 16, "chain_length": 32}, "channel_bytes 16 must be a multiple of chain_length 32"),
        ({"ring_reads": 3}, "ring_reads must be 1, 2 or 4, found 3"),
        ({"chains": 5}, r"chain_length x chains must equal .* = 32 bytes \(one 4-bit step a cycle\), found 40"),
        ({"lanes": 6}, "lanes must be a power of two of at least 4, found 6"),
        ({"lanes": 2}, "lanes must be a power of two of at least 4, found 2"),
        ({"lanes": 16}, "2 x chains = 8 must be a multiple of lanes 16"),
        ({"lanes": 16}, "a stripe of 32 bytes must hold whole vector lines of 64 bytes"),
        ({"lanes": 16, "kept": ()}, "activation lines of 8 bytes must be a multiple of lanes 16"),
        ({"token_replicas": 3}, "token_replicas must be a power of two, found 3"),
        ({"burst_beats": 256}, "a burst may not exceed 256 beats or 4096 bytes, found 256 x 32"),
        ({"burst_beats": 24}, r"a burst of 768 bytes must divide 4096 \(AXI's boundary\)"),
        ({"memory": replace(TINY.memory, row_bytes=768)}, r"memory\.row_bytes 768 must hold whole bursts"),
    ],
)
def test_a_broken_rule_is_named(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        replace(TINY, **changes)  # type: ignore[arg-type]  # wrong on purpose


def test_all_broken_rules_are_listed() -> None:
    with pytest.raises(
        ConfigError, match=r"ring_reads must be .*; chain_length x chains must equal .*; token_replicas"
    ):
        replace(TINY, ring_reads=3, token_replicas=3)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_legal_and_named_after_its_file(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert config_from(config_mapping(config), "here") == config


def test_the_hash_tells_configurations_apart() -> None:
    assert config_hash(TINY) == config_hash(load_config("tiny"))
    assert len({config_hash(load_config(name)) for name in preset_names()}) == len(preset_names())
    assert config_hash(replace(TINY, queue_depth=5)) != config_hash(TINY)


def test_the_hash_tells_encodings_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config_hash(TINY)
    monkeypatch.setattr(systemverilog, "REGISTERS", 2 * systemverilog.REGISTERS)
    assert config_hash(TINY) != before


def test_sizes_follow_from_the_fields() -> None:
    assert (TINY.macs, TINY.tile_columns, TINY.stripe_bytes, TINY.word_bytes) == (64, 8, 32, 32)
    assert (TINY.line_bytes, TINY.stripe_lines, TINY.token_group, TINY.activation_line_bytes) == (16, 2, 2, 64)
    assert (TINY.window(16), TINY.window(8), TINY.window(2)) == (8, 16, 64)
    assert TINY.peak_bytes_per_second == 32 * 225_000_000


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data.pop("lanes"), r"missing lanes \(keys: name, device, "),
        (lambda data: data.update(colour="red"), r"unknown colour \(keys: "),
        (lambda data: data.update(weight_bits=4), "weight_bits must be a list, found 4"),
        (lambda data: data["memory"].update(row_bytes=-1), "memory: row_bytes must be a whole number of at least 0"),
        (lambda data: data["memory"].update(row_bytes=True), "memory: row_bytes must be .*, found True"),
        (lambda data: data.update(memory=3), "memory: expected a mapping with row_bytes, .*, found int"),
    ],
)
def test_a_wrong_file_names_the_key(tmp_path: Path, change, text: str) -> None:
    data = config_mapping(TINY)
    change(data)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ConfigError, match=text) as error:
        load_config(str(path))
    assert str(error.value).startswith(str(path))


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**config_mapping(TINY), "name": "mine", "queue_depth": 9}), encoding="utf-8")
    assert load_config(str(path)) == replace(TINY, name="mine", queue_depth=9)


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown accelerator 'tinny'; configurations: .*; did you mean 'tiny'\?"):
        load_config("tinny")
    with pytest.raises(ConfigError, match=r"cannot read the accelerator configuration .*none\.yaml: No such file"):
        load_config(str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml: not valid YAML"):
        load_config(str(tmp_path / "bad.yaml"))


def test_every_field_of_the_memory_is_in_the_record() -> None:
    assert {item.name for item in fields(MemoryTiming)} <= set(config_mapping(TINY)["memory"])  # type: ignore[call-overload]
    assert {item.name for item in fields(AcceleratorConfig)} == set(config_mapping(TINY))
