"""The launch list: what every backend turns into host code, whatever its language."""

from __future__ import annotations

from dataclasses import dataclass

from cosyn.ir.graph import Graph
from cosyn.passes.fuse import FusionPlan
from cosyn.passes.plan_memory import MemoryPlan


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a kernel: a value `%x`, an input, one piece of a packed weight, or one tensor of a state."""

    ref: str
    piece: str = ""

    def __str__(self) -> str:
        return f"{self.ref}:{self.piece}" if self.piece else self.ref


@dataclass(frozen=True, slots=True)
class Launch:
    """One call of a kernel: it reads `arguments` and writes `results`, in the order of its parameters."""

    group: str
    kernel: str
    arguments: tuple[Argument, ...]
    results: tuple[str, ...]
    layer: str


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """One specialisation of the step: any `seq` in 1..max_seq and `out` in 1..max_out."""

    name: str
    max_seq: int
    max_out: int
    launches: tuple[Launch, ...]

    @property
    def bound(self) -> dict[str, int]:
        """Symbols that this entry point fixes: a step of one token has no symbolic size left."""
        return {"seq": 1, "out": 1} if self.max_seq == 1 else {}


@dataclass(frozen=True)
class Program:
    """A graph, how its nodes form kernels, where values lie, and the kernels' calls for each entry point."""

    graph: Graph
    fusion: FusionPlan
    memory: MemoryPlan
    entry_points: tuple[EntryPoint, ...]

    @property
    def output(self) -> str:
        """Reference of the logits, which the caller provides room for."""
        return self.graph.outputs[0]

    @property
    def state_tensors(self) -> tuple[Argument, ...]:
        """Every tensor of every state, in the order in which the caller passes them."""
        return tuple(Argument(f"${s.name}", piece) for s in self.graph.states for piece in state_pieces(s.dtype.value))

    @property
    def weight_pieces(self) -> tuple[Argument, ...]:
        """Every packed piece that some kernel reads, in the order in which the caller passes them."""
        pieces: dict[Argument, None] = {}
        for entry in self.entry_points:
            for launch in entry.launches:
                pieces |= dict.fromkeys(a for a in launch.arguments if a.ref.startswith("@"))
        return tuple(pieces)


def state_pieces(dtype: str) -> tuple[str, ...]:
    """Names of the tensors that hold one KV state: codes carry scales beside them."""
    return ("k", "v", "k_scales", "v_scales") if dtype == "i8" else ("k", "v")
