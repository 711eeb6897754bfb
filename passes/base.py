"""What every pass is: a frozen record of options with a name, from graph to graph."""

from __future__ import annotations

from typing import ClassVar, Protocol

from cosyn.ir.errors import CosynError
from cosyn.ir.graph import Graph


class Pass(Protocol):
    """One transformation of a graph; its fields are its options, its docstring shows before → after."""

    name: ClassVar[str]

    def run(self, graph: Graph) -> Graph:
        """The transformed graph; the given one is not changed."""
        ...


class PassError(CosynError):
    """A graph that a pass cannot transform; the message names the node, what was expected and found."""
