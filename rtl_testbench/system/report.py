"""Cycles of a step by instruction class and by layer, on the RTL and in the simulator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cosyn.accelerator_model.isa import Opcode
from cosyn.rtl_testbench.system.lockstep import StepRun


@dataclass(frozen=True, slots=True)
class Cycles:
    """The same quantity at three levels; the estimate may be absent."""

    name: str
    rtl: int
    simulated: int
    estimated: float | None = None

    @property
    def simulated_error(self) -> float:
        """(simulated - RTL) / RTL."""
        return self.simulated / self.rtl - 1 if self.rtl else 0.0

    @property
    def estimated_error(self) -> float | None:
        """(estimated - simulated) / simulated."""
        return None if self.estimated is None or not self.simulated else self.estimated / self.simulated - 1


def by_class(step: StepRun) -> Iterator[Cycles]:
    """Busy cycles of each class, over all cores; SYS without those in which it only waits for other cores."""
    for opcode in Opcode:
        rtl = sum(count for (_, op), count in step.busy.items() if op == opcode)
        simulated = step.result.class_cycles(opcode)
        if opcode == Opcode.SYS:
            rtl, simulated = rtl - step.meeting_wait, simulated - step.result.meeting_cycles
        yield Cycles(opcode.name, rtl, simulated)


def waiting(step: StepRun) -> Cycles:
    """Cycles in which a core waits for others at a barrier or an exchange, over all cores."""
    return Cycles("waiting for cores", step.meeting_wait, step.result.meeting_cycles)


def by_layer(step: StepRun, layer_of: Callable[[str], str | None]) -> Iterator[Cycles]:
    """Time between the end of one layer and the end of the next, in the order in which they end.

    A layer ends when the last of its instructions that are not loads retires; loads run ahead. `layer_of` gives a
    node's layer, None where it has none: such instructions count to the layer that ends next.
    """
    rtl: dict[str, int] = {}
    simulated: dict[str, int] = {}
    order: dict[tuple[int, Opcode], int] = defaultdict(int)
    places = {}
    for item in sorted(step.result.retirements, key=lambda r: r.index):
        key = (item.core, item.opcode)
        places[*key, order[key]] = item
        order[key] += 1
    seen: dict[tuple[int, Opcode], int] = defaultdict(int)
    for found in step.retirements:
        key = (found.core, found.opcode)
        wanted = places[*key, seen[key]]
        seen[key] += 1
        layer = layer_of(wanted.node)
        if layer is None or found.opcode == Opcode.LD:
            continue
        rtl[layer] = max(rtl.get(layer, 0), found.cycle - step.started)
        simulated[layer] = max(simulated.get(layer, 0), wanted.end)
    before = (0, 0)
    for layer in sorted(rtl, key=lambda name: rtl[name]):
        yield Cycles(layer, rtl[layer] - before[0], simulated[layer] - before[1])
        before = (rtl[layer], simulated[layer])
