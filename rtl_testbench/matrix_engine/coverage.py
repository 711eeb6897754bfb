"""Coverpoints of the matrix engine; README.md lists them."""

from __future__ import annotations

from collections.abc import Iterator

from cosyn.accelerator_model.config import AcceleratorConfig
from cosyn.accelerator_model.isa import Ring
from cosyn.accelerator_model.tile_stream import DENSE, unit_steps
from cosyn.rtl_testbench.matrix_engine.stimulus import Shape


def coverpoints(shape: Shape, config: AcceleratorConfig) -> Iterator[str]:
    """Names of what a case covers."""
    mode = "mm" if shape.mm else "mv"
    yield f"{mode}_bits_{shape.bits}_kept_{shape.kept}"
    if shape.group_steps:
        yield f"{mode}_bits_{shape.bits}_grouped"
        yield "group_of_one_step" if shape.group_steps == 1 else "group_of_many_steps"
        yield "group_cut" if shape.steps % shape.group_steps else "group_whole"
        covered = shape.group_steps * config.scale_groups_per_word
        yield "scale_words_many" if shape.steps > covered else "scale_words_one"
        if shape.kept != DENSE:
            yield "grouped_sparse"
    yield f"{mode}_steps_{'fewest' if shape.steps == unit_steps(shape.bits, shape.kept) else 'many'}"
    yield f"{mode}_tiles_{'one' if shape.tiles == 1 else 'many'}"
    yield f"{mode}_ring_{Ring(shape.ring).name}"
    if shape.mm:
        yield "rows_whole_groups" if shape.rows % config.token_group == 0 else "rows_cut_group"
        yield "groups_one" if shape.rows <= config.token_group else "groups_many"
    elif shape.row % config.token_group:
        yield "mv_bank_not_0"
    if shape.row >= config.token_group:
        yield f"{mode}_row_offset"
    yield f"column_scaled_{int(shape.column_scaled)}_token_scaled_{int(shape.token_scaled)}"
    yield "registers" if shape.from_registers else "fields"
    yield f"{mode}_values_{shape.values}"


def all_coverpoints(config: AcceleratorConfig) -> set[str]:
    """What a random run must meet."""
    points = {"group_of_one_step", "group_of_many_steps", "group_cut", "group_whole", "grouped_sparse"}
    points |= {"scale_words_many", "scale_words_one", "rows_whole_groups", "rows_cut_group", "groups_one"}
    points |= {"groups_many", "mv_bank_not_0", "registers", "fields"}
    points |= {f"column_scaled_{c}_token_scaled_{t}" for c in (0, 1) for t in (0, 1)}
    for mode in ("mm", "mv"):
        for bits in config.weight_bits:
            points |= {
                f"{mode}_bits_{bits}_kept_{kept}" for kept in (DENSE, *config.kept) if bits != 3 or kept == DENSE
            }
            if bits != 8:
                points.add(f"{mode}_bits_{bits}_grouped")
        points |= {f"{mode}_{what}_{size}" for what, size in (("steps", "fewest"), ("steps", "many"))}
        points |= {f"{mode}_tiles_{size}" for size in ("one", "many")} | {f"{mode}_ring_{r.name}" for r in Ring}
        points |= {f"{mode}_row_offset", f"{mode}_values_random", f"{mode}_values_extreme"}
    return points
