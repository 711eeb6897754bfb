"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# One thread per test process: tests run side by side, and results must not depend on the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What somebody measured with `cosyn tune` on this machine must not change what tests compile.
os.environ["COSYN_TUNE_CACHE"] = "/nonexistent/cosyn-tests"

# A job in the background, or under nohup, starts with interrupts ignored, and so would the commands that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The reference folder beside the checkout; tests that need it are skipped, with a reason, where it is
    absent.
    """
    if not SHARED.is_dir():
        pytest.skip("needs the reference folder ../shared, which is not here")
    return SHARED
