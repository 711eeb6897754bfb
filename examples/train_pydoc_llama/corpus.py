"""Collect English prose about Python from the running installation: language topics and docstrings."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import platform
import re
import sys
import sysconfig
import warnings
from dataclasses import dataclass
from pathlib import Path

HELD_OUT_PERCENT = 5
# Tests and vendored grammars are code rather than prose; site-packages differs between installations.
SKIPPED_DIRS = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__", "turtledemo",
     "pydoc_data", "encodings", "_bundled", "lib-dynload"}
)  # fmt: skip
HEADING = re.compile(r"\n{2,}(?=[^\n]+\n(?:\*{3,}|={3,}|-{3,}|~{3,}|\^{3,})\n)")
UNDERLINE = re.compile(r"^[*=\-~^\"#_.]{3,}$")
BULLET = re.compile(r"^\s*(?:[-*+o•]|\d+[.)]|\([a-z\d]+\))\s")
CODE_LINE = re.compile(
    "|".join(
        (
            r">>>|^\s*\.\.\. |::=|^\s*[\w.]+ = ",
            r"\+[-=]{3,}|={4,}|-{6,}|\s\|\s|^\s*[|#$%@]",
            r"^\s*(?:import|from|def|class|print|try|except)\b[^.]*$|^\s*(?:if|for|while|with|else|elif)\b.*:",
            # Names and addresses of people are not for a model to learn.
            r"\S@\S+\.\w|\bCopyright\b|^\s*(?:Author|Written by)\b",
        )
    )
)
TYPOGRAPHIC = "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\xa0"
PUNCTUATION = str.maketrans(dict(zip(TYPOGRAPHIC, "''\"\"--. ", strict=True)))


@dataclass(frozen=True)
class Document:
    """One unit of the split: a section of a topic, or all the docstrings of a module."""

    name: str
    text: str

    @property
    def held_out(self) -> bool:
        """A hash of the name decides, so that the split survives changes elsewhere in the corpus."""
        digest = hashlib.sha256(self.name.encode()).digest()
        return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


@dataclass(frozen=True)
class Corpus:
    """The cleaned documents in a fixed order, with the Python version that they came from."""

    documents: tuple[Document, ...]
    python: str

    @property
    def train(self) -> list[Document]:
        return [d for d in self.documents if not d.held_out]

    @property
    def held_out(self) -> list[Document]:
        return [d for d in self.documents if d.held_out]

    @property
    def sha256(self) -> str:
        joined = "\0".join(f"{d.name}\n{d.text}" for d in self.documents)
        return hashlib.sha256(joined.encode()).hexdigest()


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph reads as English rather than as code, grammar or a table."""
    lines = paragraph.split("\n")
    if len(paragraph) < 12 or any(CODE_LINE.search(line) for line in lines):
        return False
    letters = sum(c.isalpha() or c in " ,.'" for c in paragraph if c != "\n")
    # Half of the characters of most code samples are punctuation; of prose, well under a fifth.
    words = re.findall(r"[A-Za-z]{2,}", paragraph)
    return letters / max(1, len(paragraph.replace("\n", ""))) > 0.82 and len(words) >= 3


def reflow(paragraph: str) -> str:
    """Undo hard wrapping where the lines are plainly one paragraph; otherwise leave the lines alone."""
    lines = [re.sub(r"(?<=\S)[ \t]+", " ", line).rstrip() for line in inspect.cleandoc(paragraph).split("\n")]
    lines = [line for line in lines if line and not UNDERLINE.match(line.strip())]
    out: list[str] = []
    previous = 0
    for line in lines:
        # A long line followed by an unmarked one is a wrap; a short one ended on purpose.
        if out and previous >= 48 and not BULLET.match(line):
            out[-1] += " " + line.strip()
        else:
            out.append(line)
        previous = len(line)
    return "\n".join(out)


def clean(text: str, seen: set[str]) -> str:
    """Keep the prose paragraphs of `text` that no earlier document had."""
    kept: list[str] = []
    plain = text.expandtabs().translate(PUNCTUATION)
    ascii_text = plain.encode("ascii", "ignore").decode()
    for raw in re.split(r"\n\s*\n", ascii_text):
        paragraph = reflow(raw)
        if not is_prose(paragraph):
            continue
        # Letters alone, because topics overlap and C and Python twins differ in wrapping and quotes.
        key = re.sub(r"[^a-z]", "", paragraph.lower())
        if key in seen:
            continue
        seen.add(key)
        kept.append(paragraph)
    return "\n\n".join(kept)


def comments(source: str) -> list[tuple[int, str]]:
    """Blocks of at least three whole-line comments; shorter ones are mostly notes to maintainers."""
    found: list[tuple[int, str]] = []
    for match in re.finditer(r"(?:^[ \t]*#(?: [^\n]*)?\n){3,}", source, re.MULTILINE):
        text = re.sub(r"^[ \t]*# ?", "", match.group(), flags=re.MULTILINE)
        found.append((source.count("\n", 0, match.start()) + 1, text))
    return found


def docstrings(path: Path) -> str:
    """Every docstring and comment block of a source file in source order, found without importing it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = path.read_text("utf-8")
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    found = comments(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node, clean=True)
            if doc:
                found.append((node.body[0].lineno, doc))
    return "\n\n".join(doc for _, doc in sorted(found))


def extension_docstrings(name: str) -> str:
    """Docstrings of a module written in C, which has no source to parse, in order of attribute name."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return ""
    found = [inspect.getdoc(module) or ""]
    for _, value in sorted(vars(module).items()):
        if inspect.isclass(value) or inspect.isbuiltin(value):
            found.append(inspect.getdoc(value) or "")
        if inspect.isclass(value):
            members = sorted(vars(value).items())
            found += [inspect.getdoc(member) or "" for _, member in members if not isinstance(member, str)]
    # A C docstring may open with its signature; the text after it is the prose.
    return "\n\n".join(re.sub(r"^\S+\(.*\)[^\n]*\n", "\n", doc) for doc in found)


def extension_modules() -> list[str]:
    """Standard library modules that are compiled, in a fixed order."""
    dynamic = Path(sysconfig.get_path("platstdlib")) / "lib-dynload"
    names = {p.name.split(".")[0] for p in dynamic.glob("*.so")} | set(sys.builtin_module_names)
    names &= sys.stdlib_module_names
    return sorted(name for name in names if not name.startswith(("_test", "_xx", "xx")))


def topic_sections() -> list[tuple[str, str]]:
    """The topics cut at their headings, longest first so that the shorter copies are the ones dropped."""
    from pydoc_data.topics import topics

    sections: list[tuple[str, str]] = []
    for name, text in sorted(topics.items(), key=lambda item: (-len(item[1]), item[0])):
        for index, section in enumerate(HEADING.split(text)):
            sections.append((f"topic:{name}:{index}", section))
    return sections


def collect() -> Corpus:
    """The whole corpus; the same Python installation always gives the same bytes."""
    seen: set[str] = set()
    stdlib = Path(sysconfig.get_path("stdlib"))
    raw = topic_sections()
    for path in sorted(stdlib.rglob("*.py"), key=lambda p: p.relative_to(stdlib).as_posix()):
        relative = path.relative_to(stdlib)
        # Names such as _sysconfigdata__linux_... and config-3.11-... hold the builder's settings.
        settings = relative.parts[0].startswith(("_sysconfig", "config-"))
        if not settings and SKIPPED_DIRS.isdisjoint(relative.parts):
            raw.append((f"module:{relative.as_posix()}", docstrings(path)))
    raw += [(f"extension:{name}", extension_docstrings(name)) for name in extension_modules()]
    documents = [Document(name, clean(text, seen)) for name, text in raw]
    return Corpus(tuple(d for d in documents if len(d.text) >= 40), platform.python_version())
