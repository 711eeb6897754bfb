"""CUDA artifacts, without a GPU: the code is the chip's, the host launches it, and its meaning is the reference's.

Where a GPU is at hand the artifact also runs on it.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cosyn.runtime
from cosyn.codegen.errors import BackendError
from cosyn.codegen.tvm import backends
from cosyn.codegen.tvm.cuda_compile import _replace_source, compile_cubin, find_nvcc
from cosyn.runtime.errors import HostError
from cosyn.targets import load_target
from tests.architectures import MAX_SEQ, VOCABULARY, hf_logits, save_folder
from tests.model.compiled import compile_folder, relative_error

CHUNK = 48
EM_CUDA = 190
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc, which is not on PATH")


def prompt(length: int) -> list[int]:
    return [int(t) for t in np.random.default_rng(length).integers(3, VOCABULARY, length)]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A tiny Llama with random weights for cuda:h200: the artifact, and Hugging Face's model."""
    folder = tmp_path_factory.mktemp("cuda")
    reference = save_folder("llama", folder / "hf")
    compile_folder(folder / "hf", folder / "a", "fp32", target="cuda:h200", max_seq=MAX_SEQ, prefill_chunk=CHUNK)
    return folder / "a", reference


@needs_nvcc
class TestMachineCode:
    def test_library_holds_a_cubin_and_no_source(self, llama: tuple[Path, Any]) -> None:
        library = (llama[0] / "model.so").read_bytes()
        start = library.index(b"\x7fELF", 4)
        assert struct.unpack_from("<H", library, start + 18)[0] == EM_CUDA
        assert b"__global__" not in library
        for kernel in manifest_target(llama[0])["kernels"]:
            assert kernel.encode() in library[start:]

    def test_manifest_has_registers_and_spills_of_every_kernel(self, llama: tuple[Path, Any]) -> None:
        target = manifest_target(llama[0])
        source = (llama[0] / "kernels.cu").read_text()
        assert source.count('extern "C" __global__') == 2 * len(target["kernels"])  # declared and defined
        for usage in target["kernels"].values():
            assert 0 < usage["registers"] <= 255
            assert usage.keys() == {"registers", "spill_bytes", "stack_bytes", "shared_bytes"}
        assert (target["arch"], target["device"]) == ("sm_90a", "cuda")
        assert target["compiler"].startswith("nvcc V")

    @pytest.mark.parametrize("recipe", ["w4a16_g32", "w8a8_kv8", "bf16"])
    @pytest.mark.parametrize("architecture", ["mixtral", "gemma2"])
    def test_other_recipes_and_structures_compile_for_the_a100(
        self, architecture: str, recipe: str, tmp_path: Path
    ) -> None:
        save_folder(architecture, tmp_path / "hf")
        compile_folder(tmp_path / "hf", tmp_path / "a", recipe, target="cuda:a100", max_seq=64)
        target = manifest_target(tmp_path / "a")
        assert target["arch"] == "sm_80"
        assert all(usage["spill_bytes"] == 0 for usage in target["kernels"].values())


@needs_nvcc
def test_another_chip_is_one_yaml_file(tmp_path: Path) -> None:
    lines = ["name: mine", "kind: cuda", "device: NVIDIA L4", "arch: sm_89", "status: experimental"]
    (tmp_path / "l4.yaml").write_text("\n".join(lines))
    save_folder("llama", tmp_path / "hf")
    compile_folder(tmp_path / "hf", tmp_path / "a", target=str(tmp_path / "l4.yaml"), max_seq=64)
    target = manifest_target(tmp_path / "a")
    assert (target["name"], target["arch"]) == ("mine", "sm_89")
    # Importing it takes TVM half a minute, and no schedule here needs it.
    assert "tvm.s_tir.tensor_intrin" not in sys.modules


def manifest_target(artifact: Path) -> dict[str, Any]:
    target: dict[str, Any] = json.loads((artifact / "manifest.json").read_text())["target"]
    return target


@pytest.fixture(scope="module")
def launches(llama: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The launches of a step of 7 tokens and one of 1 token, as `[kernel, gx, gy, gz, bx, by, bz, shared]`."""
    folder = tmp_path_factory.mktemp("driver")
    build_stand_ins(folder)
    log = folder / "launches"
    environment = os.environ | {"FAKE_CUDA_LOG": str(log)}
    command = [sys.executable, "-c", _TWO_STEPS, str(folder), str(llama[0])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in log.read_text().splitlines()]


@needs_nvcc
class TestHostSide:
    """TVM's own CUDA runtime over a stand-in driver (fake_cuda.c) that records launches instead of making them."""

    def test_every_launch_of_the_program_is_made_in_order(
        self, llama: tuple[Path, Any], launches: list[list[str]]
    ) -> None:
        program = json.loads((llama[0] / "program.json").read_text())["entry_points"]
        expected = [call["kernel"] for entry in ("prefill", "decode") for call in program[entry]]
        made: list[str] = []
        for name, *_ in launches:
            function = name.rpartition("_kernel")[0]
            if not made or made[-1] != function or name.endswith("_kernel"):
                made.append(function)
        assert made == expected

    def test_launches_stay_within_the_limits_of_the_chip(
        self, llama: tuple[Path, Any], launches: list[list[str]]
    ) -> None:
        limits = load_target("cuda:h200").limits
        known = manifest_target(llama[0])["kernels"]
        for name, *sizes in launches:
            gx, gy, gz, bx, by, bz, shared = map(int, sizes)
            assert name in known
            assert min(gx, gy, gz) >= 1
            assert max(gy, gz) <= 65535
            assert bx * by * bz <= (limits.max_threads or 0)
            assert shared <= (limits.shared_memory_bytes or 0)

    def test_grids_follow_the_number_of_tokens(self, launches: list[list[str]]) -> None:
        rows = {name: int(gy) for name, _, gy, *_ in launches if "linear" in name}
        assert {n for name, n in rows.items() if name.startswith("decode")} == {1}
        assert 7 in {n for name, n in rows.items() if name.startswith("prefill")}


_TWO_STEPS = """
import ctypes, sys
for name in ("libcuda.so.1", "libcudart.so.13"):
    ctypes.CDLL(f"{sys.argv[1]}/{name}", ctypes.RTLD_GLOBAL)
import numpy as np
from cosyn.runtime.loader import load_executor, open_artifact
executor = load_executor(open_artifact(sys.argv[2]))
state = executor.allocate(1, 64)
zeros = np.zeros(7, np.int32)
executor.step(state, zeros, np.arange(7, dtype=np.int32), zeros, np.array([6], np.int32))
executor.step(state, zeros[:1], zeros[:1] + 7, zeros[:1], zeros[:1])
"""


def build_stand_ins(folder: Path) -> None:
    """libcuda and libcudart for a process that has neither."""
    source = str(Path(__file__).with_name("fake_cuda.c"))
    versions = folder / "versions"
    versions.write_text("libcudart.so.13 { global: *; };")
    for name, extra in (("libcuda.so.1", []), ("libcudart.so.13", [f"-Wl,--version-script={versions}"])):
        options = ["-w", "-shared", "-fPIC", f"-Wl,-soname,{name}", *extra, "-o", str(folder / name)]
        subprocess.run(["cc", *options, source], check=True)


@pytest.mark.parametrize("architecture", ["llama", "mixtral", "gemma2", "bloom"])
def test_the_same_tensor_ir_on_the_cpu_equals_hugging_face(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(backends.BACKENDS, "cuda", "unscheduled:UnscheduledBackend")
    reference = save_folder(architecture, tmp_path / "hf")
    compile_folder(tmp_path / "hf", tmp_path / "a", target="cuda:h200", max_seq=MAX_SEQ, prefill_chunk=CHUNK)
    model = cosyn.runtime.load(tmp_path / "a")
    for length in (1, 7, 200):
        expected = hf_logits(reference, prompt(length))
        assert relative_error(model.logits(prompt(length)), expected) < 1e-4, length


@needs_nvcc
def test_on_a_gpu_the_logits_equal_hugging_face(llama: tuple[Path, Any]) -> None:
    artifact, reference = llama
    try:
        model = cosyn.runtime.load(artifact)
    except HostError as error:
        pytest.skip(f"needs an NVIDIA GPU of compute capability 9.0: {error}")
    for length in (1, 7, 33, 200):
        expected = hf_logits(reference, prompt(length))
        assert relative_error(model.logits(prompt(length)), expected) < 1e-4, length


class TestRefusals:
    def test_no_nvcc(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("CUDA_HOME", str(tmp_path))
        with pytest.raises(BackendError, match=r"compiled by nvcc, which is neither .* Install"):
            find_nvcc()

    @needs_nvcc
    def test_nvcc_says_what_is_wrong(self) -> None:
        with pytest.raises(BackendError, match=r"cannot compile the kernels for sm_90a:\n.*error"):
            compile_cubin("this is no CUDA", "sm_90a")

    @pytest.mark.parametrize(
        "blob",
        [
            b"",
            struct.pack("<Q", 3) + b"abc",
            struct.pack("<QQQ", 16, 0, 0),
            struct.pack("<QQQQ", 24 + 4, 0, 0, 4) + b"_lib",
        ],
    )
    def test_modules_in_another_form(self, blob: bytes) -> None:
        with pytest.raises(BackendError, match=r"compile with TVM 0\.27"):
            _replace_source(blob, b"source", b"code")

    def test_library_for_a_machine_without_cuda_says_so(
        self, llama: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if shutil.which("nvidia-smi") is not None:
            pytest.skip("this machine has NVIDIA's driver")
        with pytest.raises(HostError, match="cuda"):
            cosyn.runtime.load(llama[0])
