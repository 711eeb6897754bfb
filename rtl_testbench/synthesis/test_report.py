"""docs/synthesis.md is what the command writes for the counts that are kept and the model as it is."""

from __future__ import annotations

import json
from pathlib import Path

from cosyn.rtl_testbench.synthesis.measure import COUNTS, PAGE
from cosyn.rtl_testbench.synthesis.report import render

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    known = json.loads((ROOT / COUNTS).read_text(encoding="utf-8"))
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert page == render(known), "write it again: python -m cosyn.rtl_testbench.synthesis.measure"
