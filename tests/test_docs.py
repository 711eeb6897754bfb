"""The documentation's commands run as they are written, and its links lead somewhere.

Blocks marked `sh` are run, in the order of the pages and in one folder; `console` blocks are for reading.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cosyn.cli import VERBS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNNABLE = [page for page in PAGES if "```sh\n" in page.read_text(encoding="utf-8")]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def commands(page: Path) -> list[list[str]]:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run: it sees the examples, and keeps the artifacts that pages share."""
    path = tmp_path_factory.mktemp("docs")
    (path / "examples").symlink_to(ROOT / "examples")
    return path


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda p: p.name)
def test_commands_run_as_written(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for program, *words in commands(page):
        assert program == "cosyn", f"{page.name}: only cosyn's commands are run here, found {program}"
        if words[0] == "compile" and Path(words[words.index("-o") + 1]).exists():
            continue  # another page has made the same artifact
        assert main(words) == 0, f"{page.name}: cosyn {shlex.join(words)}"


@pytest.mark.xdist_group("docs")
def test_the_python_of_the_quick_start_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(folder)
    if not Path("out").exists():
        assert main(["compile", "examples/models/pydoc-llama", "-o", "out", "--quiet"]) == 0
    (code,) = blocks(ROOT / "docs" / "quickstart.md", "python")
    exec(compile(code, "quickstart.md", "exec"), {})
    assert len(capsys.readouterr().out) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_the_text_names_exist(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for name in re.findall(r"`((?:ir|passes|targets|codegen|runtime|cosyn|tests|docs|examples)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_verbs_that_the_text_names_exist(page: Path) -> None:
    for verb in re.findall(r"`cosyn ([a-z]+)", page.read_text(encoding="utf-8")):
        assert verb in VERBS, f"{page.name} names cosyn {verb}"
