"""OpenCL artifacts, run on this machine's OpenCL driver: the same text as the reference, without TVM."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opencl_driver import missing_driver

import cosyn.runtime
from cosyn.codegen.compiler import CompileRequest, lower_model
from cosyn.ir.interpreter import Interpreter
from cosyn.passes.recipe import load_recipe
from cosyn.passes.rtn import decode_rtn
from cosyn.runtime.errors import ArtifactError, HostError
from cosyn.runtime.loader import load_executor, open_artifact
from cosyn.runtime.opencl_executor import OpenClExecutor
from cosyn.runtime.session import Session
from cosyn.targets import load_target
from tests.architectures import MAX_SEQ, VOCABULARY, hf_logits, save_folder
from tests.model.compiled import Silent, compile_folder, relative_error

CHUNK = 48
LENGTHS = (1, 7, 33, 200)
needs_driver = pytest.mark.skipif(bool(missing_driver()), reason=missing_driver() or "a driver is here")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Libraries and kernels built by the tests stay out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


def prompt(length: int) -> list[int]:
    return [int(t) for t in np.random.default_rng(length).integers(3, VOCABULARY, length)]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A tiny Llama with random weights: the artifact, and Hugging Face's model."""
    folder = tmp_path_factory.mktemp("llama")
    reference = save_folder("llama", folder / "hf")
    compile_folder(folder / "hf", folder / "artifact", target="opencl:generic", max_seq=MAX_SEQ, prefill_chunk=CHUNK)
    return folder / "artifact", reference


class TestArtifact:
    def test_holds_sources_and_no_library(self, llama: tuple[Path, Any]) -> None:
        names = {p.name for p in llama[0].iterdir()}
        expected = {"kernels.cl", "program.c", "program.h", "host.c", "host.h", "main.c", "Makefile", "program.json"}
        assert expected <= names
        assert not any(name.endswith((".so", ".o")) for name in names)

    def test_manifest_says_what_the_device_must_offer(self, llama: tuple[Path, Any]) -> None:
        target = json.loads((llama[0] / "manifest.json").read_text())["target"]
        assert (target["device"], target["max_threads"]) == ("opencl", 256)
        assert target["kernels"] == (llama[0] / "kernels.cl").read_text().count("__kernel void ")

    def test_readme_says_how_to_run_it_without_cosyn(self, llama: tuple[Path, Any]) -> None:
        assert "make && ./host . TOKEN" in (llama[0] / "README.md").read_text()

    def test_host_compiles_without_warnings(self, llama: tuple[Path, Any], tmp_path: Path) -> None:
        folder = llama[0]
        sources = [str(folder / n) for n in ("main.c", "host.c", "opencl_api.c", "program.c")]
        options = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(tmp_path / "host")]
        done = subprocess.run(["cc", *options, *sources, "-ldl"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_kernels_compute_with_floats_only(self, tmp_path: Path) -> None:
        save_folder("llama", tmp_path / "hf")
        compile_folder(tmp_path / "hf", tmp_path / "a", recipe="w4a16_g32", target="opencl", max_seq=64)
        text = (tmp_path / "a" / "kernels.cl").read_text()
        assert "vload_half(" in text
        assert "vstore_half_rte(" in text
        assert "cl_khr_fp16" not in text
        assert "(half" not in text.replace("__global half", "")


@needs_driver
class TestRuns:
    @pytest.mark.parametrize("length", LENGTHS)
    def test_logits_equal_hugging_face(self, llama: tuple[Path, Any], length: int) -> None:
        artifact, reference = llama
        found = cosyn.runtime.load(artifact).logits(prompt(length))
        assert relative_error(found, hf_logits(reference, prompt(length))) < 1e-4

    @pytest.mark.parametrize("name", ["gemma2", "gpt_neox", "mixtral"])
    def test_other_structures(self, name: str, tmp_path: Path) -> None:
        """Windows and soft caps; two norms of one value; experts, chosen per token."""
        reference = save_folder(name, tmp_path / "hf")
        compile_folder(tmp_path / "hf", tmp_path / "a", target="opencl", max_seq=MAX_SEQ, prefill_chunk=CHUNK)
        model = cosyn.runtime.load(tmp_path / "a")
        for length in LENGTHS:
            expected = hf_logits(reference, prompt(length))
            assert relative_error(model.logits(prompt(length)), expected) < 1e-4, length

    @pytest.mark.parametrize("recipe", ["w4a16_g32", "w8a8_kv8", "bf16"])
    def test_recipes_equal_the_reference_semantics(self, recipe: str, tmp_path: Path) -> None:
        save_folder("llama", tmp_path / "hf")
        compile_folder(tmp_path / "hf", tmp_path / "a", recipe, target="opencl", max_seq=64)
        ids = prompt(33)
        found = cosyn.runtime.load(tmp_path / "a").logits(ids)
        # Codes of activations on the edge between two values may fall to either side.
        bound = 2e-2 if recipe.startswith("w8a8") else 1e-4
        assert relative_error(found, interpreted(tmp_path / "hf", recipe, ids)) < bound

    def test_state_is_saved_and_restored(self, llama: tuple[Path, Any]) -> None:
        executor = load_executor(open_artifact(llama[0]))
        assert isinstance(executor, OpenClExecutor)
        ids, rows = np.array(prompt(9), np.int32), np.zeros(1, np.int32)
        first, second = executor.allocate(1, MAX_SEQ), executor.allocate(2, MAX_SEQ)
        zeros = np.zeros(9, np.int32)
        executor.step(first, ids, np.arange(9, dtype=np.int32), zeros, rows)
        second.write(1, first.read(0, 9))
        at = np.full(1, 9, np.int32)
        expected = executor.step(first, ids[:1], at, zeros[:1], rows).copy()
        found = executor.step(second, ids[:1], at, np.ones(1, np.int32), rows)
        np.testing.assert_array_equal(found, expected)

    def test_sequences_of_different_lengths_in_one_step(self, llama: tuple[Path, Any]) -> None:
        artifact, reference = llama
        session = Session(load_executor(open_artifact(artifact)), slots=3)
        prompts = {slot: prompt(n) for slot, n in enumerate((1, 7, 33))}
        found = session.advance(prompts)
        for slot, ids in prompts.items():
            assert relative_error(found[slot], hf_logits(reference, ids)[-1]) < 1e-4

    def test_too_large_a_step_is_refused(self, llama: tuple[Path, Any]) -> None:
        executor = load_executor(open_artifact(llama[0]))
        many = np.zeros(CHUNK + 1, np.int32)
        with pytest.raises(HostError, match=f"a step takes 1 to {CHUNK} tokens .* asked for {CHUNK + 1}"):
            executor.step(executor.allocate(1, MAX_SEQ), many, many, many, many[:1])

    def test_reference_text_from_the_c_program(self, shared_dir: Path, tmp_path: Path) -> None:
        """`make` and `host FOLDER TOKEN…`: what a device without Python runs."""
        model = shared_dir / "models" / "stories260K"
        compile_folder(model, tmp_path / "a", target="opencl")
        subprocess.run(["make", "-s", "-C", str(tmp_path / "a"), "host"], check=True)
        for case in json.loads((model / "reference.json").read_text())["cases"]:
            ids = [str(i) for i in case["prompt_ids"]]
            expected = case["output_ids"][len(ids) :]
            command = [str(tmp_path / "a" / "host"), str(tmp_path / "a"), *ids]
            done = subprocess.run(
                [*command, "--max-new-tokens", str(len(expected))], capture_output=True, text=True, check=True
            )
            assert [int(t) for t in done.stdout.split()] == expected


def interpreted(model: Path, recipe: str, ids: list[int]) -> np.ndarray:
    """Logits of every position by the reference functions, weights decoded from their codes."""
    request = CompileRequest(str(model), load_target("opencl"), load_recipe(recipe), model / "unused", max_seq=64)
    lowered = lower_model(request, Silent())
    runner = Interpreter(lowered.graph, lowered.load, stored=decode_rtn)
    positions = np.arange(len(ids), dtype=np.int32)
    inputs = {
        "token_ids": np.array(ids, np.int32), "positions": positions,
        "slots": np.zeros(len(ids), np.int32), "out_rows": positions,
    }  # fmt: skip
    return np.asarray(runner.run(inputs, states=runner.new_states())[0])


@needs_driver
class TestFailures:
    def test_cut_weights(self, llama: tuple[Path, Any], tmp_path: Path) -> None:
        folder = tmp_path / "a"
        folder.mkdir()
        for path in llama[0].iterdir():
            data = path.read_bytes()
            (folder / path.name).write_bytes(data[: len(data) // 2] if path.suffix == ".safetensors" else data)
        manifest = open_artifact(llama[0]).manifest
        with pytest.raises(HostError, match=r"weights\.safetensors does not hold"):
            OpenClExecutor(folder, manifest)

    def test_c_program_refuses_bad_tokens(self, llama: tuple[Path, Any], tmp_path: Path) -> None:
        folder = llama[0]
        sources = [str(folder / n) for n in ("main.c", "host.c", "opencl_api.c", "program.c")]
        host = str(tmp_path / "host")
        subprocess.run(["cc", "-std=c11", "-o", host, *sources, "-ldl"], check=True)
        for ids, message in (
            (["1", "x"], "token ids are whole numbers"),
            (["100000"], "beyond the vocabulary"),
            ([], "at least one token id"),
            (["5"] * (MAX_SEQ + 1), "longer than the model's longest sequence"),
        ):
            done = subprocess.run([host, str(folder), *ids], capture_output=True, text=True, check=False)
            assert (done.returncode, message in done.stderr) == (2, True), done.stderr


class TestMissing:
    def test_no_driver(self, llama: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COSYN_OPENCL_LIBRARY", "libNoSuchDriver.so")
        with pytest.raises(HostError, match=r"no OpenCL library .*install a driver"):
            load_executor(open_artifact(llama[0]))

    def test_no_compiler(self, llama: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CC", raising=False)
        with pytest.raises(HostError, match="no C compiler"):
            load_executor(open_artifact(llama[0]))

    def test_missing_source(self, llama: tuple[Path, Any], tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match=r"host\.c"):
            OpenClExecutor(tmp_path, open_artifact(llama[0]).manifest)
