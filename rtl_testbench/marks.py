"""Pytest marks of the RTL tests."""

from __future__ import annotations

from typing import Literal

import pytest

from cosyn.rtl_testbench.toolchain import Simulator, missing


def needs_simulator(*tools: Simulator | Literal["yosys", "pyslang"]) -> pytest.MarkDecorator:
    """Skip the test, with what to install, where one of `tools` is missing; default: verilator."""
    reasons = [reason for tool in tools or ("verilator",) if (reason := missing(tool))]
    return pytest.mark.skipif(bool(reasons), reason="; ".join(reasons))
