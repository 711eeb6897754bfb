"""accelerator.json of an artifact: where programs, inputs and logits lie, as typed values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cosyn.runtime.errors import ArtifactError
from cosyn.runtime.fields import Fields

DESCRIPTION_FILE = "accelerator.json"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """A table whose rows the host writes before a step: those of the tokens, or of their positions + offset."""

    table: str
    by_position: bool
    offset: int
    address: int
    row_stripes: int


@dataclass(frozen=True, slots=True)
class LogitsSpec:
    """Logits first … first + count - 1, as f32 from stripe `address` of a core."""

    core: int
    address: int
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class StepProgram:
    """The program of a step of `tokens` tokens in some spans of positions.

    `addresses`: for each core the byte address of its first instruction. `file`: its instructions with their nodes.
    """

    tokens: int
    addresses: tuple[int, ...]
    spans: tuple[int, ...] = (0,)
    file: str = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Attention that reads `kept` positions and a window, in units of `unit` positions of the cache.

    `key_tile_stripes`: of a tile of keys; `value_step_stripes`: of a step of values.
    """

    window: int
    kept: int
    unit: int
    key_tile_stripes: int
    value_step_stripes: int


@dataclass(frozen=True, slots=True)
class SpanPattern:
    """Attention with a block mask, which reads `kept` positions and skips `skipped`, by span."""

    firsts: tuple[int, ...]
    kept: tuple[int, ...]
    skipped: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the values of the runtime registers follow from; the first pattern's are in bank 1."""

    tile_columns: int
    chain_length: int
    lanes: int
    stripe_bytes: int
    rope_row_stripes: int
    patterns: tuple[Pattern | SpanPattern, ...] = ()
    spans: tuple[int, ...] = (0,)
    """First positions of the spans that have programs of their own."""


@dataclass(frozen=True, slots=True)
class Description:
    """Everything that the host driver needs to know."""

    configuration: str
    config_hash: str
    cores: int
    memory_stripes: tuple[int, ...]
    geometry: Geometry
    inputs: tuple[InputSpec, ...]
    logits: tuple[LogitsSpec, ...]
    programs: tuple[StepProgram, ...]


def read_description(folder: Path) -> Description:
    """Read accelerator.json; ArtifactError names the key that is wrong."""
    path = folder / DESCRIPTION_FILE
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: {error}", "compile the artifact again") from error
    f = Fields(value, DESCRIPTION_FILE)
    geometry = f.child("geometry")
    return Description(
        f.text("configuration_name"),
        f.text("config_hash"),
        f.integer("cores", 1),
        f.integers("memory_stripes"),
        Geometry(
            geometry.integer("tile_columns", 1),
            geometry.integer("chain_length", 1),
            geometry.integer("lanes", 1),
            geometry.integer("stripe_bytes", 1),
            geometry.integer("rope_row_stripes"),
            tuple(_pattern(p) for p in geometry.children("patterns")),
            geometry.integers("spans"),
        ),
        tuple(_input(i) for i in f.children("inputs")),
        tuple(
            LogitsSpec(i.integer("core"), i.integer("address"), i.integer("first"), i.integer("count", 1))
            for i in f.children("logits")
        ),
        tuple(
            StepProgram(i.integer("tokens", 1), i.integers("addresses"), i.integers("spans"), i.text("file"))
            for i in f.children("programs")
        ),
    )


def _pattern(f: Fields) -> Pattern | SpanPattern:
    if f.has("firsts"):
        return SpanPattern(f.integers("firsts"), f.integers("kept"), f.integers("skipped"))
    return Pattern(
        f.integer("window", 1),
        f.integer("kept"),
        f.integer("unit", 1),
        f.integer("key_tile_stripes", 1),
        f.integer("value_step_stripes", 1),
    )


def _input(f: Fields) -> InputSpec:
    return InputSpec(
        f.text("table"),
        f.text("rows", ("tokens", "positions")) == "positions",
        f.integer("offset"),
        f.integer("address"),
        f.integer("row_stripes", 1),
    )
