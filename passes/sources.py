"""Which checkpoint tensors a weight or constant is made from."""

from __future__ import annotations

from cosyn.ir.graph import Graph


class Sources:
    """The weights behind each `@ref` of a graph."""

    def __init__(self, graph: Graph) -> None:
        self._keys: dict[str, tuple[str, ...]] = {f"@{w.name}": (w.key,) for w in graph.weights}
        self._constants = {f"@{n.name}": n for n in graph.constants}

    def keys(self, ref: str) -> tuple[str, ...]:
        """Keys of the weights that `ref` is computed from, each once, in order of first use."""
        if ref not in self._keys:
            node = self._constants[ref]
            found = [key for operand in node.operands for key in self.keys(operand)]
            self._keys[ref] = tuple(dict.fromkeys(found))
        return self._keys[ref]
