"""targets, recipes and doctor: the same facts for readers and for scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosyn.accelerator_model import presets
from cosyn.machine import Check, tvm_ffi_complaint
from cosyn.targets.loader import shipped_targets


def test_targets_table_and_object(cosyn) -> None:
    accelerators = ["kv260", "odd", "tiny", "u280", "u280-flightllm", "v80", "vhk158"]
    names = [*(t.name for t in shipped_targets()), *(f"fpga:{name}" for name in accelerators)]
    assert [line.split()[0] for line in cosyn("targets").out.splitlines()] == ["NAME", *names]
    assert [t["name"] for t in cosyn("targets", "--json").object["targets"]] == names


def test_an_accelerator_target_tells_its_numbers_and_whether_it_fits(cosyn) -> None:
    found = {t["name"]: t for t in cosyn("targets", "--json").object["targets"]}
    assert "accelerator" not in found["cpu"]
    u280 = found["fpga:u280"]["accelerator"]
    assert (u280["cores"], u280["macs_per_core"], u280["clock_hz"]) == (4, 2048, 225_000_000)
    assert u280["memory_bytes_per_second"] == 4 * 8 * 64 * 225_000_000
    assert u280["fits"] is all(part["needed"] <= part["available"] for part in u280["resources"].values())
    assert u280["resources"]["dsp"]["available"] == u280["device"]["facts"]["dsp"]["value"] == 9024
    listed = next(line for line in cosyn("targets").out.splitlines() if line.startswith("fpga:u280 "))
    summary = "4 x 2048 MACs at 225 MHz, 461 GB/s, for AMD Alveo U280, estimated "
    assert summary + ("to fit" if u280["fits"] else "too large: ") in listed
    tiny = next(line for line in cosyn("targets").out.splitlines() if line.startswith("fpga:tiny "))
    assert tiny.endswith("1 x 64 MACs at 225 MHz, 7 GB/s, for AMD Kria KV260 (K26, Zynq UltraScale+), estimated to fit")
    one = cosyn("targets", "fpga:u280").out
    assert summary in one
    assert "460.8 GB/s" in one
    assert "DS963" in one


def test_an_accelerator_too_large_for_its_device_names_the_resource(cosyn, tmp_path: Path) -> None:
    text = (Path(presets.__file__).parent / "u280.yaml").read_text(encoding="utf-8")
    file = tmp_path / "crowded.yaml"
    file.write_text(text.replace("device: u280", "device: kv260"), encoding="utf-8")
    facts = cosyn("targets", f"fpga:{file}", "--json").object["accelerator"]
    assert facts["fits"] is False
    assert facts["resources"]["dsp"]["needed"] > facts["resources"]["dsp"]["available"] == 1248
    assert re.search(
        r"for AMD Kria KV260 .*, estimated too large: dsp [\d,]+ of 1,248", cosyn("targets", f"fpga:{file}").out
    )


def test_an_accelerator_for_a_device_that_is_not_described_is_refused(cosyn, tmp_path: Path) -> None:
    text = (Path(presets.__file__).parent / "u280.yaml").read_text(encoding="utf-8")
    (tmp_path / "far.yaml").write_text(text.replace("device: u280", "device: u281"), encoding="utf-8")
    done = cosyn("targets", f"fpga:{tmp_path / 'far.yaml'}")
    assert done.code == 2
    assert "unknown FPGA device 'u281'" in done.err
    assert "did you mean 'u280'?" in done.err


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
