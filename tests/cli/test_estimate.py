"""`cosyn estimate`: accelerators and processors from a configuration alone, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cosyn.accelerator_model.presets import config_mapping, load_config

CONFIG = Path(__file__).parents[2] / "examples" / "models" / "pydoc-llama" / "config.json"
KEYS = {"prefill_seconds", "decode_seconds_per_token", "energy_joules_per_token", "fits", "layers"}


def test_an_accelerator(cosyn) -> None:
    done = cosyn("estimate", CONFIG, "--target", "fpga:u280", "--context", "64", "--json", "--quiet")
    assert done.code == 0, done.err
    found = done.object
    assert set(found) >= KEYS
    assert found["fits"] is True
    assert [layer["name"] for layer in found["layers"]] == [*(f"layer {n}" for n in range(5)), "head"]
    total = sum(layer["seconds"] for layer in found["layers"])
    assert total == pytest.approx(found["decode_seconds_per_token"], rel=0.05)
    assert found["energy_joules_per_token"] == pytest.approx(sum(found["energy"].values()))
    assert {"dsp", "lut", "ff", "bram36", "uram"} == set(found["resources"])


def test_a_density_without_weights_is_spread_and_said(cosyn) -> None:
    words = ("estimate", CONFIG, "--target", "fpga:u280", "--context", "64", "--json", "--quiet", "--recipe")
    dense, mixed, half = (cosyn(*words, f"w8a8{end}").object for end in ("", "_mixed75", "_8of16"))
    seconds = [found["decode_seconds_per_token"] for found in (half, mixed, dense)]
    assert seconds == sorted(seconds)
    said = [any("as for normally distributed weights" in note for note in f["notes"]) for f in (half, mixed, dense)]
    assert said == [False, True, False]


def test_the_table_for_a_reader(cosyn) -> None:
    done = cosyn("estimate", CONFIG, "--target", "fpga:u280", "--quiet")
    assert done.code == 0, done.err
    assert "decode over 128 tokens: " in done.out
    assert "memory" in done.out
    assert "PART" in done.out
    assert "RESOURCE" in done.out
    assert "note: assumed, not sourced, for u280: int8_mac" in done.out


def test_a_configuration_in_a_file_that_does_not_fit(cosyn, tmp_path: Path) -> None:
    data = config_mapping(load_config("u280")) | {"name": "huge", "vector_lines": 65536}
    file = tmp_path / "huge.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    done = cosyn("estimate", CONFIG, "--target", file, "--json", "--quiet")
    assert done.code == 0, done.err
    found = done.object
    assert found["fits"] is False
    (problem,) = found["problems"]
    assert problem.startswith("huge does not fit u280: uram ")
    assert "smallest change that fits: vector_lines 65536 → " in problem


def test_a_model_that_does_not_fit_a_buffer(cosyn, tmp_path: Path) -> None:
    data = config_mapping(load_config("tiny")) | {"name": "narrow", "vector_lines": 512}
    file = tmp_path / "narrow.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    done = cosyn("estimate", CONFIG, "--target", file, "--json", "--quiet")
    (problem,) = done.object["problems"]
    assert "a step of 1 token does not fit narrow: the vector buffer has 512 lines" in problem
    assert "the smallest change that fits is vector_lines: " in problem


def test_a_gpu(cosyn) -> None:
    done = cosyn("estimate", CONFIG, "--target", "cuda:h200", "--recipe", "fp16", "--json", "--quiet")
    assert done.code == 0, done.err
    found = done.object
    assert set(found) >= KEYS
    assert [layer["name"] for layer in found["layers"]] == [*(f"layer {n}" for n in range(5)), "head"]
    assert found["energy_joules_per_token"] == pytest.approx(700 * found["decode_seconds_per_token"])
    assert all(layer["bound"] == "memory" for layer in found["layers"])


def test_this_cpu_is_measured(cosyn) -> None:
    done = cosyn("estimate", CONFIG, "--target", "cpu", "--recipe", "fp32", "--json", "--quiet")
    assert done.code == 0, done.err
    assert done.object["energy_joules_per_token"] is None
    assert any("measured now on " in note for note in done.object["notes"])


def refused(cosyn, *words: object) -> str:
    done = cosyn("estimate", CONFIG, *words)
    assert done.code == 2, done.err
    assert "internal fault" not in done.err
    error: str = done.err
    return error


def test_an_unknown_accelerator_lists_the_choices(cosyn) -> None:
    error = refused(cosyn, "--target", "fpga:u281")
    assert "unknown accelerator 'u281'; configurations: " in error
    assert "did you mean 'u280'?" in error


def test_an_unknown_target_lists_the_choices(cosyn) -> None:
    assert "unknown target 'cuda:h201'" in refused(cosyn, "--target", "cuda:h201")


def test_a_target_without_peaks(cosyn) -> None:
    error = refused(cosyn, "--target", "opencl_generic", "--recipe", "fp32", "--quiet")
    assert "opencl_generic states no peaks, so there is nothing to estimate from" in error
    assert "add peaks.compute and peaks.memory_bandwidth" in error


def test_more_tokens_than_the_model_has_positions(cosyn) -> None:
    error = refused(cosyn, "--target", "fpga:tiny", "--prompt-tokens", "400", "--new-tokens", "200", "--quiet")
    assert "600 tokens exceed the 512 positions that the model was made for" in error


def test_a_recipe_that_the_accelerator_cannot_store(cosyn) -> None:
    error = refused(cosyn, "--target", "fpga:tiny", "--recipe", "w4a16_g32", "--quiet")
    assert "use a recipe such as w8a8 or w4a8_g32" in error


def test_float_weights_on_an_accelerator(cosyn) -> None:
    error = refused(cosyn, "--target", "fpga:tiny", "--recipe", "fp32", "--quiet")
    assert "its weights are not quantized; use a recipe such as w8a8 or w4a8_g32" in error
