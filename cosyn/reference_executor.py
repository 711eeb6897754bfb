"""The accelerator's bit-exact reference as an executor: no program, only the meaning of the graph."""

from __future__ import annotations

import json

import numpy as np

from cosyn.accelerator_engine import artifact_config
from cosyn.accelerator_model.reference.model import ReferenceModel
from cosyn.accelerator_model.reference.weights import QuantizedWeights
from cosyn.ir.parser import parse
from cosyn.passes.rtn import quantize_rtn
from cosyn.runtime.errors import RequestError
from cosyn.runtime.executor import FloatArray, IntArray, State
from cosyn.runtime.fpga.driver import FpgaState
from cosyn.runtime.loader import Artifact
from cosyn.verification import model_weights


class ReferenceExecutor:
    """Runs the artifact's graph, with weights from the model that it was made from."""

    def __init__(self, artifact: Artifact) -> None:
        manifest = json.loads((artifact.folder / "manifest.json").read_text(encoding="utf-8"))
        graph = parse((artifact.folder / "graph.ir").read_text(encoding="utf-8"))
        weights = QuantizedWeights(graph, model_weights(artifact, manifest, None), quantize_rtn)
        self.model = ReferenceModel(graph, weights, artifact_config(artifact.folder).lanes)
        self.vocab_size = artifact.manifest.model.vocab_size
        self.max_seq = artifact.manifest.model.max_seq
        self.max_chunk = artifact.manifest.max_chunk
        self.max_out = self.max_chunk
        self.state_specs = artifact.manifest.states
        self._tokens: list[int] = []

    def allocate(self, slots: int, capacity: int) -> State:
        """The reference's only sequence; RequestError for more than one."""
        if slots != 1:
            raise RequestError(f"the reference holds one sequence, {slots} were asked for", "give one prompt")
        return FpgaState(capacity)

    def step(
        self, state: State, token_ids: IntArray, positions: IntArray, slots: IntArray, out_rows: IntArray
    ) -> FloatArray:
        """See `Executor.step`. Going back in the sequence computes what stays once more."""
        first = int(positions[0])
        if first != self.model.position:
            kept = self._tokens[:first]
            self.model.reset()
            if kept:
                self.model.step(kept, rows=[len(kept) - 1])
        self._tokens = [*self._tokens[:first], *(int(t) for t in token_ids)]
        rows = [int(r) for r in out_rows] or [len(token_ids) - 1]
        logits = self.model.step([int(t) for t in token_ids], rows=rows)
        return np.ascontiguousarray(logits[: len(out_rows)])
