"""What cores that meet must agree on."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.accelerator_model.errors import ProgramError
from cosyn.accelerator_model.isa import Instruction, System


def check_meeting(instructions: Sequence[Instruction]) -> list[System]:
    """One instruction of each core, all barriers or all exchanges; ProgramError shows those that differ."""
    found = [item for item in instructions if isinstance(item, System)]
    if len({item.operation for item in found}) > 1:
        texts = "; ".join(f"core {core}: {item.assembly()}" for core, item in enumerate(found))
        raise ProgramError(f"the cores meet with different operations: {texts}")
    return found
