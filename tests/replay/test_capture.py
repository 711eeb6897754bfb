"""The capture sees what a schedule does, is the same every time, and asks for nothing that a machine may lack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cosyn.codegen.tvm import choice_table
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE
from scripts.replay.capture import capture, stable_names
from scripts.replay.compare import differences
from scripts.replay.examples import EXAMPLES, MODELS, Example, target_of
from scripts.replay.revisions import capture_tree

ROOT = Path(__file__).resolve().parents[2]
CPU = Example("small_llama", "w8a8", "x86-64-v4")
CHOSEN = (CPU, *(Example("small_llama", "w8a8", t) for t in ("cuda:h200", "opencl:generic", "fpga:tiny")))


@pytest.fixture(scope="module")
def once() -> dict[str, dict[str, str]]:
    return capture(CHOSEN)


def test_every_kind_of_target_is_captured_without_its_tools(
    once: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert differences(once, capture(CHOSEN)) == []
    assert all(len(parts) > 1 for parts in once.values())
    assert {"memory", "launches of decode", "code generator"} <= once[str(CPU)].keys()
    assert "program.c" in once["small_llama w8a8 opencl:generic"]


def test_a_changed_schedule_changes_its_kernels_alone(
    once: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = DEFAULT_KERNEL_CHOICE.with_values({"serial_bytes": 0})
    monkeypatch.setattr(choice_table, "DEFAULT_KERNEL_CHOICE", threads)
    found = differences(once, {**once, **capture((CPU,))})
    assert found
    assert {d.kind for d in found} == {"changed"}
    assert all("linear" in d.kernel and d.kernel.startswith("decode") for d in found)
    assert "T.parallel" in found[0].after


def test_free_variables_are_numbered_as_they_appear() -> None:
    header = 'b_1 = TypeVar("b")\nb = TypeVar("b")\n'
    script = header + "def main(x: T.Buffer((b,), b=b_1), y: T.Buffer((b_1,))):\n    b_2 = b"
    stable = "def main(x: T.Buffer((free_0,), b=free_1), y: T.Buffer((free_1,))):\n    b_2 = free_0"
    assert stable_names(script) == stable
    assert stable_names(script.replace("b_1", "c")) == stable


def test_the_list_names_models_that_there_are_once_each() -> None:
    assert len({str(e) for e in EXAMPLES}) == len(EXAMPLES)
    assert {e.model for e in EXAMPLES} == MODELS.keys()
    kinds = {target_of(e.target).kind for e in EXAMPLES if not e.target.startswith("fpga:")}
    assert kinds == {"cpu", "cuda", "opencl"}


def test_a_tree_s_own_sources_are_captured() -> None:
    found = capture_tree(ROOT, ["small_llama"])
    assert found.keys() == {str(e) for e in EXAMPLES if e.model == "small_llama"}
