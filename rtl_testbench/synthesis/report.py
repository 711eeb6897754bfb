"""The page docs/synthesis.md: what synthesis counted beside what the resource model says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.presets import config_from
from cosyn.accelerator_model.resources import RESOURCES, Use, modules, resources

_NAMES = {"dsp": "DSP", "lut": "LUT", "ff": "FF", "bram36": "BRAM36", "uram": "URAM"}

_INTRODUCTION = """# Synthesis

Written by `python -m cosyn.rtl_testbench.synthesis.measure`, with the names of configurations or YAML files to measure
them again; do not edit.

Yosys (`synth_xilinx -family xcup -uram`, ABC9 as it comes) synthesises every distinct module of a configuration once,
with empty modules in place of those below it, and sums over the instances: what one run that keeps the hierarchy gives.
A configuration has some seventy of them, however many instances there are; what ABC finds for one varies by some
percent with the others that Yosys holds at the time. The model is what `cosyn estimate` says: formulas in widths and
depths for each module (`accelerator_model/module_use.py`), with counts of single ones (`unit_use.py`). Configurations
that do not ship are in `rtl_testbench/synthesis/configurations/`.

LUT counts those of logic, shift registers and distributed memories; a RAMB18 is half a BRAM36. Multipliers of the
chains are instantiated with all registers (`cosyn_dsp48_pair`); the others are inferred, and Yosys puts no registers
into those, so their flip-flops are counted here where a vendor's tool would pack them. An adder whose first operand is
gated takes two look-up tables a bit here and one on the device; one that needs no gate takes none here and one there.
No placement, no routing, no timing: a clock rate cannot be had from this.
"""


def render(known: Mapping[str, Any]) -> str:
    """The page for the counts in docs/measurements/synthesis.json."""
    lines = [_INTRODUCTION, *_comparison(known)]
    return "\n".join(lines).rstrip("\n") + "\n"


def configuration_of(name: str, entry: Mapping[str, Any]) -> AcceleratorConfig:
    """The configuration that an entry was measured with."""
    return config_from(entry["configuration"], name)


def _by_size(known: Mapping[str, Any]) -> list[str]:
    return sorted(known, key=lambda name: (known[name]["total"]["lut"], name))


def _comparison(known: Mapping[str, Any]) -> Iterator[str]:
    names = _by_size(known)
    yield "## Configurations\n"
    yield "| | cores | products | replicas | chain | sparse | channels | lanes | weights | activations | vectors |"
    yield "|---|" + "---:|" * 10
    for name in names:
        config = configuration_of(name, known[name])
        yield (
            f"| `{name}` | {config.cores} | {config.macs} | {config.token_replicas} | {config.chain_length}"
            f" | {', '.join(map(str, config.kept)) or '–'}"
            f" | {config.channels_per_core} × {8 * config.channel_bytes} bit"
            f" | {config.lanes} | {config.weight_ring_words} + {config.kv_ring_words} | {config.activation_lines}"
            f" | {config.vector_lines} |"
        )
    yield "\nProducts and channels are those of one core; weights, activations and vectors are depths of buffers.\n"
    yield "## Counted and modelled\n"
    yield "| | " + " | ".join(f"{_NAMES[n]} | model | |" for n in RESOURCES).replace("| |", "|")
    yield "|---|" + "---:|" * (3 * len(RESOURCES))
    for name in names:
        total = resources(configuration_of(name, known[name])).total
        cells = [_cell(known[name]["total"][n], getattr(total, n)) for n in RESOURCES]
        yield f"| `{name}` | " + " | ".join(cells) + " |"
    yield ""
    yield from _breakdown(names[-1], known[names[-1]])
    yield "## Which RTL\n"
    yield "Digest of the modules' sources at the measurement; one that differs from the others' is due for another.\n"
    yield "| | digest |\n|---|---|"
    yield from (f"| `{name}` | {known[name]['rtl']} |" for name in names)


def _cell(counted: float, modelled: float) -> str:
    if not counted:
        return f"0 | {_whole(modelled)} | {'=' if not modelled else ''}"
    difference = f"{100 * (modelled / counted - 1):+.1f} %"
    # No sign where nothing is left of it.
    difference = "0.0 %" if difference in ("+0.0 %", "-0.0 %") else difference
    return f"{_number(counted)} | {_whole(modelled)} | {'=' if counted == modelled else difference}"


def _number(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")


def _whole(value: float) -> str:
    """Look-up tables of a formula need not be whole."""
    return _number(round(value * 2) / 2)


def _breakdown(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    config = configuration_of(name, entry)
    yield f"## Where it goes: `{name}`\n"
    yield "Every module's own cells over all its instances, without the modules below it; beside them the model.\n"
    yield "| module | instances | LUT | model | FF | model | DSP | BRAM36 | URAM |"
    yield "|---|" + "---:|" * 8
    counted, modelled = entry["modules"], modules(config)
    for module in sorted(counted, key=lambda m: (-counted[m]["lut"], m)):
        own, model = counted[module], modelled.get(module, Use())
        cells = [own["lut"], model.lut, own["ff"], model.ff, own["dsp"], own["bram36"], own["uram"]]
        yield f"| `{module}` | {own['instances']:,} | " + " | ".join(map(_whole, cells)) + " |"
    yield "\nThe model's blocks:\n"
    found = resources(config)
    yield "| block | " + " | ".join(_NAMES.values()) + " |"
    yield "|---|" + "---:|" * len(_NAMES)
    for block, use in found.core.items():
        yield f"| {block} | " + _row(use.times(found.cores))
    for block, use in found.once.items():
        yield f"| {block} | " + _row(use)
    yield ""


def _row(use: Use) -> str:
    return " | ".join(_whole(getattr(use, n)) for n in RESOURCES) + " |"
