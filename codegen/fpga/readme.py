"""The README of an accelerator artifact."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from cosyn.accelerator_model.config import AcceleratorConfig


def fpga_readme(config: AcceleratorConfig, description: dict[str, Any], rtl: Sequence[str], *, golden: bool) -> str:
    """Markdown for the folder that `description` describes."""
    report = description["instructions"]
    rows = "\n".join(_size_row(config, list(found)) for _, found in groupby(description["programs"], _tokens))
    memory = ", ".join(f"{s * config.stripe_bytes / 2**20:.1f} MiB" for s in description["memory_stripes"])
    checked = (
        "- `golden.safetensors`: tokens and logits of steps by the bit-exact reference; `python check.py sim` (or\n"
        "  `rtl`) compares."
        if golden
        else "- The model is too large for golden logits; `cosyn verify` compares steps with the simulator."
    )
    modules = "the RTL sources" if len(rtl) > 3 else "the generated packages (the RTL sources are not installed)"
    return f"""# A model for the accelerator configuration {config.name}

{config.cores} core{"s" if config.cores > 1 else ""} of {config.macs} INT8 products a cycle at
{config.clock_hz / 1e6:g} MHz; configuration hash `{description["config_hash"]}`.

```sh
cosyn run . --prompt "Once upon a time"                # on the functional simulator
cosyn run . --prompt "Once upon a time" --engine rtl   # on the RTL, in an open simulator
cosyn inspect . --program                              # every instruction with its node
cosyn verify .                                         # the RTL against the simulator
```

| tokens of a step | programs | instructions of a linear | instructions | vector lines | activation lines |
|---|---|---|---|---|---|
{rows}

All programs together take {report["bytes"]:,} bytes and serve every context up to {report["longest_context"]} tokens
(FlightLLM publishes {report["flightllm_bytes_for_2048"]:,} bytes for 2048). Memory of each core: {memory}.

## Files

- `rtl/`: {modules}, `files.f` in the order of compilation, `cosyn.xdc`, and for Vivado and Vitis `build.tcl`,
  `package.tcl` and `connectivity.cfg`. The scripts have **not been run with the vendor's tools**.
- `programs/core<c>.bin`: core c's instruction memory, from address 0; `programs/step_<m>.bin`: the program for
  m tokens with the name of each instruction's node (with block masks `step_<m>_from_<position>.bin`, one for each
  span of positions in which the masks' rows agree).
- `images/core<c>.bin`: core c's memory from stripe 0; a stripe is {config.stripe_bytes} bytes, channel i holds bytes
  {config.channel_bytes} i to {config.channel_bytes} (i + 1) - 1 of each. What follows the file starts as zeros.
- `accelerator.json`: addresses of inputs, logits and programs; `registers.md`: the control registers.
- `embeddings.safetensors`: the tables that the host looks tokens up in.
{checked}
"""


def _tokens(program: dict[str, Any]) -> int:
    return int(program["tokens"])


def _size_row(config: AcceleratorConfig, programs: Sequence[dict[str, Any]]) -> str:
    """The programs of one size: the most that one of them needs."""
    instructions = max(sum(p["instructions"]) for p in programs)
    vector, activation = (max(p[key] for p in programs) for key in ("vector_lines", "activation_lines"))
    return (
        f"| {programs[0]['tokens']} | {len(programs)} | {programs[0]['pieces']} | {instructions:,} |"
        f" {vector:,} of {config.vector_lines:,} | {activation:,} of {config.activation_lines:,} |"
    )
