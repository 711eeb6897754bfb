"""Random passes of MISC."""

from __future__ import annotations

import random

from cosyn.accelerator_model.isa import (
    Function,
    Misc,
    Operand,
    Output,
    Reduction,
)
from cosyn.rtl_testbench.system.random_scratch import Region, Scratch


def misc(scratch: Scratch, draw: random.Random) -> None:
    """A pass to the vector buffer, a reduction, or both."""
    rows, lines = draw.randint(1, 4), draw.choice([1, 2, 3, 4, 7, 12])
    reduction = Reduction(draw.randrange(5))
    output = draw.choice([Output.VECTOR, Output.NONE]) if reduction else Output.VECTOR
    _misc(scratch, draw, rows, lines, output, reduction)


def activate(scratch: Scratch, draw: random.Random) -> None:
    """A pass to the activation buffer."""
    config = scratch.config
    window = config.activation_line_bytes // config.lanes
    rows = -(-draw.randint(1, 5) // scratch.row_unit) * scratch.row_unit
    _misc(scratch, draw, rows, draw.randint(1, 4) * window, Output.ACTIVATION, Reduction.NONE)


def _misc(scratch: Scratch, draw: random.Random, rows: int, lines: int, output: Output, reduction: Reduction) -> None:
    config = scratch.config
    a = scratch.region(lines, rows)
    fields: dict[str, int | float] = {"a": a.line, "a_stride": a.stride}
    for name in "bcd":
        fields |= _operand(scratch, draw, name, rows, lines)
    if output == Output.ACTIVATION:
        fields |= {"d_kind": Operand.IMMEDIATE0, "immediate0": 20.0}
    target: Region | None = None
    if output == Output.VECTOR:
        target = scratch.new_region(rows, lines)
        fields |= {"destination": target.line, "destination_stride": target.stride}
    if output == Output.ACTIVATION:
        fields |= scratch.activation_target(rows, lines)
    if reduction:
        words = scratch.new_region(1, -(-rows // config.lanes) + 1)
        fields["reduce_to"] = words.line * config.lanes + draw.randrange(config.lanes)
    columns = lines * config.lanes
    if draw.random() < 0.4:
        fields |= {"valid": draw.randint(1, columns), "causal": draw.randrange(2)}
        fields["window"] = draw.choice([0, draw.randint(1, columns)])
        fields["sinks"] = draw.choice([0, draw.randint(1, columns)])
    function = draw.choices(list(Function), [6, 2, 1, 1, 1])[0]
    numbers = {"immediate0": draw.uniform(-3, 3), "immediate1": draw.uniform(-3, 3)} | fields
    scratch.instructions.append(
        Misc(
            function=function,
            rows=rows,
            columns=columns,
            c_negate=draw.randrange(2),
            reduction=reduction,
            output=output,
            **numbers,  # type: ignore[arg-type]  # integers but for the two immediates
        )
    )
    if target is not None:
        scratch.vectors.append(target)


def _operand(scratch: Scratch, draw: random.Random, name: str, rows: int, lines: int) -> dict[str, int | float]:
    kind = Operand(draw.randrange(5))
    found: dict[str, int | float] = {f"{name}_kind": kind}
    if kind == Operand.ROW:
        region = scratch.region(-(-rows // scratch.config.lanes))
        found[name] = region.line * scratch.config.lanes
    elif kind == Operand.VECTOR:
        once = draw.random() < 0.4
        region = scratch.region(lines, 1 if once else rows)
        found |= {name: region.line, f"{name}_stride": 0 if once else region.stride}
    return found
