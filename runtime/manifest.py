"""manifest.json of an artifact, as typed values.

Keys that this version does not know are left alone; what they may mean is decided by `format`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.errors import ArtifactError
from cosyn.runtime.fields import Fields
from cosyn.runtime.integrity import FileRecord, manifest_seal
from cosyn.runtime.tensor_file import TensorSpec

FORMAT = "cosyn-artifact/1"
STATE_DTYPES = ("f32", "f16", "i8")

StateDType = Literal["f32", "f16", "i8"]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that was compiled. `random_weights` is the seed where the weights are not trained ones."""

    name: str
    architecture: str
    vocab_size: int
    n_layers: int
    hidden_size: int
    max_seq: int
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]
    random_weights: int | None


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """What the artifact runs on.

    `features` are CPU flags that the host must have, as /proc/cpuinfo names them; `triple` is LLVM's name of the
    machine that the library is code for, empty where there is none.
    """

    name: str
    kind: str
    device: str
    features: tuple[str, ...]
    triple: str = ""


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A function of the library: takes 1 to `max_seq` tokens and gives 1 to `max_out` rows of logits."""

    name: str
    max_seq: int
    max_out: int


@dataclass(frozen=True, slots=True)
class StateSpec:
    """The KV cache of one layer.

    `window` 0: position p lies at index p; else a ring after `sinks` fixed positions.
    """

    name: str
    n_kv_heads: int
    head_dim: int
    v_dim: int
    dtype: StateDType
    window: int
    sinks: int

    @property
    def bytes_per_position(self) -> int:
        """Bytes that one cached position takes, scales included."""
        scales = 2 * 4 if self.dtype == "i8" else 0
        return self.n_kv_heads * ((self.head_dim + self.v_dim) * BY_NAME[self.dtype].numpy.itemsize + scales)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that the runtime knows about an artifact.

    `seal` identifies it: the hash of manifest.json.
    """

    cosyn_version: str
    seal: str
    model: ModelInfo
    recipe: str
    target: TargetInfo
    files: Mapping[str, FileRecord]
    arena_bytes: int
    entry_points: tuple[EntryPoint, ...]
    states: tuple[StateSpec, ...]
    weights: tuple[TensorSpec, ...]
    weight_bytes_per_token: int

    @property
    def max_chunk(self) -> int:
        """Most tokens that one step takes."""
        return max(e.max_seq for e in self.entry_points)


def read_manifest(folder: Path) -> Manifest:
    """Read and check manifest.json.

    ArtifactError says which key is wrong; exit code 2 where there is none.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise NotAnArtifactError(folder)
    text = path.read_bytes()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArtifactError(f"{path} is not JSON: {error}", "copy or compile the artifact again") from error
    fields = Fields(value, "manifest.json")
    found = fields.text("format")
    if found != FORMAT:
        raise ArtifactError(
            f"the artifact {folder} has the format {found!r}, this version runs {FORMAT!r}",
            "compile it again with this version of cosyn",
        )
    return parse_manifest(fields, manifest_seal(text, value))


class NotAnArtifactError(ArtifactError):
    """A path that holds no artifact."""

    exit_code = 2

    def __init__(self, folder: Path) -> None:
        found = "nothing"
        if folder.exists():
            found = "a folder without manifest.json" if folder.is_dir() else "a file"
        super().__init__(
            f"expected an artifact folder at {folder}, found {found}",
            "make one with: cosyn compile MODEL --target cpu -o DIR",
        )


def parse_manifest(fields: Fields, seal: str) -> Manifest:
    """The typed manifest; ArtifactError names the first key that is wrong."""
    manifest = Manifest(
        cosyn_version=fields.text("cosyn_version"),
        seal=seal,
        model=_model(fields.child("model")),
        recipe=fields.child("recipe").text("name"),
        target=_target(fields.child("target")),
        files={_file_name(name): _file(f) for name, f in fields.child("files").members()},
        arena_bytes=fields.child("arena").integer("bytes"),
        entry_points=tuple(_entry_point(f) for f in fields.children("entry_points")),
        states=tuple(_state(f) for f in fields.children("states")),
        weights=tuple(_weight(f) for f in fields.children("weights")),
        weight_bytes_per_token=fields.child("bytes_per_token").integer("weights"),
    )
    if not manifest.entry_points:
        raise ArtifactError(
            "manifest.json.entry_points: expected at least one, found none", "compile the artifact again"
        )
    return manifest


def _model(f: Fields) -> ModelInfo:
    return ModelInfo(
        f.text("name"),
        f.text("architecture"),
        f.integer("vocab_size", 1),
        f.integer("n_layers"),
        f.integer("hidden_size", 1),
        f.integer("max_seq", 1),
        f.integer("bos_token_id") if f.has("bos_token_id") else None,
        f.integers("eos_token_ids"),
        f.integer("random_weights") if f.has("random_weights") else None,
    )


def _target(f: Fields) -> TargetInfo:
    return TargetInfo(
        f.text("name"),
        f.text("kind"),
        f.text("device"),
        f.texts("features") if f.has("features") else (),
        f.text("triple") if f.has("triple") else "",
    )


def _file_name(name: str) -> str:
    # A name is joined to the artifact's folder: it must not lead out of it.
    parts = Path(name).parts
    if not name or Path(name).is_absolute() or ".." in parts:
        raise ArtifactError(f"manifest.json.files: expected names within the artifact, found {name!r}")
    return name


def _file(f: Fields) -> FileRecord:
    chunks = f.texts("chunks_sha256") if f.has("chunks_sha256") else ()
    record = FileRecord(f.integer("bytes"), f.text("sha256"), chunks)
    for digest in (record.sha256, *chunks):
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ArtifactError(f"manifest.json.files: expected SHA-256 digests, found {digest!r}")
    return record


def _entry_point(f: Fields) -> EntryPoint:
    return EntryPoint(f.text("name"), f.integer("max_seq", 1), f.integer("max_out", 1))


def _state(f: Fields) -> StateSpec:
    dtype = f.text("dtype", STATE_DTYPES)
    return StateSpec(
        f.text("name"),
        f.integer("n_kv_heads", 1),
        f.integer("head_dim", 1),
        f.integer("v_dim", 1),
        "i8" if dtype == "i8" else "f16" if dtype == "f16" else "f32",
        f.integer("window"),
        f.integer("sinks"),
    )


def _weight(f: Fields) -> TensorSpec:
    return TensorSpec(f.text("name"), f.integers("shape"), f.text("dtype", BY_NAME))
