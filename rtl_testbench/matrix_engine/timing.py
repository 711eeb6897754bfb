"""Cycles of MM and MV, as README.md states them."""

from __future__ import annotations

from collections.abc import Sequence

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import MatrixInstruction, MatrixMatrix
from cosyn.accelerator_model.isa.matrix_meaning import shape
from cosyn.accelerator_model.tile_stream import DENSE

HOLD = 4
"""Passes whose results can wait for the drain."""


def instruction_cycles(instruction: MatrixInstruction, config: AcceleratorConfig, registers: Sequence[int]) -> int:
    """Cycles from acceptance to done when every word is in the ring and the vector buffer grants every access.

    Exact where a tile has no more words than (half) steps, or the drain keeps up; otherwise a few cycles early.
    """
    sizes = shape(instruction, config, registers)
    mm = isinstance(instruction, MatrixMatrix)
    group = config.token_group if mm else 1
    lead = int(sizes.group_steps > 0) + int(sizes.kept != DENSE or sizes.bits == 3)
    array = 2 * sizes.steps if mm else sizes.steps
    scale_words = -(-sizes.steps // (sizes.group_steps * config.scale_groups_per_word)) if sizes.group_steps else 0
    served = {8: 1, 4: 1, 3: 2, 2: 2}[sizes.bits] * (2 if mm and sizes.bits != 8 else 1)
    lines = config.tile_columns // config.lanes + instruction.token_scaled
    passes = [min(group, sizes.rows - row) for _ in range(sizes.tiles) for row in range(0, sizes.rows, group)]
    word = 6  # when the last word of a pass can be used
    step = 6 + lead  # when the last (half) step of a pass starts
    if served == 2 and lead == 2:
        # Scales, indices and data are three words in the two cycles that a data word lasts; the first time is in lead.
        array += scale_words
        step -= 1
    if not mm and sizes.bits == 8:
        step += 1  # a step needs two words
    drained = [0] * HOLD  # when the results of a pass have been read
    for rows in passes:
        word += sizes.words
        step = max(step + array, word + served - 1, drained[-HOLD])
        drained.append(max(step + 17, drained[-1]) + rows * lines)
    return drained[-1] + 10
