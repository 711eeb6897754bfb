"""Manifests are read whole, or refused with the key, what was expected and what was found."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import handmade
import pytest

from cosyn.runtime.errors import ArtifactError
from cosyn.runtime.fields import Fields
from cosyn.runtime.manifest import Manifest, StateSpec, parse_manifest, read_manifest

GOOD: dict[str, Any] = {
    **handmade.manifest(),
    "files": {"model.so": {"sha256": "ab" * 32, "bytes": 5, "chunks_sha256": ["cd" * 32]}},
}


def parse(value: object) -> Manifest:
    return parse_manifest(Fields(value, "manifest.json"), "seal")


def test_what_is_read() -> None:
    manifest = parse(GOOD)
    assert manifest.model.eos_token_ids == (0,)
    assert manifest.model.bos_token_id == 1
    assert manifest.model.random_weights is None
    assert manifest.max_chunk == 16
    assert manifest.files["model.so"].chunks_sha256 == ("cd" * 32,)
    assert manifest.states == (StateSpec("kv", 1, 4, 4, "f32", 0, 0),)
    assert manifest.weight_bytes_per_token == 928


def test_keys_of_a_later_writer_are_left_alone() -> None:
    value = copy.deepcopy(GOOD)
    value["model"]["colour"] = "green"
    value["seconds"] = 3
    assert parse(value) == parse(GOOD)


@pytest.mark.parametrize(
    ("path", "wrong", "message"),
    [
        (["model"], 3, "manifest.json.model: expected an object, found 3"),
        (["model", "name"], None, "manifest.json.model.name: expected a string, found None"),
        (["model", "vocab_size"], "9", "model.vocab_size: expected an integer of at least 1, found '9'"),
        (["model", "max_seq"], 0, "model.max_seq: expected an integer of at least 1, found 0"),
        (["model", "max_seq"], True, "model.max_seq: expected an integer of at least 1, found True"),
        (["model", "eos_token_ids"], [1, "2"], "eos_token_ids: expected a list of integers of at least 0"),
        (["model", "eos_token_ids"], 2, "eos_token_ids: expected a list of integers, found 2"),
        (["target", "features"], [1], "target.features: expected a list of strings"),
        (["entry_points"], [], "entry_points: expected at least one"),
        (["entry_points", 1, "max_out"], 0, r"entry_points\[1\].max_out: expected an integer of at least 1"),
        (["states", 0, "dtype"], "f64", r"states\[0\].dtype: expected one of f16, f32, i8, found 'f64'"),
        (["weights", 0, "dtype"], "q4", r"weights\[0\].dtype: expected one of bf16, .*, found 'q4'"),
        (["weights", 0, "shape"], [-1], r"weights\[0\].shape: expected a list of integers of at least 0"),
        (["files", "model.so", "sha256"], "x", "expected SHA-256 digests, found 'x'"),
        (["files", "../../etc"], {"sha256": "ab" * 32, "bytes": 1}, "expected names within the artifact"),
        (["files", "/etc/x"], {"sha256": "ab" * 32, "bytes": 1}, "expected names within the artifact"),
    ],
)
def test_a_wrong_value_is_named(path: Sequence[str | int], wrong: object, message: str) -> None:
    value = copy.deepcopy(GOOD)
    inner: Any = value
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    with pytest.raises(ArtifactError, match=message):
        parse(value)


@pytest.mark.parametrize("key", ["cosyn_version", "model", "recipe", "target", "files", "arena", "entry_points"])
def test_a_missing_key_is_named(key: str) -> None:
    value = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(ArtifactError, match=rf"manifest\.json\.{key}: expected .*, found (nothing|None)"):
        parse(value)


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "cosyn-artifact/9"}))
    with pytest.raises(ArtifactError, match="has the format 'cosyn-artifact/9', this version runs"):
        read_manifest(tmp_path)


def test_a_manifest_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="is not JSON"):
        read_manifest(tmp_path)


def test_what_is_no_artifact_is_a_wrong_request(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, found in (
        (tmp_path, "a folder without manifest.json"),
        (tmp_path / "file", "a file"),
        (tmp_path / "none", "nothing"),
    ):
        with pytest.raises(ArtifactError, match=f"expected an artifact folder at .*, found {found}") as caught:
            read_manifest(path)
        assert caught.value.exit_code == 2
        assert "cosyn compile" in caught.value.hint
