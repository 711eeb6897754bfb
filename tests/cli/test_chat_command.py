"""Talking to an artifact: turns, the system message, and a cache that keeps what was said."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from cosyn.runtime.integrity import record_file, seal_manifest

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<me> {% endif %}"
)


@pytest.fixture
def talking(copied_artifact: Path) -> Path:
    """The artifact with a chat template."""
    (copied_artifact / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    manifest = json.loads((copied_artifact / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["chat_template.jinja"] = record_file(copied_artifact / "chat_template.jinja").to_json()
    (copied_artifact / "manifest.json").write_bytes(seal_manifest(manifest))
    return copied_artifact


def test_one_question_with_a_system_message(cosyn, talking) -> None:
    words = ("run", talking, "--chat", "--system", "Be brief.", "--prompt", "What is a class?", "-n", "4", "--json")
    found = cosyn(*words).object
    plain = "<system> Be brief.\n<user> What is a class?\n<me> "
    same = cosyn("run", talking, "--prompt", plain, "-n", "4", "--json").object
    # A template writes special tokens itself, a plain prompt gets <bos>.
    assert found["prompt_token_ids"] == same["prompt_token_ids"][1:]


def test_a_conversation_reuses_the_cache(cosyn, talking, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("What is a class?\nAnd a module?\n\nnot read\n"))
    done = cosyn("run", talking, "--chat", "-n", "5", "--temperature", "0")
    assert done.code == 0
    first, second = [line for line in done.err.splitlines() if "prompt:" in line]
    assert "were cached" not in first
    assert "were cached" in second
    assert done.out.count("\n") >= 2


def test_the_end_of_input_ends_the_conversation(cosyn, talking, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cosyn("run", talking, "--chat").code == 0
