"""The SystemVerilog tables say what the Python tables say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cosyn.accelerator_model.numerics.special import SEGMENTS, TABLE_NAMES, segment_table
from cosyn.accelerator_model.numerics.systemverilog import SEGMENT_BITS, render_tables


def fields(word: int) -> tuple[int, int, int]:
    c0, c1, c2 = word & (1 << 28) - 1, word >> 28 & (1 << 22) - 1, word >> 50
    return c0, c1 - (c1 >> 21 << 22), c2 - (c2 >> 16 << 17)


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_the_text_holds_the_coefficients(name: str) -> None:
    found = re.findall(rf"6'd(\d+): {name}_segment = {SEGMENT_BITS}'h([0-9a-f]+);", render_tables())
    table = segment_table(name)
    assert [int(index) for index, _ in found] == list(range(SEGMENTS))
    expected = list(zip(table.c0.tolist(), table.c1.tolist(), table.c2.tolist(), strict=True))
    assert [fields(int(word, 16)) for _, word in found] == expected


def test_the_text_is_reproducible_and_names_no_date() -> None:
    assert render_tables() == render_tables()
    assert not re.search(r"20\d\d-", render_tables())


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs iverilog: apt-get install iverilog")
def test_icarus_reads_the_same_numbers(tmp_path: Path) -> None:
    (tmp_path / "tables.sv").write_text(render_tables())
    (tmp_path / "tb.sv").write_text(
        "module tb;\n  integer i;\n  initial for (i = 0; i < 64; i = i + 1) $display("
        + '"%h %h %h", '
        + ", ".join(f"cosyn_tables_pkg::{name}_segment(i[5:0])" for name in TABLE_NAMES)
        + ");\nendmodule\n"
    )
    command = ["iverilog", "-g2012", "-o", "tb", "tables.sv", "tb.sv"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    lines = subprocess.run(["vvp", "tb"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split("\n")
    for column, name in enumerate(TABLE_NAMES):
        table = segment_table(name)
        expected = list(zip(table.c0.tolist(), table.c1.tolist(), table.c2.tolist(), strict=True))
        assert [fields(int(line.split()[column], 16)) for line in lines[:SEGMENTS]] == expected
