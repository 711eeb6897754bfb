"""Operations are read from the graph: shapes, layers, and what has no formula."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosyn.accelerator_model.estimate import WeightForm, operations
from cosyn.accelerator_model.estimate.operations import UnestimatedOps, cached_bytes_per_position, total_weights
from cosyn.ir.frontend import import_model
from cosyn.ir.parser import parse
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.recipe import load_recipe

CONFIG = Path(__file__).parents[3] / "examples" / "models" / "pydoc-llama" / "config.json"


def test_a_llama() -> None:
    imported = import_model(CONFIG)
    graph, _ = run_passes(imported.graph, passes(Options(load_recipe("w4a8_g32"), 8), imported.max_seq))
    found = operations(graph)
    kinds = [item.kind for item in found if item.layer == 3]
    assert kinds == [
        "norm", "linear", "rope", "rope", "append", "attend", "linear", "elementwise",
        "norm", "linear", "elementwise", "elementwise", "linear", "elementwise",
    ]  # fmt: skip
    assert {item.layer for item in found} == {-1, 0, 1, 2, 3, 4}
    (head,) = [item for item in found if item.kind == "linear" and item.last_token]
    assert (head.width, head.outputs, head.layer) == (256, 1024, -1)
    assert head.stored == WeightForm(4, 32)
    attend = next(item for item in found if item.kind == "attend")
    assert (attend.heads, attend.kv_heads, attend.width, attend.value_width) == (8, 2, 32, 32)
    per_layer = 256 * (256 + 2 * 64) + 256 * 256 + 3 * 256 * 512
    assert total_weights(found) == 5 * per_layer + 256 * 1024
    assert cached_bytes_per_position(found) == 5 * 2 * 2 * 32


def test_ops_without_a_formula_are_all_named() -> None:
    graph = parse(
        'graph "g"\ndim seq in 1..8\ninput %x : f32[seq, 8]\n'
        "%a = softmax(%x) : f32[seq, 8]\n%b = softmax(%a) : f32[seq, 8]\n%c = log(%b) : f32[seq, 8]\nreturn %c\n"
    )
    with pytest.raises(
        UnestimatedOps, match=r"the accelerator has no operation for: log \(1, first %c\); softmax \(2, first %a\)"
    ):
        operations(graph)
