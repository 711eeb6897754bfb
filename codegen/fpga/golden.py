"""Inputs and logits of a few steps by the bit-exact reference, and the script that compares a device with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cosyn.accelerator_model.reference.model import ReferenceModel
from cosyn.accelerator_model.reference.weights import QuantizedWeights
from cosyn.codegen.fpga.regions import Layout
from cosyn.ir.interpreter import WeightReader
from cosyn.passes.rtn import quantize_rtn
from cosyn.runtime.tensor_file import TensorSpec, write_tensors

LARGEST = 200_000_000
"""Weights beyond which the reference would take minutes; larger models have no golden outputs."""

CHECKER = '''"""Compare an accelerator with the golden logits of this artifact: python check.py [ENGINE]."""

import sys
from pathlib import Path

import numpy as np

from cosyn.engines import load_model
from cosyn.runtime.tensor_file import TensorFile

folder = Path(__file__).resolve().parent
model = load_model(folder, sys.argv[1] if len(sys.argv) > 1 else "sim")
golden = TensorFile(folder / "golden.safetensors")
tokens, ends, expected = (golden.array(name) for name in ("tokens", "ends", "logits"))
state, first, failed = model.executor.allocate(1, model.executor.max_seq), 0, 0
for end, wanted in zip(ends.tolist(), expected):
    ids = tokens[first:end].astype(np.int32)
    positions, last = np.arange(first, end, dtype=np.int32), np.array([end - first - 1], np.int32)
    found = model.executor.step(state, ids, positions, np.zeros_like(ids), last)[0]
    wrong = np.flatnonzero(found.view(np.uint32) != wanted.view(np.uint32))
    if len(wrong):
        failed += 1
        print(f"tokens {first}..{end - 1}: {len(wrong)} of {len(wanted)} logits differ, the first is {wrong[0]}:"
              f" expected {wanted[wrong[0]]!r}, found {found[wrong[0]]!r}")
    first = end
print("FAIL" if failed else "PASS")
sys.exit(1 if failed else 0)
'''


def write_golden(folder: Path, layout: Layout, load: WeightReader, sizes: Sequence[int]) -> bool:
    """golden.safetensors and check.py, with a step of each of the `sizes` that fits; False for a model too large."""
    graph = layout.plan.graph
    weights = sum(int(graph.types[p.weight].elements) for p in layout.plan.linears.values())
    if weights > LARGEST:
        return False
    reference = ReferenceModel(graph, QuantizedWeights(graph, load, quantize_rtn), layout.plan.config.lanes)
    vocabulary = int(graph.types[graph.outputs[0]].shape[-1])
    random = np.random.default_rng(0)
    ends: list[int] = []
    tokens: list[int] = []
    logits = []
    for size in (*sorted(sizes, reverse=True), 1):
        if len(tokens) + size <= layout.plan.max_seq:
            part = random.integers(0, vocabulary, size).tolist()
            logits.append(reference.step(part, rows=[size - 1])[0])
            tokens += part
            ends.append(len(tokens))
    arrays = {
        "tokens": np.array(tokens, np.int32),
        "ends": np.array(ends, np.int32),
        "logits": np.stack(logits).astype(np.float32),
    }
    names = {np.dtype(np.int32): "i32", np.dtype(np.float32): "f32"}
    specs = [TensorSpec(name, array.shape, names[array.dtype]) for name, array in arrays.items()]
    write_tensors(folder / "golden.safetensors", specs, lambda spec: arrays[spec.name])
    (folder / "check.py").write_text(CHECKER, encoding="utf-8")
    return True
