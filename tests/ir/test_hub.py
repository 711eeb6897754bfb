"""Hub names: what counts as one, and what happens where the hub does not answer."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from cosyn.ir.errors import ModelError
from cosyn.ir.hub import hub_folder, is_hub_name


@pytest.mark.parametrize("spec", ["org/name", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "a-b/c.d_e"])
def test_hub_names(spec: str) -> None:
    assert is_hub_name(spec)


@pytest.mark.parametrize("spec", ["name", "./name", "a/b/c", "package.module:factory", "x/config.json", "/a/b", "../b"])
def test_other_models(spec: str) -> None:
    assert not is_hub_name(spec)


def test_an_existing_folder_is_no_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name("org/name")


def test_only_what_is_needed_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, object] = {}

    def download(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert hub_folder("org/name") == tmp_path
    assert asked == {"name": "org/name", "allow_patterns": ["*.json", "*.safetensors", "*.jinja"]}


def test_offline_without_a_cached_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"no folder org/absent.*Give a local model folder"):
        hub_folder("org/absent")
