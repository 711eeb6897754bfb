"""What is measured of an engine, by name: `pp128`, `tg64`, `tg64@512`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

TESTS = ("pp128", "pp512", "tg64", "tg64@512", "tg64@1900")
_NAME = re.compile(r"(pp|tg)([1-9]\d*)(?:@(\d+))?")


@dataclass(frozen=True, slots=True)
class Test:
    """A prompt of `tokens` processed at once, or `tokens` decoded one by one after `context` cached ones."""

    # Not a test of pytest's, whatever it is called.
    __test__ = False

    kind: Literal["prefill", "decode"]
    tokens: int
    context: int = 0

    @property
    def length(self) -> int:
        """Positions that it needs."""
        return self.context + self.tokens


def parse_test(name: str) -> Test:
    """The test called `name`; ValueError where there is no such."""
    found = _NAME.fullmatch(name)
    if found is None or (found[1] == "pp" and found[3]):
        raise ValueError(f"no such test: {name!r}; expected such as {', '.join(TESTS)}")
    return Test("prefill" if found[1] == "pp" else "decode", int(found[2]), int(found[3] or 0))
