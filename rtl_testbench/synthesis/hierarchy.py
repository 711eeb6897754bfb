"""Splits an elaborated design (RTLIL) into its distinct modules, so that each is synthesised once.

The frontend makes a module of every instance: thousands of them for `u280`, of which some seventy differ. Two modules
are the same when they come from the same source module and hold the same lines (operators, widths, constants, named
nets, what is below) in whatever order; names that the frontend made up do not count, as it numbers and sorts them
differently every time.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cosyn.rtl_testbench.errors import ToolError

_CELL = re.compile(r"  cell \\(\S+) (\S+)$")
_NUMBER = re.compile(r"\$\d+")
_PORT = re.compile(r"  wire .*\b(?:input|output|inout) \d+ ")
_SOURCE = "attribute \\src "


@dataclass(frozen=True, slots=True)
class Module:
    """A distinct module: what it is called in the RTL, its own RTLIL with stubs below it, and its instances."""

    key: str
    """Name and digest of what it is and of everything below it."""
    name: str
    identity: str
    """Digest of its own lines: the same number of cells comes out of it, whatever happens below it."""
    text: str
    """RTLIL of the module's inside; modules below it appear as the stubs in `stubs`."""
    stubs: Mapping[str, str]
    """Empty modules with the ports of those below, by name."""
    children: Mapping[str, int]
    """Keys of the modules below it and how often each is there."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The distinct modules of a design, those below others first."""

    top: str
    modules: Mapping[str, Module]

    def instances(self) -> dict[str, int]:
        """How often each module is in the design."""
        found = dict.fromkeys(self.modules, 0)
        found[self.top] = 1
        for key in reversed(list(self.modules)):
            for child, count in self.modules[key].children.items():
                found[child] += count * found[key]
        return found


def split(lines: Iterable[str], primitives: Iterable[str]) -> Hierarchy:
    """The distinct modules of an RTLIL text; the first of the text is the top. `primitives` are left as cells."""
    texts = _texts(lines)
    for name in primitives:
        texts.pop(name, None)
    if not texts:
        raise ToolError("the frontend gave a design without modules")
    modules: dict[str, Module] = {}
    keys: dict[str, str] = {}
    top = next(iter(texts))
    stack = [top]
    while stack:
        # Depth first without recursion: a name comes back once everything below it has a key.
        name = stack[-1]
        below = [cell for cell in _below(texts[name]) if cell in texts and cell not in keys]
        if name not in keys and below:
            stack += below
            continue
        stack.pop()
        if name not in keys:
            module = _module(name, texts[name], keys, modules)
            keys[name] = module.key
            modules.setdefault(module.key, module)
    return Hierarchy(keys[top], modules)


def _texts(lines: Iterable[str]) -> dict[str, list[str]]:
    """Lines of every module by its name, without its source positions."""
    found: dict[str, list[str]] = {}
    body: list[str] | None = None
    for raw in lines:
        line = raw.rstrip("\n")
        if line.startswith("module \\"):
            body = found.setdefault(line[len("module \\") :], [])
        elif line == "end":
            body = None
        elif body is not None and _SOURCE not in line:
            body.append(line)
    return found


def _below(lines: Iterable[str]) -> list[str]:
    """Types of the cells that are no operators."""
    return [match[1] for line in lines if line.startswith("  cell \\") and (match := _CELL.match(line))]


def _module(name: str, lines: list[str], keys: Mapping[str, str], modules: Mapping[str, Module]) -> Module:
    children: Counter[str] = Counter()
    stubs: dict[str, str] = {}
    body: list[str] = []
    for line in lines:
        match = _CELL.match(line) if line.startswith("  cell \\") else None
        if match and (key := keys.get(match[1])):
            children[key] += 1
            ports = _ports(modules[key].text)
            # Named by its ports alone, so that a change inside a module leaves those above it as they are.
            stub = f"{modules[key].name}__{_digest(ports)}"
            stubs[stub] = f"attribute \\blackbox 1\nmodule \\{stub}\n{ports}end\n"
            line = f"  cell \\{stub} {match[2]}"
        body.append(line)
    base = name.partition("$")[0]
    identity = _digest("\n".join([base, *sorted(_NUMBER.sub("$", line) for line in body)]))
    below = "".join(f"{key} {count}\n" for key, count in sorted(children.items()))
    return Module(f"{base}__{_digest(identity + below)}", base, identity, "\n".join(body), stubs, dict(children))


def _ports(text: str) -> str:
    return "".join(f"{line}\n" for line in text.split("\n") if _PORT.match(line))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
