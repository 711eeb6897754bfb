"""Artifacts that must not run: absent, damaged, or made for another CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosyn.runtime.integrity import seal_manifest


def rewrite(artifact: Path, **changes: object) -> None:
    """Change keys of the manifest as an honest writer would: sealed again."""
    manifest = json.loads((artifact / "manifest.json").read_text(encoding="utf-8"))
    for key, value in changes.items():
        manifest[key] = {**manifest[key], **value} if isinstance(value, dict) else value
    (artifact / "manifest.json").write_bytes(seal_manifest(manifest))


def refused(cosyn, artifact: Path, code: int, *texts: str) -> None:
    done = cosyn("run", artifact, "--prompt", "x")
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("error: ")
    for text in texts:
        assert text in done.err


def test_not_an_artifact(cosyn, tmp_path) -> None:
    refused(cosyn, tmp_path, 2, "expected an artifact folder", "a folder without manifest.json", "cosyn compile")
    refused(cosyn, tmp_path / "nothing", 2, "found nothing")


@pytest.mark.parametrize("name", ["model.so", "weights.safetensors", "tokenizer.json", "graph.ir"])
def test_a_changed_byte_is_found_and_named(cosyn, copied_artifact, name: str) -> None:
    path = copied_artifact / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(cosyn, copied_artifact, 1, name)


def test_a_changed_manifest_is_found(cosyn, copied_artifact) -> None:
    path = copied_artifact / "manifest.json"
    path.write_text(path.read_text().replace('"max_seq": 512', '"max_seq": 513', 1))
    refused(cosyn, copied_artifact, 1, "manifest.json is damaged")


def test_a_truncated_or_missing_file(cosyn, copied_artifact) -> None:
    weights = copied_artifact / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(cosyn, copied_artifact, 1, "weights.safetensors", "bytes")
    weights.unlink()
    refused(cosyn, copied_artifact, 1, "weights.safetensors")


def test_another_cpu(cosyn, copied_artifact) -> None:
    rewrite(copied_artifact, target={"features": ["avx2", "warp_drive"]})
    refused(cosyn, copied_artifact, 1, "lacks: warp_drive", "cosyn compile MODEL --target cpu")


def test_another_format(cosyn, copied_artifact) -> None:
    rewrite(copied_artifact, format="cosyn-artifact/9")
    refused(cosyn, copied_artifact, 1, "'cosyn-artifact/9'", "compile it again")
