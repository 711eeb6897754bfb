"""Attention with a window, and with sinks before it: the programs skip what it hides, and give the reference's bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosyn.accelerator_model.cache_pattern import skip_unit
from cosyn.accelerator_model.isa import Load, LoadTarget
from cosyn.accelerator_model.presets import load_config
from tests.architectures import VOCABULARY, save_folder
from tests.codegen.fpga.fpga_models import Compared, same_bits
from tests.codegen.fpga.step_races import races

MAX_SEQ = 160


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name in ("llama", "gemma2", "bloom"):
        found[name] = tmp_path_factory.mktemp(name)
        save_folder(name, found[name])
    return found


CASES = [
    # configuration, model, window, sinks
    ("tiny", "llama", 16, 0),
    ("tiny", "llama", 1, 0),
    ("tiny", "llama", 21, 3),
    ("tiny", "llama", 7, 16),
    ("tiny", "llama", 5, 17),
    ("odd", "llama", 30, 0),
    ("odd", "llama", 12, 4),
    ("u280", "llama", 9, 2),
    ("tiny", "gemma2", 0, 0),  # a window of its own in every other layer, soft capping
    ("tiny", "gemma2", 40, 2),  # and another in those between
    ("odd", "bloom", 10, 2),  # ALiBi: masked, nothing skipped
]


@pytest.mark.parametrize(("config", "name", "window", "sinks"), CASES)
def test_every_step_gives_the_bits_of_the_reference(
    folders: dict[str, Path], config: str, name: str, window: int, sinks: int
) -> None:
    """Steps of one and more tokens over the borders of tiles, of the window and of the sinks, to the last position."""
    preset = load_config(config)
    length = MAX_SEQ if config != "u280" else 3 * skip_unit(preset)
    compared = Compared(folders[name], preset, max_seq=length, window=window, sinks=sinks)
    assert bool(compared.layout.plan.patterns) == (name != "bloom")
    random = np.random.default_rng(1)
    sizes = [1, 1, 2, 1, 8, 4, *[1] * 6, 8, *[1] * 3]
    while compared.position < length:
        tokens = min(sizes.pop(0) if sizes else int(random.choice([1, 2, 4, 8])), length - compared.position)
        tokens = 1 << tokens.bit_length() - 1
        found, expected = compared.step(random.integers(0, VOCABULARY, tokens).tolist())
        assert same_bits(found, expected), f"{tokens} tokens to position {compared.position}"
    assert np.abs(found).max() > 0


def loaded(compared: Compared, position: int) -> int:
    """Stripes of the cache that a decode step reads at `position`."""
    from cosyn.accelerator_model.isa import ld_meaning
    from cosyn.accelerator_model.simulator.machine import register_file

    registers = register_file(compared.layout.registers(position, 1))
    (core,) = compared.program(1).cores
    shapes = [
        ld_meaning.shape(i, registers) for i in core.instructions if isinstance(i, Load) and i.target == LoadTarget.KV
    ]
    return sum(shape.stripes for shape in shapes)


def test_a_window_bounds_what_is_read(folders: dict[str, Path]) -> None:
    tiny = load_config("tiny")
    unit = skip_unit(tiny)
    windowed = Compared(folders["llama"], tiny, max_seq=MAX_SEQ, window=unit)
    with_sinks = Compared(folders["llama"], tiny, max_seq=MAX_SEQ, window=unit, sinks=1)
    dense = Compared(folders["llama"], tiny, max_seq=MAX_SEQ)
    per_unit = loaded(dense, 2 * unit - 1) - loaded(dense, unit - 1)
    for position in range(MAX_SEQ):
        # The window lies in one unit at the end of each, in two otherwise.
        units = 1 if position < unit or position % unit == unit - 1 else 2
        columns = position + 1 if position < unit else position % unit + 1 + (units - 1) * unit
        least, most = (-(-columns // tiny.tile_columns) - 1) / 2 * per_unit, units * per_unit
        assert least < loaded(windowed, position) <= most
        assert loaded(with_sinks, position) <= loaded(windowed, position) + per_unit
    assert loaded(dense, MAX_SEQ - 1) == MAX_SEQ // unit * per_unit
    # The scores of the longest context need no more room than the window's.
    assert windowed.compiled(1).vector_lines < dense.compiled(1).vector_lines


@pytest.mark.parametrize(
    ("config", "window", "sinks", "tokens"), [("tiny", 21, 3, 1), ("tiny", 21, 3, 4), ("odd", 12, 4, 1)]
)
def test_every_access_is_ordered(folders: dict[str, Path], config: str, window: int, sinks: int, tokens: int) -> None:
    compared = Compared(folders["llama"], load_config(config), max_seq=MAX_SEQ, window=window, sinks=sinks)
    for position in (0, window, MAX_SEQ - tokens):
        assert not races(compared.layout, compared.compiled(tokens), position)


def test_patterns_beyond_the_banks_are_masked_only(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With one bank for gemma2's two patterns, one of its layers reads the whole cache, and nothing else changes."""
    monkeypatch.setattr("cosyn.codegen.fpga.plan_attention.REGISTER_BANKS", 2)
    compared = Compared(folders["gemma2"], load_config("tiny"), max_seq=96, window=40, sinks=2)
    assert [plan.bank for plan in compared.layout.plan.attentions.values()] == [1, 0]
    random = np.random.default_rng(2)
    for tokens in (8, *[4] * 21, 1):
        found, expected = compared.step(random.integers(0, VOCABULARY, tokens).tolist())
    assert same_bits(found, expected)
