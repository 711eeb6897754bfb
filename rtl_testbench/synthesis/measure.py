"""Synthesises configurations, keeps their counts in docs/measurements/synthesis.json and writes docs/synthesis.md.

    python -m cosyn.rtl_testbench.synthesis.measure tiny odd my.yaml
    python -m cosyn.rtl_testbench.synthesis.measure            # writes the page again, from what is known

Each run adds to what is known. A module that any configuration has needed before is not synthesised again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.presets import config_mapping, load_config
from cosyn.rtl_testbench.sources import module_files
from cosyn.rtl_testbench.synthesis.report import render
from cosyn.rtl_testbench.synthesis.yosys import TOP, synthesise

COUNTS = Path("docs/measurements/synthesis.json")
PAGE = Path("docs/synthesis.md")


def rtl_digest() -> str:
    """Of the sources of the accelerator: which RTL a count belongs to."""
    text = "".join(path.read_text(encoding="utf-8") for path in module_files(TOP))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def measure(config: AcceleratorConfig, counts: Path) -> None:
    """Add the counts of `config` to the file."""
    digest = rtl_digest()
    report = synthesise(config)
    known = json.loads(counts.read_text(encoding="utf-8")) if counts.exists() else {}
    known[config.name] = {"rtl": digest, "configuration": config_mapping(config), **report.to_json()}
    counts.parent.mkdir(parents=True, exist_ok=True)
    counts.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{config.name}: {report.total}; {report.cpu_seconds:.0f} s of processor time", flush=True)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description="Count the cells of accelerator configurations with Yosys.")
    parser.add_argument("configurations", nargs="*", help="names of shipped configurations, or YAML files")
    parser.add_argument("--counts", type=Path, default=COUNTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    for name in arguments.configurations:
        measure(load_config(name), arguments.counts)
    known = json.loads(arguments.counts.read_text(encoding="utf-8"))
    arguments.page.write_text(render(known), encoding="utf-8")


if __name__ == "__main__":
    main()
