"""What lowering a large model from its configuration alone takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS, GIGABYTES = 20, 1.5
# VmHWM, because ru_maxrss of a child starts at its parent's.
_SCRIPT = """
import json, resource, sys
from cosyn.ir.frontend import import_model
model = import_model(sys.argv[1], random_weights=0)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "attention": sum(n.op == "attention" for n in model.graph.nodes),
    "moe": sum(n.op == "moe" for n in model.graph.nodes),
    "seconds": usage.ru_utime + usage.ru_stime,
    "gigabytes": int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 2**20,
}))
"""


@pytest.mark.shared
@pytest.mark.parametrize(("preset", "experts"), [("llama2_7b", 0), ("Mixtral-8x7B-v0.1", 32)])
def test_large_configurations_are_lowered_quickly_and_without_weights(
    preset: str, experts: int, shared_dir: Path
) -> None:
    config = shared_dir / "configs" / "mlc-presets" / f"{preset}.json"
    done = subprocess.run([sys.executable, "-c", _SCRIPT, str(config)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["attention"], found["moe"]) == (32, experts)
    # Processor time: the wall clock would judge whatever else the machine does.
    assert found["seconds"] < SECONDS
    assert found["gigabytes"] < GIGABYTES
