"""The pipeline: order, records, dumps, and that the whole keeps the meaning of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from cosyn.ir.errors import RequestError
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import Interpreter, run_graph
from cosyn.ir.parser import parse
from cosyn.ir.verifier import VerifyError
from cosyn.passes.pipeline import Options, dump_to, passes, run_passes
from cosyn.passes.recipe import RECIPES
from tests.passes.graphs import llama, llama_inputs, random_weights

FP32 = Options(RECIPES["fp32"])


def test_the_order() -> None:
    assert [p.name for p in passes(FP32, 64)] == [
        "canonicalise", "sparse_attention", "merge_linears", "explicit_state", "select_rows",
        "decompose_moe", "quantize", "canonicalise",
    ]  # fmt: skip


def test_every_step_leaves_a_record_and_a_legal_graph() -> None:
    graph, records = run_passes(llama(), passes(FP32, 64), verify=True)
    assert [r.name for r in records] == [p.name for p in passes(FP32, 64)]
    assert records[-1].nodes == len(graph.nodes)
    assert all(r.seconds >= 0 for r in records)
    assert [i.name for i in graph.inputs] == ["token_ids", "positions", "slots", "out_rows"]


def test_stops_after_a_pass() -> None:
    graph, records = run_passes(llama(), passes(FP32, 64), stop_after="merge_linears")
    assert records[-1].name == "merge_linears"
    assert not graph.states
    assert run_passes(llama(), passes(FP32, 64), stop_after="import") == (llama(), ())
    with pytest.raises(
        RequestError, match="unknown pass 'quantise'; did you mean quantize\\? Passes: import, canonicalise,"
    ):
        run_passes(llama(), passes(FP32, 64), stop_after="quantise")


def test_dumps_one_file_per_pass_that_parses(tmp_path: Path) -> None:
    graph, _ = run_passes(llama(), passes(FP32, 64), after=dump_to(tmp_path / "ir"))
    files = sorted((tmp_path / "ir").iterdir())
    assert [f.name for f in files][:2] == ["00_import.ir", "01_canonicalise.ir"]
    assert parse(files[-1].read_text()) == graph


@dataclass(frozen=True)
class Breaks:
    name: ClassVar[str] = "breaks"

    def run(self, graph: Graph) -> Graph:
        return graph.with_nodes(graph.nodes[1:])


def test_verification_names_the_pass_that_broke_the_graph() -> None:
    with pytest.raises(VerifyError, match=r"the graph after breaks breaks \d+ rules of the IR:\n  %x: an operand is"):
        run_passes(llama(), [Breaks()], verify=True)


@pytest.mark.parametrize("tokens", [1, 7, 13])
def test_float_recipes_keep_the_meaning(tokens: int) -> None:
    graph = llama()
    weights = random_weights(graph)
    (expected,) = run_graph(graph, llama_inputs(tokens), weights.__getitem__, dtype=np.float64)
    after, _ = run_passes(graph, passes(FP32, 64))
    rows = [tokens - 1, 0]
    (found,) = run_graph(after, llama_inputs(tokens, rows), weights.__getitem__, dtype=np.float64)
    np.testing.assert_allclose(found, expected[rows], rtol=1e-12, atol=1e-12)


def test_chunks_and_batches_give_what_whole_prompts_give() -> None:
    graph = llama()
    weights = random_weights(graph)
    (expected,) = run_graph(graph, llama_inputs(9), weights.__getitem__, dtype=np.float64)
    after, _ = run_passes(graph, passes(FP32, 64))
    interpreter = Interpreter(after, weights.__getitem__, dtype=np.float64)
    states = interpreter.new_states()
    ids = llama_inputs(9)["token_ids"]
    # Slot 1 gets the sequence in one chunk, slot 0 in pieces of 4, 1 and 4, the last beside slot 1.
    for slots, positions in (([0] * 4, range(4)), ([0], [4]), ([0] * 4 + [1] * 9, [*range(5, 9), *range(9)])):
        positions = np.array(positions)
        (logits,) = interpreter.run(
            {
                "token_ids": ids[positions],
                "positions": positions,
                "slots": slots,
                "out_rows": np.arange(len(slots)),
            },
            states=states,
        )
        np.testing.assert_allclose(logits, expected[positions], rtol=1e-12, atol=1e-12)
