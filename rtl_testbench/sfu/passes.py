"""Random legal passes, and the coverpoints that they meet."""

from __future__ import annotations

import random
from collections.abc import Iterator

from cosyn.accelerator_model.config import REGISTER_BANKS, AcceleratorConfig
from cosyn.accelerator_model.isa.misc import Function, Misc, Operand, Output, Reduction
from cosyn.accelerator_model.isa.misc_meaning import problems, shape
from cosyn.accelerator_model.isa.operands import register_number

LINES = 512
"""The part of the vector buffer that benches use."""

_BANK = (0, 37, 0, 0, 0, 64, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1000)
REGISTERS = (*_BANK, *_BANK[:1], 19, *_BANK[2:6], 70, *_BANK[7:], *_BANK, 0, 1, *_BANK[2:])
"""Of each bank R1 and R6: valid columns; R5: columns."""


_DRAWS = 20_000
"""How many passes are drawn to meet the last coverpoints; the rarest is met by one in twenty."""


def covering_passes(generator: random.Random, config: AcceleratorConfig, count: int) -> list[Misc]:
    """`count` random passes, and after them more until every coverpoint is met, whatever the seed."""
    passes = [random_pass(generator, config) for _ in range(count)]
    left = all_coverpoints().difference(*(coverpoints(item, config) for item in passes))
    for _ in range(_DRAWS):
        if not left:
            return passes
        item = random_pass(generator, config)
        if found := left.intersection(coverpoints(item, config)):
            passes.append(item)
            left -= found
    raise AssertionError(f"coverage: none of {_DRAWS} random passes met {sorted(left)}")


def random_pass(generator: random.Random, config: AcceleratorConfig) -> Misc:
    """A legal pass within the first LINES lines and the activation buffer."""
    while True:
        candidate = _candidate(generator, config)
        if next(problems(candidate, config, REGISTERS, 1), None) is None and _inside(candidate, config):
            return candidate


def _candidate(generator: random.Random, config: AcceleratorConfig) -> Misc:
    rows = generator.choice([1, 1, 2, 3, 4, 7, 12, 20])
    lines = generator.choice([1, 1, 2, 3, 4, 5, 6, 9, 13])
    columns_reg = generator.choice([0, 0, 0, 5])
    if columns_reg:
        lines = REGISTERS[5] // config.lanes
    fields: dict[str, int | float] = {}
    # Four vectors find room together so rarely that they are asked for.
    kinds = [Operand.VECTOR] if generator.random() < 0.15 else list(Operand)
    for name in "bcd":
        kind = generator.choice(kinds)
        fields[f"{name}_kind"] = kind
        fields[name] = generator.randrange(LINES * config.lanes - rows if kind == Operand.ROW else LINES)
        fields[f"{name}_stride"] = generator.choice([0, lines, lines, lines + 1])
    a, a_stride = generator.randrange(LINES), generator.choice([0, lines, lines, lines + 2])
    output = generator.choice([Output.NONE, Output.VECTOR, Output.VECTOR, Output.ACTIVATION])
    reduction = generator.choice(list(Reduction) if output else list(Reduction)[1:])
    in_place = output == Output.VECTOR and generator.random() < 0.4
    row_lines = -(-lines * config.lanes // config.activation_line_bytes)
    stride = {Output.VECTOR: lines, Output.ACTIVATION: row_lines}.get(output, 0)
    valid_reg = generator.choice([0, 0, 1, 6])
    bank = generator.randrange(REGISTER_BANKS)
    return Misc(
        function=generator.choice([Function.IDENTITY, *Function]),
        rows=rows,
        columns=generator.randrange(1 << 16) if columns_reg else lines * config.lanes,
        columns_reg=columns_reg,
        valid=generator.choice([0, 0, 1, config.lanes, generator.randrange(lines * config.lanes + 3)]),
        valid_reg=valid_reg,
        causal=generator.randrange(2),
        window=generator.choice([0, 0, 1, 5, generator.randrange(lines * config.lanes) + 1]),
        sinks=generator.choice([0, 0, 1, config.lanes + 1, generator.randrange(lines * config.lanes + 3)]),
        bank=bank,
        a=a,
        a_stride=a_stride,
        c_negate=generator.randrange(2),
        immediate0=generator.choice([0.0, -1.0, 1e-3, 0.044715, 3.0e38]),
        immediate1=generator.uniform(-4, 4),
        reduction=reduction,
        reduce_to=generator.randrange(LINES * config.lanes - rows),
        output=output,
        destination=a if in_place else generator.randrange(LINES if output == Output.VECTOR else 100),
        destination_stride=a_stride if in_place else stride + generator.choice([0, 0, 1]),
        destination_row=generator.choice([0, 0, 1, 5]) if output == Output.ACTIVATION else 0,
        **fields,  # type: ignore[arg-type]  # names made above
    )


def _inside(candidate: Misc, config: AcceleratorConfig) -> bool:
    """All vector lines lie below LINES, and no operand changes through the reductions of earlier rows."""
    rows, _, lines = shape(candidate, config, REGISTERS)
    spans = {"a": _span(candidate.a, candidate.a_stride, rows, lines)}
    for name in "bcd":
        kind, first = getattr(candidate, f"{name}_kind"), getattr(candidate, name)
        if kind == Operand.VECTOR:
            spans[name] = _span(first, getattr(candidate, f"{name}_stride"), rows, lines)
        elif kind == Operand.ROW:
            spans[name] = range(first // config.lanes, (first + rows - 1) // config.lanes + 1)
    if candidate.output == Output.VECTOR:
        written = _span(candidate.destination, candidate.destination_stride, rows, lines)
        words = [n for n in "bcd" if getattr(candidate, f"{n}_kind") == Operand.ROW]
        # The order of writes to one place, and of a row's words against earlier rows' lines, is the compiler's care.
        if (candidate.destination_stride < lines and rows > 1) or any(_meet(written, spans[n]) for n in words):
            return False
        spans["destination"] = written
    if candidate.reduction != Reduction.NONE:
        result = range(candidate.reduce_to // config.lanes, (candidate.reduce_to + rows - 1) // config.lanes + 1)
        if any(_meet(result, span) for span in spans.values()):
            return False
        spans["reduce_to"] = result
    return all(span.stop <= LINES for span in spans.values())


def _span(first: int, stride: int, rows: int, lines: int) -> range:
    return range(first, first + stride * (rows - 1) + lines)


def _meet(left: range, right: range) -> bool:
    return left.start < right.stop and right.start < left.stop


def coverpoints(item: Misc, config: AcceleratorConfig) -> Iterator[str]:
    """Names of what `item` covers; README.md lists them."""
    rows, columns, lines = shape(item, config, REGISTERS)
    yield f"function_{Function(item.function).name}"
    for name in "bcd":
        yield f"{name}_{Operand(getattr(item, f'{name}_kind')).name}"
    yield f"reduction_{Reduction(item.reduction).name}_output_{Output(item.output).name}"
    yield f"lines_{min(lines, 5)}"
    yield "rows_many" if rows > 1 else "rows_one"
    if item.valid_reg or item.valid:
        number = register_number(item.valid_reg, item.bank)
        valid = REGISTERS[number] if item.valid_reg else item.valid
        yield "mask_register" if item.valid_reg else "mask_field"
        yield "mask_causal" if item.causal else "mask_fixed"
        yield "mask_window" if item.window else "mask_from_0"
        if item.valid_reg:
            yield f"mask_bank_{item.bank}"
        if item.window and item.sinks:
            # What the first row's window hides, and whether all of it is sinks.
            yield "mask_sinks_apart" if item.sinks < valid - item.window else "mask_sinks_meet"
        yield "mask_beyond" if valid >= columns else "mask_inside_line" if valid % config.lanes else "mask_whole_lines"
    else:
        yield "mask_none"
    if item.columns_reg:
        yield "columns_register"
    if item.output == Output.VECTOR and item.destination == item.a:
        yield "in_place"
    if item.c_kind != Operand.NONE:
        yield "subtract" if item.c_negate else "add"
    if item.output == Output.ACTIVATION:
        yield "activation_row_offset" if item.destination_row else "activation_row_0"
        yield "activation_groups" if item.destination_row + rows > config.token_group else "activation_one_group"
    vectors = 1 + sum(getattr(item, f"{n}_kind") == Operand.VECTOR for n in "bcd")
    yield f"vectors_{vectors}"


def all_coverpoints() -> set[str]:
    """What a random run must meet."""
    points = {f"function_{f.name}" for f in Function} | {f"{n}_{o.name}" for n in "bcd" for o in Operand}
    points |= {f"reduction_{r.name}_output_{o.name}" for r in Reduction for o in Output if r or o}
    points |= {f"lines_{n}" for n in range(1, 6)} | {f"vectors_{n}" for n in range(1, 5)}
    points |= {"rows_many", "rows_one", "mask_register", "mask_field", "mask_causal", "mask_fixed", "mask_window"}
    points |= {"mask_from_0", "mask_beyond", "mask_inside_line", "mask_whole_lines", "mask_none", "columns_register"}
    points |= {"mask_sinks_apart", "mask_sinks_meet"} | {f"mask_bank_{bank}" for bank in range(REGISTER_BANKS)}
    points |= {"in_place", "subtract", "add", "activation_row_offset", "activation_row_0", "activation_groups"}
    return points | {"activation_one_group"}
