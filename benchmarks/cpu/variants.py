"""What is measured: each engine in each of its weight formats, and which of them are compared."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
_ENGINES = "benchmarks.cpu.engines"
_SMALLEST, _SHORT_TESTS = "15M", ("pp128", "tg64")


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine with weights in one format.

    `width`: bits per weight, roughly: those of one width are resident together and take turns.
    """

    engine: str
    bits: str
    width: Literal[32, 16, 8, 4]
    module: str
    environment: Literal["cosyn", "peers"]
    asked: str = ""
    """What its process calls the format, where that says more than `bits`."""

    @property
    def name(self) -> str:
        return f"{self.engine} {self.bits}"

    @property
    def interpreter(self) -> Path:
        """The Python that has the engine: ours, or that of scripts/bench_needs.sh."""
        if self.environment == "cosyn":
            return Path(sys.executable)
        return Path(os.environ.get("PEERS", ROOT / "build" / "peers")) / "bin" / "python"

    def compiled_for(self, target: str) -> Variant:
        """This variant of cosyn with code for another CPU than the one it runs on."""
        return replace(self, asked=f"{self.bits} {target}")

    def measures(self, shape: str, test: str) -> bool:
        """Whether it takes part in a test: PyTorch only in a part of those at the large shapes, and there not in f32.

        Its steps are slow to compile, and its long prompts slow to run; the rest would wait for them.
        """
        large = shape != _SMALLEST
        if self.engine.startswith("PyTorch") and (large or "compiled" in self.engine) and test not in _SHORT_TESTS:
            return False
        return self.width != 32 or not large


def _pytorch(bits: str, width: Literal[32, 16]) -> tuple[Variant, ...]:
    module = f"{_ENGINES}.pytorch"
    return tuple(Variant(f"PyTorch {w}", bits, width, module, "cosyn", f"{bits} {w}") for w in ("eager", "compiled"))


VARIANTS = (
    Variant("cosyn", "bf16", 16, f"{_ENGINES}.cosyn_engine", "cosyn"),
    Variant("cosyn", "bf16_a16", 16, f"{_ENGINES}.cosyn_engine", "cosyn"),
    Variant("llama.cpp", "BF16", 16, f"{_ENGINES}.llama_cpp", "peers"),
    Variant("OpenVINO", "fp16", 16, f"{_ENGINES}.openvino_genai", "peers"),
    *_pytorch("bf16", 16),
    Variant("cosyn", "w8a8", 8, f"{_ENGINES}.cosyn_engine", "cosyn"),
    Variant("llama.cpp", "Q8_0", 8, f"{_ENGINES}.llama_cpp", "peers"),
    Variant("OpenVINO", "int8", 8, f"{_ENGINES}.openvino_genai", "peers"),
    Variant("cosyn", "w4a8_g32", 4, f"{_ENGINES}.cosyn_engine", "cosyn"),
    Variant("cosyn", "w4a16_g32", 4, f"{_ENGINES}.cosyn_engine", "cosyn"),
    Variant("llama.cpp", "Q4_0", 4, f"{_ENGINES}.llama_cpp", "peers"),
    Variant("llama.cpp", "Q4_K_M", 4, f"{_ENGINES}.llama_cpp", "peers"),
    Variant("OpenVINO", "int4", 4, f"{_ENGINES}.openvino_genai", "peers"),
    Variant("cosyn", "fp32", 32, f"{_ENGINES}.cosyn_engine", "cosyn"),
    *_pytorch("f32", 32),
)
ENGINES = tuple(dict.fromkeys(v.engine for v in VARIANTS))
READER = Variant("read bandwidth", "w8a8", 8, f"{_ENGINES}.read_bandwidth", "cosyn")
"""Measures the machine and no engine, with the library of the smallest shape."""
