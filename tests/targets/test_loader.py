"""Target descriptions: the shipped ones are complete, and every way to get one wrong has its sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.targets import Target, TargetError, load_target, read_target, shipped_targets

GOOD = """\
name: board
kind: cuda
device: a board
arch: sm_80
status: experimental
peaks:
  compute:
    f16: {value: 312, unit: TFLOP/s, source: datasheet}
  memory_bandwidth: {value: 2, unit: TB/s, source: datasheet}
limits: {max_threads: 1024, source: guide}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "board.yaml"
    path.write_text(text)
    return path


def test_the_targets_that_ship() -> None:
    names = [
        "cpu",
        "cpu_aarch64",
        "cpu_aarch64_i8mm",
        "cpu_avx2",
        "cpu_avx_vnni",
        "cuda_a100",
        "cuda_h200",
        "opencl_generic",
    ]
    assert [t.name for t in shipped_targets()] == names


def test_names_and_aliases_are_unique() -> None:
    names = [n for t in shipped_targets() for n in (t.name, *t.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("target", shipped_targets(), ids=lambda t: t.name)
def test_every_number_has_a_source(target: Target) -> None:
    peaks = target.peaks
    others = (peaks.memory_bandwidth, peaks.memory_capacity, peaks.power)
    quantities = [*peaks.compute.values(), *(q for q in others if q is not None)]
    assert all(q.source and q.base > 0 for q in quantities)
    assert target.limits_source or target.kind == "cpu"


def test_the_h200_in_base_units() -> None:
    peaks = load_target("cuda:h200").peaks
    assert peaks.compute["bf16"].base == 989e12
    assert peaks.memory_bandwidth is not None
    assert peaks.memory_bandwidth.base == 4.8e12
    assert peaks.memory_capacity is not None
    assert peaks.memory_capacity.base == 141e9
    assert load_target("h200").limits.shared_memory_bytes == 227 * 1024


def test_an_own_file_is_a_path(tmp_path: Path) -> None:
    target = load_target(str(write(tmp_path, GOOD)))
    assert target.name == "board"
    assert target.limits.max_threads == 1024


def test_unknown_target_lists_choices_and_the_closest() -> None:
    with pytest.raises(TargetError) as caught:
        load_target("cuda:h20")
    assert str(caught.value) == (
        "unknown target 'cuda:h20'; targets: cpu, cpu_aarch64, cpu_aarch64_i8mm, cpu_avx2, cpu_avx_vnni, cuda_a100, "
        "cuda_h200, opencl_generic"
    )
    assert caught.value.hint.startswith("did you mean 'cuda:h200'?")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("device: a board\n", "", "missing device"),
        ("device:", "devise:", "devise: unknown key"),
        ("kind: cuda", "kind: cudaa", "kind: must be one of cpu, cuda, opencl, found 'cudaa'"),
        ("value: 312", "value: -1", "peaks.compute.f16.value: must be a positive number, found -1"),
        ("unit: TB/s", "unit: TFLOP/s",
         "peaks.memory_bandwidth.unit: must be one of GB/s, TB/s, found 'TFLOP/s'"),
        ("2, unit: TB/s, source: datasheet", "2, unit: TB/s", "missing peaks.memory_bandwidth.source"),
        ("max_threads: 1024", "max_threads: 0",
         "limits.max_threads: must be a whole number in 1..4096, found 0"),
        ("max_threads: 1024", "max_threads: many",
         "limits.max_threads: must be a whole number in 1..4096, found 'many'"),
        (", source: guide", "", "missing limits.source"),
        ("    f16:", "    f17:", "peaks.compute.f17: unknown key"),
        ("name: board", "name: board\nname: other", "key 'name' is given twice"),
        ("name: board", "name: [", "not valid YAML"),
        (GOOD, "just text", "the file: must be a mapping of keys to values, found 'just text'"),
        ("arch: sm_80", "arch: sm_80\naliases: x", "aliases: must be a list of texts, found 'x'"),
    ],
)  # fmt: skip
def test_a_wrong_file_names_key_value_and_rule(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(TargetError) as caught:
        read_target(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_key_names_the_closest(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("device:", "devise:"))
    with pytest.raises(TargetError) as caught:
        read_target(path)
    assert caught.value.hint.startswith("did you mean 'device'?")


def test_a_missing_file() -> None:
    with pytest.raises(TargetError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_target("nowhere.yaml")
