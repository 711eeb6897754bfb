"""docs/isa.md is what the declarations say."""

from __future__ import annotations

from pathlib import Path

from cosyn.accelerator_model.isa.documentation import documentation

ROOT = Path(__file__).parents[3]


def test_the_instruction_table_in_the_docs_is_current() -> None:
    found = (ROOT / "docs" / "isa.md").read_text(encoding="utf-8")
    assert found == documentation(), "run: python -m cosyn.accelerator_model.isa.documentation > docs/isa.md"
