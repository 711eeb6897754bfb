"""Which part of the cache attention with a static block mask streams past its queries, and the registers that say so.

Where a mask's rows change, a span of positions begins, and each span has its own programs. What a span reads of the
cache before its tail - the units that some head needs - is in these programs. The tail, which ends with the step's last
position, grows with the step, and so it is what registers have to say.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass

from cosyn.accelerator_model.cache_pattern import reach_registers
from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa.operands import register_number


@dataclass(frozen=True, slots=True)
class SpanPattern:
    """For each span: its first position, the positions that are read before the tail, and those that are not."""

    firsts: tuple[int, ...]
    kept: tuple[int, ...]
    skipped: tuple[int, ...]

    def span(self, position: int) -> int:
        """The span that `position` lies in."""
        return bisect(self.firsts, position) - 1


def span_registers(
    config: AcceleratorConfig, pattern: SpanPattern, bank: int, position: int, tokens: int
) -> dict[int, int]:
    """Values of a pattern's bank, by number of the register; nothing reads those of what is skipped."""
    span = pattern.span(position)
    kept, skipped = pattern.kept[span], pattern.skipped[span]
    values = reach_registers(config, position + 1 - skipped, kept, position + tokens - skipped)
    return {register_number(register, bank): value for register, value in values.items()}
