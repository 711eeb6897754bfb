"""A session on disk: decoding from a reloaded state gives the tokens that it would have given without a
pause.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cosyn.runtime.dtypes import BY_NAME
from cosyn.runtime.errors import ArtifactError, RequestError
from cosyn.runtime.executor import AnyArray, Executor
from cosyn.runtime.session import Session
from cosyn.runtime.tensor_file import TensorFile, TensorSpec, write_tensors

_FORMAT = "cosyn-session/1"


def save_state(session: Session, path: Path, artifact: str) -> None:
    """Write what every slot holds; `artifact` identifies whose caches they are (the manifest's seal).

    The file appears complete or not at all.
    """
    arrays: dict[str, AnyArray] = {}
    for slot in range(session.slots):
        tokens = session.tokens(slot)
        arrays[f"{slot}.tokens"] = np.asarray(tokens, np.int32)
        arrays[f"{slot}.written"] = np.asarray([session.written(slot)], np.int32)
        for i, array in enumerate(session.state.read(slot, len(tokens))):
            arrays[f"{slot}.{i}"] = array
    about = {
        "format": _FORMAT,
        "artifact": artifact,
        "slots": str(session.slots),
        "capacity": str(session.capacity),
    }
    about["sha256"] = _digest(about, arrays)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_tensors(temporary, [_spec(n, a) for n, a in arrays.items()], lambda s: arrays[s.name], about)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_state(executor: Executor, path: Path, artifact: str) -> Session:
    """A session that goes on where `save_state` left it. RequestError where there is no file or it belongs to
    another artifact; ArtifactError where it is damaged.
    """
    if not path.is_file():
        raise RequestError(f"expected a saved session at {path}, found nothing")
    file = TensorFile(path)
    about = file.metadata
    if about.get("format") != _FORMAT:
        raise RequestError(f"{path}: expected a saved session ({_FORMAT}), found {about.get('format')!r}")
    if about.get("artifact") != artifact:
        raise RequestError(
            f"{path} was saved by another artifact than this one ({artifact[:12]}…)",
            "load it with the artifact that saved it",
        )
    arrays = {spec.name: file.array(spec.name) for spec in file.specs}
    stated = {key: value for key, value in about.items() if key != "sha256"}
    if about.get("sha256") != _digest(stated, arrays):
        raise ArtifactError(f"{path} is damaged: its contents do not have the hash that it states")
    session = Session(executor, slots=int(about["slots"]), capacity=int(about["capacity"]))
    for slot in range(session.slots):
        _restore(session, slot, arrays)
    return session


def _restore(session: Session, slot: int, arrays: Mapping[str, AnyArray]) -> None:
    tokens = [int(t) for t in arrays[f"{slot}.tokens"]]
    stated = (f"{slot}.tokens", f"{slot}.written")
    session.state.write(slot, [a for n, a in arrays.items() if n.startswith(f"{slot}.") and n not in stated])
    session.restore(slot, tokens, int(arrays[f"{slot}.written"][0]))


def _spec(name: str, array: AnyArray) -> TensorSpec:
    return TensorSpec(name, array.shape, next(t.name for t in BY_NAME.values() if t.numpy == array.dtype))


def _digest(about: Mapping[str, str], arrays: Mapping[str, AnyArray]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
