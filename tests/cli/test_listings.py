"""targets, recipes and doctor: the same facts for readers and for scripts."""

from __future__ import annotations

import pytest

from cosyn.machine import Check, tvm_ffi_complaint


def test_targets_table_and_object(cosyn) -> None:
    accelerators = ["kv260", "odd", "tiny", "u280", "u280-flightllm", "v80", "vhk158"]
    names = ["cpu", "cuda_a100", "cuda_h200", "opencl_generic", *(f"fpga:{name}" for name in accelerators)]
    assert [line.split()[0] for line in cosyn("targets").out.splitlines()] == ["NAME", *names]
    assert [t["name"] for t in cosyn("targets", "--json").object["targets"]] == names


def test_one_target_shows_numbers_with_sources(cosyn) -> None:
    bandwidth = cosyn("targets", "h200", "--json").object["peaks"]["memory bandwidth"]
    assert bandwidth["value"] == 4.8
    assert bandwidth["unit"] == "TB/s"
    assert "datasheet" in bandwidth["source"]
    assert "4.8 TB/s" in cosyn("targets", "h200").out


def test_recipes_table_and_object(cosyn) -> None:
    found = cosyn("recipes", "--json").object["recipes"]
    assert [r["name"] for r in found][:3] == ["fp32", "bf16", "fp16"]
    assert "4.5" in cosyn("recipes").out
    assert cosyn("recipes", "w4a16_g32_kv8", "--json").object["kv"] == "i8"


def test_doctor_names_what_it_checked(cosyn) -> None:
    done = cosyn("doctor", "--json")
    checks = {c["name"]: c for c in done.object["checks"]}
    assert checks["numpy"]["state"] == "ok"
    assert {"Python", "apache-tvm-ffi", "TVM's LLVM", "CPU", "g++", "nvcc", "OpenCL", "memory"} <= set(checks)
    assert done.code == (0 if done.object["ok"] else 1)


def test_doctor_says_what_a_missing_thing_disables(cosyn, monkeypatch) -> None:
    missing = Check("nvcc", "missing", "not on PATH", "--target cuda:…", "install the CUDA toolkit")
    monkeypatch.setattr("cosyn.commands.doctor.checks", lambda: [missing])
    done = cosyn("doctor")
    assert done.code == 0
    assert "nvcc: without it, no --target cuda:…; install the CUDA toolkit" in done.out


def test_doctor_fails_where_something_required_is_broken(cosyn, monkeypatch) -> None:
    broken = Check("apache-tvm-ffi", "broken", tvm_ffi_complaint("0.1.15.post2"), "compile", required=True)
    monkeypatch.setattr("cosyn.commands.doctor.checks", lambda: [broken])
    done = cosyn("doctor")
    assert done.code == 1
    assert "0.1.15.post2 crashes in every tensorized schedule of TVM 0.27; 0.1.14.post1 works" in done.out


@pytest.mark.parametrize(("version", "works"), [("0.1.14.post1", True), ("0.1.15", False), ("0.2.0", False)])
def test_the_tvm_ffi_pin(version: str, works: bool) -> None:
    assert (tvm_ffi_complaint(version) == "") is works
