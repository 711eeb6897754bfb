"""`compile`, `run`, `eval` and `inspect` for an accelerator, and what they refuse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from refusals import QUICK, refused

from cosyn.accelerator_engine import SimulatorTransport
from cosyn.accelerator_model.presets import load_config
from cosyn.cli import main
from cosyn.engines import load_model
from cosyn.runtime.errors import ArtifactError, HostError, RequestError
from cosyn.runtime.fpga.description import read_description
from cosyn.runtime.fpga.driver import FpgaExecutor
from cosyn.runtime.loader import open_artifact
from tests.architectures import save_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama for the configuration `tiny`, w4a8."""
    folder = tmp_path_factory.mktemp("fpga")
    save_folder("llama", folder / "model")
    arguments = ["compile", str(folder / "model"), "--target", "fpga:tiny", "--recipe", "w4a8_g32"]
    assert main([*arguments, "--max-seq", "48", "-o", str(folder / "out"), "--quiet"]) == 0
    return folder / "out"


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    code = main([*arguments, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return {**found, "code": code}


def test_the_simulator_writes_what_the_reference_writes(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = ("--prompt-ids", "5,9,77,3,4,100,31", "--max-new-tokens", "12", "--temperature", "0", "--ignore-eos")
    found = {e: _run(capsys, "run", str(artifact), "--engine", e, *prompt) for e in ("sim", "reference")}
    assert found["sim"]["token_ids"] == found["reference"]["token_ids"]
    assert len(set(found["sim"]["token_ids"])) > 2  # type: ignore[arg-type]  # a list of numbers


def test_a_window_with_sinks_runs_as_the_reference_does(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the artifact and the driver's registers, over the first units of the cache that are skipped."""
    arguments = ["compile", str(artifact.parent / "model"), "--target", "fpga:tiny", "--recipe", "w8a8"]
    arguments += ["--window", "9", "--sinks", "2", "--max-seq", "64"]
    assert main([*arguments, "-o", str(tmp_path / "out"), "--quiet"]) == 0
    described = read_description(tmp_path / "out")
    (pattern,) = described.geometry.patterns
    assert (pattern.window, pattern.kept, pattern.unit) == (9, 16, 16)
    tokens = np.random.default_rng(4).integers(0, 131, 61).tolist()
    first, second = (load_model(tmp_path / "out", engine).logits(tokens) for engine in ("sim", "reference"))
    assert np.array_equal(first.view(np.uint32), second.view(np.uint32))


def test_every_row_of_logits_is_the_references(artifact: Path) -> None:
    tokens = np.random.default_rng(3).integers(0, 131, 21).tolist()
    first, second = (load_model(artifact, engine).logits(tokens) for engine in ("sim", "reference"))
    assert np.array_equal(first.view(np.uint32), second.view(np.uint32))


def test_the_artifact_holds_all_that_a_device_needs(artifact: Path) -> None:
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    files = set(manifest["files"])
    assert files >= {
        "README.md", "accelerator.json", "embeddings.safetensors", "graph.ir", "images/core0.bin", "programs/core0.bin",
        "programs/step_1.bin", "programs/step_8.bin", "registers.md", "rtl/cosyn_pkg.sv", "rtl/cosyn_tables_pkg.sv",
        "rtl/cosyn_control_pkg.sv", "rtl/cosyn_accelerator.sv", "rtl/files.f", "rtl/cosyn.xdc", "rtl/build.tcl",
        "rtl/cosyn_kernel.sv",
        "golden.safetensors", "check.py",
    }  # fmt: skip
    listed = (artifact / "rtl/files.f").read_text(encoding="utf-8").split()
    assert {f"rtl/{name}" for name in listed} <= files
    assert "not run by us" in (artifact / "rtl/package.tcl").read_text(encoding="utf-8")
    assert "**not been run with the vendor's tools**" in (artifact / "README.md").read_text(encoding="utf-8")
    report = manifest["accelerator"]["instruction_bytes"]
    assert report["bytes"] == 64 * sum(manifest["accelerator"]["programs"].values())
    assert report["ratio"] > 10


def test_the_checker_passes_and_fails(artifact: Path, tmp_path: Path) -> None:
    def check(folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(folder / "check.py"), "sim"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    passed = check(artifact)
    assert (passed.returncode, passed.stdout.strip()) == (0, "PASS"), passed.stderr
    # check.py trusts the golden file it is given, but the loader does not.
    other = _copy(artifact, tmp_path)
    data = bytearray((other / "golden.safetensors").read_bytes())
    data[-1] ^= 1
    (other / "golden.safetensors").write_bytes(data)
    failed = check(other)
    assert failed.returncode == 1
    assert "golden.safetensors" in failed.stderr


def test_inspect_lists_every_instruction_with_its_node(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _run(capsys, "inspect", str(artifact), "--program", "--tokens", "8")
    listed = found["instructions"]
    assert isinstance(listed, list)
    assert listed[-1] == {"text": listed[-1]["text"], "node": "end"}
    multiplied = [i["text"] for i in listed if i["node"] == "linear_3: multiply"]
    assert multiplied
    assert all(text.startswith("MM ") for text in multiplied)
    # As many as the manifest says; the linear has six tiles.
    pieces = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))["accelerator"]["pieces_of_linears"]
    assert set(pieces) >= {"1", "2", "4", "8"}
    assert pieces["1"] == 1
    assert len(multiplied) == pieces["8"]
    refused = _run(capsys, "inspect", str(artifact), "--program", "--tokens", "3")
    assert refused["code"] == 2
    assert "1, 2, 4, 8" in str(refused["hint"])


def test_an_accelerator_of_another_configuration_is_refused(artifact: Path) -> None:
    opened = open_artifact(artifact)
    other = SimulatorTransport(load_config("u280"), read_description(artifact).memory_stripes * 4)
    with pytest.raises(HostError, match=r"the artifact is for the configuration tiny \(hash .*\), the accelerator has"):
        FpgaExecutor(artifact, opened.manifest, other)


def test_a_corrupt_image_is_refused_before_and_after_loading(artifact: Path, tmp_path: Path) -> None:
    folder = _copy(artifact, tmp_path)
    path = folder / "images/core0.bin"
    data = bytearray(path.read_bytes())
    data[-5] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"images/core0\.bin"):
        load_model(folder, "sim")
    # What the file's hash cannot see, a load's checksum does.
    opened = open_artifact(artifact)
    transport = SimulatorTransport(load_config("tiny"), read_description(artifact).memory_stripes)
    executor = FpgaExecutor(folder, opened.manifest, transport)
    one = np.zeros(1, np.int32)
    with pytest.raises(HostError, match="weights have another checksum than the program expects"):
        executor.step(executor.allocate(1, 48), one, one, one, one)


def test_one_sequence_at_a_time(artifact: Path) -> None:
    model = load_model(artifact, "sim")
    with pytest.raises(RequestError, match="the accelerator holds one sequence, 2 were asked for"):
        model.generate_batch([[1, 2], [3]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compile", "MODEL", "--target", "fpga:tiney"), "unknown accelerator 'tiney'"),
        (("run", "DIR", "--prompt-ids", "1", "--engine", "board"), "unknown engine 'board'; engines: sim, cycles, ref"),
    ],
)
def test_wrong_names_list_the_choices(
    artifact: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    places = {"MODEL": str(artifact.parent / "model"), "DIR": str(artifact)}
    found = _run(capsys, *(places.get(a, a) for a in arguments))
    assert found["code"] == 2
    assert message in str(found["error"])


def test_a_model_that_does_not_fit_names_buffer_lack_and_remedy(cosyn, artifact: Path, tmp_path: Path) -> None:
    """And writes nothing; the size that it names does fit."""
    text = (ROOT / "accelerator_model/presets/tiny.yaml").read_text(encoding="utf-8")
    target, output = tmp_path / "small.yaml", tmp_path / "out"
    target.write_text(text.replace("vector_lines: 8192", "vector_lines: 32"), encoding="utf-8")
    model, words = artifact.parent / "model", ("--target", f"fpga:{target}", "--recipe", "w8a8")
    error = refused(cosyn, output, 2, model, *words)
    found = re.match(
        r"error: a step of 1 token does not fit tiny: the vector buffer has 32 lines and the step needs (\d+),"
        r" (\d+) more \(largest: .*\); the smallest change that fits is vector_lines: (\d+)\n",
        error,
    )
    assert found is not None, error
    needed, lacking, remedy = map(int, found.groups())
    assert needed == 32 + lacking == remedy
    target.write_text(text.replace("vector_lines: 8192", f"vector_lines: {remedy}"), encoding="utf-8")
    assert cosyn("compile", model, *words, *QUICK[2:], "-o", output).code == 0


def test_operations_that_the_accelerator_lacks_are_all_listed(cosyn, tmp_path: Path) -> None:
    save_folder("mixtral", tmp_path / "model")
    error = refused(cosyn, tmp_path / "out", 2, tmp_path / "model", "--target", "fpga:tiny", "--recipe", "w8a8")
    found = re.match(r"error: the accelerator cannot run (\d+) operations of this model:\n((?:  .+\n)+)", error)
    assert found is not None, error
    listed = found[2].splitlines()
    assert len(listed) == int(found[1])
    assert {line.rpartition(": ")[2] for line in listed} >= {"softmax", "topk", "expert_linear", "mix_experts", "sum"}


def _copy(artifact: Path, to: Path) -> Path:
    shutil.copytree(artifact, to / "copy")
    return to / "copy"
