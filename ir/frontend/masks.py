"""What transformers' mask builders mean, in place of the masks that they would build."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch

from cosyn.ir.errors import UnsupportedOp, UnsupportedOps

_OVERLAYS = ("or_mask_function", "and_mask_function", "block_sequence_ids")


@dataclass(frozen=True, slots=True)
class CausalMask:
    """Stands for a causal mask; where `window` is set, a token sees that many latest positions, its own included.

    Code that computes with a mask instead of handing it on finds no tensor here and cannot be traced.
    """

    window: int | None = None


def _refuse(name: str, reason: str) -> UnsupportedOps:
    return UnsupportedOps([UnsupportedOp(name, "mask", reason=reason)])


def _causal(*_: Any, **keywords: Any) -> CausalMask:
    overlays = [name for name in _OVERLAYS if keywords.get(name) is not None]
    if overlays:
        raise _refuse("create_causal_mask", f"a causal mask changed by {', '.join(overlays)}")
    return CausalMask()


def _sliding(config: Any, *_: Any, **keywords: Any) -> CausalMask:
    return replace(_causal(**keywords), window=int(config.sliding_window))


def _chunked(*_: Any, **__: Any) -> None:
    raise _refuse(
        "create_chunked_causal_mask", "attention within chunks; expected causal attention or a sliding window"
    )


def _bidirectional(*_: Any, **__: Any) -> None:
    raise _refuse("create_bidirectional_mask", "attention that sees later tokens; expected causal attention")


_MEANINGS: dict[str, Callable[..., Any]] = {
    "create_causal_mask": _causal,
    "create_sliding_window_causal_mask": _sliding,
    "create_chunked_causal_mask": _chunked,
    "create_bidirectional_mask": _bidirectional,
    "create_bidirectional_sliding_window_mask": _bidirectional,
}


@contextlib.contextmanager
def masks_as_meaning(model: torch.nn.Module) -> Iterator[None]:
    """While active, the model's code gets a CausalMask in place of a tensor."""
    files = {sys.modules[type(m).__module__] for m in model.modules()}
    changed: list[tuple[ModuleType, str, object]] = []
    for file in files:
        for name, meaning in _MEANINGS.items():
            if hasattr(file, name) and file.__name__.startswith("transformers."):
                changed.append((file, name, getattr(file, name)))
                setattr(file, name, meaning)
    try:
        yield
    finally:
        for file, name, original in changed:
            setattr(file, name, original)
