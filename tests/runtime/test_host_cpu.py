"""What the host's CPU is taken to be, on x86 and Arm, and what is refused for it."""

from __future__ import annotations

from pathlib import Path

import handmade
import pytest

from cosyn.runtime import host_cpu
from cosyn.runtime.errors import HostError
from cosyn.runtime.loader import open_artifact

X86 = "".join(
    f"processor\t: {cpu}\nmodel name\t: Big Chip\nphysical id\t: 0\ncore id\t\t: {cpu // 2}\n"
    "flags\t\t: fpu avx2 fma\n\n"
    for cpu in range(4)
)
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n\nprocessor\t: 1\nFeatures\t: fp asimd asimddp i8mm\n"


def pretend(monkeypatch: pytest.MonkeyPatch, text: str, cpus: set[int]) -> None:
    monkeypatch.setattr(host_cpu, "cpuinfo", lambda: host_cpu.parse_cpuinfo(text) if text else ())
    monkeypatch.setattr(host_cpu.os, "sched_getaffinity", lambda _: cpus)


def test_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, X86, {0, 1, 2, 3})
    assert host_cpu.features() == {"fpu", "avx2", "fma"}
    assert host_cpu.model_name() == "Big Chip"
    assert (host_cpu.usable_cores(), host_cpu.physical_cores()) == (4, 2)


def test_cores_that_the_process_may_not_use_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, X86, {1, 2, 3})
    assert host_cpu.physical_cores() == 2
    pretend(monkeypatch, X86, {2, 3})
    assert host_cpu.physical_cores() == 1


def test_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, ARM, {0, 1})
    monkeypatch.setattr(host_cpu.platform, "machine", lambda: "arm64")
    assert "i8mm" in host_cpu.features()
    assert host_cpu.physical_cores() == 2
    host_cpu.check_features(["asimddp", "i8mm"])


def test_arm_features_are_bits_of_two_words() -> None:
    assert host_cpu.arm_features(1 << 1 | 1 << 20, 1 << 13) == {"asimd", "asimddp", "i8mm"}
    assert host_cpu.arm_features(0, 0) == frozenset()


def test_missing_features_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, X86, {0})
    with pytest.raises(HostError, match=r"this machine \(Big Chip\) lacks: avx512_vnni, avx512f") as caught:
        host_cpu.check_features(["avx2", "avx512f", "avx512_vnni"])
    assert caught.value.exit_code == 1
    assert "cosyn compile MODEL --target cpu" in caught.value.hint


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "", {0})
    host_cpu.check_features([])
    with pytest.raises(HostError, match="needs avx2, and this system does not say what its CPU has"):
        host_cpu.check_features(["avx2"])


@pytest.mark.parametrize(("machine", "triple"), [("x86_64", "aarch64-linux-gnu"), ("aarch64", "x86_64-linux-gnu")])
def test_an_artifact_for_another_instruction_set_is_refused(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, machine: str, triple: str
) -> None:
    monkeypatch.setattr(host_cpu.platform, "machine", lambda: machine)
    values = handmade.manifest()
    values["target"] = {"name": "cpu", "kind": "cpu", "device": "cpu", "features": ["asimd"], "triple": triple}
    handmade.write_manifest(artifact, values)
    arch = triple.partition("-")[0]
    with pytest.raises(HostError, match=f"is code for {arch}, and this machine is {machine}") as caught:
        open_artifact(artifact)
    assert "cosyn compile MODEL --target cpu" in caught.value.hint


def test_an_artifact_for_another_cpu_is_refused(artifact: Path) -> None:
    values = handmade.manifest()
    values["target"] = {"name": "cpu", "kind": "cpu", "device": "cpu", "features": ["avx9000"]}
    handmade.write_manifest(artifact, values)
    with pytest.raises(HostError, match="lacks: avx9000"):
        open_artifact(artifact)


def test_the_last_cache_is_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_cpu, "_CACHES", tmp_path)
    assert host_cpu.last_level_cache_bytes() == 32 << 20
    for index, size in enumerate(("32K", "1024K", "96M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert host_cpu.last_level_cache_bytes() == 96 << 20
