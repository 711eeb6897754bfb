"""`cosyn tune` and what `cosyn compile` makes of it, on a model of two layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosyn import tuning, tuning_run
from cosyn.codegen.tvm.choice_table import ChoiceKey, ChoiceTable, Machine, Measured
from cosyn.codegen.tvm.kernels.linear_choice import DEFAULT_KERNEL_CHOICE, KernelChoice, alternatives
from cosyn.console import Console
from cosyn.kernel_trial import KernelTrial
from cosyn.runtime.loader import load_executor, open_artifact
from cosyn.targets import load_target
from cosyn.tuned_choices import cache_file, machine_for, read_choices, write_choices
from cosyn.tuning import TOLERANCE
from tests.cli.conftest import Cosyn

KEY = ChoiceKey("linear", 48, 96, "bf16", "float", "1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and one thread."""
    monkeypatch.setenv("COSYN_TUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TVM_NUM_THREADS", "1")
    return tmp_path / "cache"


@pytest.fixture
def serial_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which kernels of small weights on one thread take twice as long, as on a machine of many cores.

    Nothing else is tried, for time's sake.
    """

    def seconds(trial: KernelTrial, choice: KernelChoice) -> float:
        return 1e-6 if choice.values()["serial_bytes"] == 0 else 2e-6

    monkeypatch.setattr(KernelTrial, "seconds", seconds)
    monkeypatch.setattr(tuning, "alternatives", lambda: [("serial_bytes", (0,))])


def logits(folder: Path) -> np.ndarray[Any, Any]:
    executor = load_executor(open_artifact(folder))
    state = executor.allocate(1, 16)
    rows = [
        executor.step(
            state, np.array([t], np.int32), np.array([p], np.int32), np.array([0], np.int32), np.array([0], np.int32)
        ).copy()
        for p, t in enumerate((3, 5, 7))
    ]
    return np.concatenate(rows)


def manifest(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("serial_is_slow")
def test_compile_uses_what_was_measured_and_says_so(
    cosyn: Cosyn, tiny_model: Path, tmp_path: Path, cache: Path
) -> None:
    tuned = cosyn("tune", tiny_model, "--recipe", "w8a8", "--json")
    assert tuned.code == 0, tuned.err
    kernels = tuned.object["kernels"]
    assert len(kernels) == tuned.object["kernels_count"] > 4
    chosen = [k for k in kernels if k["entry_point"] == "decode"]
    assert all(k["choice"] == {"serial_bytes": 0} and k["gain"] == 0.5 for k in chosen)
    assert {k["entry_point"] for k in kernels if not k["choice"]} == {"prefill"}

    plain, better = tmp_path / "plain", tmp_path / "better"
    assert cosyn("compile", tiny_model, "--recipe", "w8a8", "-o", plain, "--no-tuned").code == 0
    done = cosyn("compile", tiny_model, "--recipe", "w8a8", "-o", better)
    assert done.code == 0
    assert f"found measured choices for {len(kernels)} kernels of this machine (override with --no-tuned)" in done.err
    used = [k for k in manifest(better)["kernels"] if "choice" in k]
    assert used
    assert all(k["choice"] == {"serial_bytes": 0} and k["rows"] == [1, 1] for k in used)
    assert not [k for k in manifest(plain)["kernels"] if "choice" in k]
    assert np.array_equal(logits(plain), logits(better))

    listed = cosyn("inspect", better, "--kernels")
    assert "serial_bytes=0" in listed.out
    shown = cosyn("tune", "--show")
    assert shown.out.count("serial_bytes=0") == len(chosen)
    assert str(cache) in shown.out


def test_measured_for_real_within_a_budget(cosyn: Cosyn, tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "choices.json"
    done = cosyn("tune", tiny_model, "--recipe", "w4a16_g32", "--budget", 3, "-o", file, "--json")
    assert done.code == 0, done.err
    allowed = {name: set(others) for name, others in alternatives()}
    assert done.object["kernels"]
    for kernel in done.object["kernels"]:
        assert kernel["seconds"] > 0
        assert not kernel["refused"]
        assert all(value in allowed[name] for name, value in kernel["choice"].items())
    artifact = tmp_path / "out"
    assert cosyn("compile", tiny_model, "--recipe", "w4a16_g32", "-o", artifact, "--tuned", file).code == 0
    again = cosyn("tune", artifact, "--budget", 1, "-o", file, "--json")
    assert again.code == 0
    assert len(json.loads(file.read_text())["kernels"]) >= len(done.object["kernels"])


@pytest.mark.usefixtures("serial_is_slow")
def test_an_interruption_keeps_what_was_measured(
    cosyn: Cosyn, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    make = tuning_run.tune_kernel

    def interrupted(*arguments: Any) -> Any:
        begun.append(arguments)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return make(*arguments)

    monkeypatch.setattr(tuning_run, "tune_kernel", interrupted)
    done = cosyn("tune", tiny_model, "--recipe", "w8a8")
    assert done.code == 1
    assert "2 of " in done.err
    assert "interrupted" in done.err
    assert len(cosyn("tune", "--show", "--json").object["kernels"]) == 2

    # The next time, what is still missing comes first.
    begun.clear()
    assert cosyn("tune", tiny_model, "--recipe", "w8a8").code == 1
    assert len(cosyn("tune", "--show", "--json").object["kernels"]) == 4


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"threads": 1', '"threads": 7', "measured on another machine or target, "),
        ('"cpu": "', '"cpu": "no ', "measured on another machine or target, no "),
        ('"cosyn-choices/1"', '"cosyn-choices/0"', "expected the format"),
        ("{", "", "not JSON"),
    ],
)
def test_a_table_of_no_use_is_named_and_left_out(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    machine = machine_for(load_target("cpu"))
    assert machine is not None
    file = tmp_path / "folder" / "choices.json"
    table = ChoiceTable(machine, {KEY: Measured(DEFAULT_KERNEL_CHOICE, 1e-6, 1e-6)})
    write_choices(file, table)
    assert read_choices(file, machine) == (table, "")
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    file.write_text(file.read_text().replace(old, new, 1))
    found, warning = read_choices(file, machine)
    assert not found.kernels
    assert warning.startswith(f"{file} is not used: ")
    assert complaint in warning
    assert warning.endswith("measure again with `cosyn tune`, or delete the file")


def test_a_damaged_cache_stops_neither_compile_nor_tune(cosyn: Cosyn, tiny_model: Path, tmp_path: Path) -> None:
    machine = machine_for(load_target("cpu"))
    assert machine is not None
    file = cache_file(machine)
    file.parent.mkdir()
    file.write_bytes(b"\xff\x00")
    done = cosyn("compile", tiny_model, "-o", tmp_path / "out")
    assert done.code == 0
    assert f"warning: {file} is not used" in done.err
    assert f"warning: {file} is not used" in cosyn("tune", "--show").err


def test_the_cache_lies_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSYN_TUNE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = (cache_file(Machine("AMD EPYC 9B14", ("avx2",), threads)) for threads in (1, 2))
    assert one.parent == other.parent == tmp_path / "cosyn" / "tune"
    assert one.name.startswith("amd-epyc-9b14-1t-")
    assert one != other


def test_requests_that_make_no_sense(cosyn: Cosyn, tiny_model: Path, tmp_path: Path) -> None:
    nothing = cosyn("tune")
    assert nothing.code == 2
    assert "cosyn tune needs a model, an artifact, or --show" in nothing.err
    gpu = cosyn("tune", tiny_model, "--target", "cuda_a100")
    assert gpu.code == 2
    assert "this machine cannot run kernels for the target cuda_a100" in gpu.err
    missing = cosyn("compile", tiny_model, "-o", tmp_path / "out", "--tuned", tmp_path / "none.json")
    assert missing.code == 2
    assert "make it with: cosyn tune MODEL -o FILE" in missing.err
    assert "nothing has been measured" in cosyn("tune", "--show").out


def test_a_trial_tells_equal_code_and_equal_results(tiny_model: Path) -> None:
    console = Console(quiet=True)
    with console.steps() as progress:
        model = tuning_run.tunable_model(console, progress, str(tiny_model), load_target("cpu"), "bf16", 13)
    kernel = next(k for k in model.kernels() if k.entry.name == "prefill" and k.launches > 1)
    assert (kernel.rows, kernel.key.rows) == (13, "any")
    trial = KernelTrial(kernel, model.backend.tvm_target, 3 * kernel.layout.nbytes)
    other = DEFAULT_KERNEL_CHOICE.with_values({"tile_rows": 6})
    assert trial.add(DEFAULT_KERNEL_CHOICE)
    assert not trial.add(DEFAULT_KERNEL_CHOICE.with_values({"serial_bytes": 0}))
    assert trial.add(other)
    assert trial.difference(other) <= TOLERANCE
    assert 0 < trial.seconds(other) < 1
