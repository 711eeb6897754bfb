"""Help: every verb explains itself with three examples that parse."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from cosyn import __version__
from cosyn.cli import VERBS
from cosyn.reference import reference

ROOT = Path(__file__).parents[2]


def test_version(cosyn) -> None:
    assert version("cosyn") == __version__
    assert cosyn("--version").out == f"cosyn {__version__}\n"


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_help_lists_every_verb(cosyn, words) -> None:
    done = cosyn(*words)
    assert done.code == 0
    assert re.findall(r"^  ([a-z]+)  +[A-Z]", done.out, re.M) == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_three_examples_or_more(cosyn, verb: str) -> None:
    done = cosyn(verb, "--help")
    assert done.code == 0
    commands = re.findall(rf"^    cosyn {verb}\b.*", done.out, re.M)
    reasons = re.findall(r"^    # .+", done.out, re.M)
    assert len(commands) == len(reasons) >= 3


@pytest.mark.parametrize("verb", VERBS)
def test_examples_use_options_that_exist(cosyn, verb: str) -> None:
    text = cosyn(verb, "--help").out
    known = set(re.findall(r"(--[a-z-]+|-[a-z])\b", text.partition("Examples:")[0]))
    for command in re.findall(rf"cosyn {verb}\b.*", text.partition("Examples:")[2]):
        used = {w for w in shlex.split(command, comments=True) if re.fullmatch(r"--[a-z-]+|-[a-z]", w)}
        assert used <= known, command


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_the_common_options(cosyn, verb: str) -> None:
    text = cosyn(verb, "--help").out
    assert all(option in text for option in ("--json", "--quiet", "--verbose", "--help"))


def test_the_reference_in_the_docs_is_current() -> None:
    found = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert found == reference(), "run: python -m cosyn.reference > docs/cli.md"


def test_help_imports_neither_torch_nor_the_compiler() -> None:
    code = "import sys; from cosyn.cli import main; code = main(['--help']); print(code, *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    code_found, *modules = done.stderr.split()
    assert code_found == "0"
    assert "cosyn.cli" in modules
    assert {"torch", "tvm", "transformers"}.isdisjoint(modules)
