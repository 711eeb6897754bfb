"""The weights of a program as the arrays that its kernels read, one matrix at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from cosyn.codegen.program import Argument, Program
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.packing import as_stored, pack
from cosyn.ir.dtype import DType
from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import ConstantEvaluator
from cosyn.passes.rtn import quantize_rtn
from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.tensor_file import TensorSpec

Array = npt.NDArray[Any]

# Two weights in the making use two cores and hold at most three matrices in memory.
_WORKERS = 2

_NUMPY_TO_NAME = {e.numpy.name: name for name, e in BY_NAME.items() if name != "bf16"}


class WeightPacker:
    """Packs the weights of a program in the order in which entry points take them.

    Reads, quantizes and packs ahead of the writer, so that both cores work and memory stays at a few matrices.
    """

    def __init__(self, program: Program, layouts: dict[str, PackedLayout], evaluator: ConstantEvaluator) -> None:
        self.program = program
        self._layouts = layouts
        self._evaluator = evaluator
        self.specs = [_spec(program.graph, layouts, a) for a in program.weight_pieces]

    def loader(self, progress: Callable[[int, int], None] | None = None) -> Callable[[TensorSpec], Array]:
        """A function that returns the array of each spec, asked in the order of `specs`."""
        arrays = self._arrays(progress)

        def load(spec: TensorSpec) -> Array:
            name, array = next(arrays)
            if name != spec.name:
                raise ValueError(f"weights are packed in one order: expected {name}, asked for {spec.name}")
            return array

        return load

    def _arrays(self, progress: Callable[[int, int], None] | None) -> Iterator[tuple[str, Array]]:
        # A tied table is there twice: whole for the embedding, packed for the head.
        forms = list(dict.fromkeys((a.ref, bool(a.piece)) for a in self.program.weight_pieces))
        with ThreadPoolExecutor(_WORKERS) as pool:
            pending: list[Future[dict[str, Array]]] = [pool.submit(self._pack, *f) for f in forms[:_WORKERS]]
            for done, (ref, _) in enumerate(forms, start=1):
                pieces = pending.pop(0).result()
                if done - 1 + _WORKERS < len(forms):
                    pending.append(pool.submit(self._pack, *forms[done - 1 + _WORKERS]))
                if progress is not None:
                    progress(done, len(forms))
                for piece, array in pieces.items():
                    yield str(Argument(ref, piece)), array

    def _pack(self, ref: str, packed: bool) -> dict[str, Array]:
        values = self._evaluator.get(ref)
        if not packed:
            return {"": _as_stored(values, _spec(self.program.graph, self._layouts, Argument(ref)))}
        layout = self._layouts[ref]
        declared = self.program.graph.types[ref].format
        if declared is None:
            return pack(layout, values)
        return pack(layout, as_stored(layout, quantize_rtn(values, declared)))


def _spec(graph: Graph, layouts: dict[str, PackedLayout], argument: Argument) -> TensorSpec:
    name = str(argument)
    if argument.piece:
        piece = next(p for p in layouts[argument.ref].pieces if p.name == argument.piece)
        return TensorSpec(name, piece.shape, _NUMPY_TO_NAME[piece.dtype])
    kind = graph.types[argument.ref]
    shape = tuple(int(d) for d in kind.shape)
    if kind.dtype.is_float and kind.rank < 2:
        # Norms, biases and tables of angles are small: kernels read them as f32.
        return TensorSpec(name, shape, "f32")
    return TensorSpec(name, shape, kind.dtype.value)


def _as_stored(values: Array, spec: TensorSpec) -> Array:
    if spec.dtype == "bf16":
        return values.astype(DType.BF16.numpy).view(np.uint16)
    return np.ascontiguousarray(values.astype(BY_NAME[spec.dtype].numpy))
