"""Synthesises configurations and keeps their counts in docs/measurements/synthesis.json.

    python -m cosyn.rtl_testbench.synthesis.measure tiny odd my.yaml

The resource model is compared with that file; each run adds to it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from cosyn.accelerator_model.isa.systemverilog import config_hash
from cosyn.accelerator_model.presets import config_mapping, load_config
from cosyn.rtl_testbench.synthesis.yosys import TOP, synthesise


def measure(names: list[str], top: str, target: Path) -> None:
    """Add the counts of each configuration to the file, one after the other."""
    for name in names:
        config = load_config(name)
        with tempfile.TemporaryDirectory() as folder:
            report = synthesise(config, Path(folder), top)
        known = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
        entry = {"top": top, "hash": config_hash(config), "configuration": config_mapping(config), **report.to_json()}
        known[config.name if top == TOP else f"{config.name} {top}"] = entry
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{config.name}: {report.total} in {report.seconds:.0f} s", flush=True)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description="Count the cells of accelerator configurations with Yosys.")
    parser.add_argument("configurations", nargs="+", help="names of shipped configurations, or YAML files")
    parser.add_argument("--top", default=TOP, help="a module other than the whole accelerator")
    parser.add_argument("--output", type=Path, default=Path("docs/measurements/synthesis.json"))
    arguments = parser.parse_args()
    measure(arguments.configurations, arguments.top, arguments.output)


if __name__ == "__main__":
    main()
