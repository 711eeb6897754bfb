"""Runs the cocotb tests of one block."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.presets import config_mapping
from cosyn.rtl_testbench.build import Built, Design, build
from cosyn.rtl_testbench.errors import BlockFailure
from cosyn.rtl_testbench.toolchain import Simulator

CONFIG_VARIABLE = "COSYN_BENCH_CONFIG"

SEED_VARIABLE = "COCOTB_RANDOM_SEED"
"""cocotb's own: a number in the environment chooses other random values for every bench."""
DEFAULT_SEED = 1
"""Without it, so that each run of the tests does the same; cocotb would take the time. soak.py tries other seeds."""


def run_block(
    top: str,
    test_module: str,
    config: AcceleratorConfig,
    simulator: Simulator = "verilator",
    parameters: Mapping[str, int] | None = None,
    tests: Sequence[str] | None = None,
    waves: bool = False,
    environment: Mapping[str, str] | None = None,
    visible: Sequence[str] = (),
) -> int:
    """Build `top` for `config` and run the cocotb tests of `test_module` (all, or those named); how many ran.

    `test_module` is a dotted name, such as cosyn.rtl_testbench.fifo.bench; modules are also sought in its folder.
    Inside, `bench_config()` gives the configuration. `visible` names inner modules whose signals the test reads
    (Verilator hides all but the top's). WAVES=1 in the environment writes waves too. The random seed is
    COCOTB_RANDOM_SEED of the environment, else DEFAULT_SEED. BlockFailure holds the first failure, the seed to repeat
    it with and the folder with the log.
    """
    waves = waves or os.environ.get("WAVES", "0") not in ("", "0")
    built = build(
        Design(
            top,
            config,
            simulator,
            dict(parameters or {}),
            (_folder_of(test_module),),
            visible=tuple(visible),
            waves=waves,
        )
    )
    folder = Path(tempfile.mkdtemp(prefix=f"{top}-", dir=_runs_folder(built)))
    extra = dict(environment or {})
    if tests is not None:
        extra["COCOTB_TEST_FILTER"] = r"\.(" + "|".join(tests) + ")$"
    ran = run_tests(built, test_module, folder, extra)
    if not waves:
        shutil.rmtree(folder, ignore_errors=True)
    return ran


def run_tests(built: Built, test_module: str, folder: Path, extra: Mapping[str, str] | None = None) -> int:
    """Run the cocotb tests of `test_module` in `folder`; how many ran. BlockFailure for the first failure."""
    import yaml

    results, log, config = folder / "results.xml", folder / "simulation.log", folder / "config.yaml"
    config.write_text(yaml.safe_dump(config_mapping(built.design.config)), encoding="utf-8")
    environment = built.environment(test_module)
    environment.update(COCOTB_RESULTS_FILE=str(results), COCOTB_ANSI_OUTPUT="0")
    environment.update({CONFIG_VARIABLE: str(config), **(extra or {})})
    seed = environment.get(SEED_VARIABLE) or str(DEFAULT_SEED)
    environment[SEED_VARIABLE] = seed
    with log.open("w", encoding="utf-8") as handle:
        done = subprocess.run(
            built.command(), cwd=folder, env=environment, stdout=handle, stderr=subprocess.STDOUT, check=False
        )
    count, failure = _read_results(results)
    text = log.read_text(encoding="utf-8", errors="replace")
    where = f"\n  log: {log}" + (f"\n  waves: {folder / 'waves.fst'}" if built.design.waves else "\n  waves: WAVES=1")
    if failure is None and (done.returncode or count == 0):
        tail = "\n".join(text.splitlines()[-40:])
        failure = f"{shlex.join(built.command())} ended with {done.returncode} after {count} tests:\n{tail}"
    if failure is not None:
        design = built.design
        raise BlockFailure(
            f"{design.top} ({design.config.name}, {design.simulator}): {failure}\n"
            f"  repeat with {SEED_VARIABLE}={seed}{where}"
        )
    return count


def bench_config() -> AcceleratorConfig:
    """Inside a cocotb test: the configuration that the design was built for."""
    from cosyn.accelerator_model.presets import read_config

    return read_config(Path(os.environ[CONFIG_VARIABLE]))


def _folder_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no test module {module!r}")
    return Path(spec.origin).parent


def _runs_folder(built: Built) -> Path:
    folder = built.folder / "runs"
    folder.mkdir(exist_ok=True)
    return folder


def _read_results(path: Path) -> tuple[int, str | None]:
    """Number of tests that ran, and the text of the first failure."""
    if not path.exists():
        return 0, None
    count, failure = 0, None
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            continue
        count += 1
        found = next((item for item in case if item.tag in ("failure", "error")), None)
        if found is not None and failure is None:
            text = found.get("message") or found.get("error_msg") or found.text or ""
            failure = f"{case.get('name')}: {text.strip()}\n{(found.text or '').strip()}"
    return count, failure
