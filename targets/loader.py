"""Finds and reads target descriptions: those that ship with cosyn by name, a user's own by path."""

from __future__ import annotations

import difflib
from collections.abc import Hashable
from functools import cache
from pathlib import Path

import yaml

from cosyn.targets.errors import TargetError
from cosyn.targets.schema import parse_target
from cosyn.targets.target import Target

_FOLDER = Path(__file__).parent


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice, which plain YAML silently resolves to the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"key {key!r} is given twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_target(path: Path) -> Target:
    """The target that the YAML file at `path` describes; TargetError where it is not valid."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise TargetError(message, "give the path of a YAML file") from error
    except yaml.YAMLError as error:
        raise TargetError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return parse_target(data, path)


@cache
def shipped_targets() -> tuple[Target, ...]:
    """Every target that ships with cosyn, by name."""
    return tuple(read_target(path) for path in sorted(_FOLDER.glob("*.yaml")))


def load_target(name_or_path: str) -> Target:
    """The target of that name or alias, or the one described by the YAML file at that path.

    TargetError for an unknown name lists the choices and the closest match.
    """
    by_name = {n: t for t in shipped_targets() for n in (t.name, *t.aliases)}
    if name_or_path in by_name:
        return by_name[name_or_path]
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        return read_target(Path(name_or_path))
    choices = ", ".join(t.name for t in shipped_targets())
    close = difflib.get_close_matches(name_or_path, by_name, 1, cutoff=0.5)
    closest = f"did you mean {close[0]!r}? " if close else ""
    raise TargetError(
        f"unknown target {name_or_path!r}; targets: {choices}",
        f"{closest}your own YAML file is a path ending in .yaml",
    )
