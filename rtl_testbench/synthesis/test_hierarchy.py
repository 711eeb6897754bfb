"""Equal modules are found, counted and given stubs for what is below them."""

from __future__ import annotations

import pytest

from cosyn.rtl_testbench.errors import ToolError
from cosyn.rtl_testbench.synthesis.counts import Counts
from cosyn.rtl_testbench.synthesis.hierarchy import split


def leaf(path: str, number: int, gate: str) -> str:
    """A gate whose generated names differ with the instance, as the frontend makes it."""
    return f"""attribute \\src "leaf.sv:1"
module \\leaf$top.{path}
  wire input 1 \\a_i
  wire output 2 \\y_o
  wire ${number}y
  cell {gate} ${number}
    connect \\A \\a_i
    connect \\Y ${number}y
  end
  cell \\DSP48E2 \\dsp
  end
end
"""


TOP = """module \\top
  cell \\leaf$top.one \\one
  end
  cell \\leaf$top.two \\two
  end
  cell \\leaf$top.three \\three
  end
end
"""


def test_equal_instances_are_one_module() -> None:
    text = TOP + leaf("one", 7, "$not") + leaf("two", 123, "$not") + leaf("three", 9, "$pos")
    found = split(text.splitlines(), ("DSP48E2",))
    instances = {(found.modules[key].name, count) for key, count in found.instances().items()}
    assert instances == {("top", 1), ("leaf", 2), ("leaf", 1)}
    (stub,) = found.modules[found.top].stubs.values()
    assert "wire input 1 \\a_i" in stub
    assert "$not" not in stub


def test_a_change_below_leaves_the_count_of_the_module_above() -> None:
    before = split((TOP + leaf("one", 1, "$not") + leaf("two", 2, "$not") + leaf("three", 3, "$not")).splitlines(), ())
    after = split((TOP + leaf("one", 1, "$pos") + leaf("two", 2, "$pos") + leaf("three", 3, "$pos")).splitlines(), ())
    assert before.modules[before.top].identity == after.modules[after.top].identity
    assert before.top != after.top


def test_a_text_without_modules_is_refused() -> None:
    with pytest.raises(ToolError, match="without modules"):
        split((), ())


def test_counts_of_cells() -> None:
    cells = {"LUT6": 3, "INV": 1, "FDRE": 5, "RAMB18E2": 3, "RAMB36E2": 1, "URAM288": 2, "SRL16E": 4, "RAM32M16": 2}
    cells |= {"DSP48E2": 6, "CARRY4": 9, "MUXF7": 2}
    counted = Counts.of(cells)
    assert counted == Counts(dsp=6, lut=24, ff=5, bram36=2.5, uram=2, shift_register=4, lutram=16)
    assert counted.times(2) == counted + counted


def test_an_unknown_cell_is_an_error() -> None:
    with pytest.raises(ValueError, match="cell FLUX of Yosys is not known"):
        Counts.of({"FLUX": 1})
