"""Element types as the artifact names them, and what they are in numpy and in safetensors files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ElementType:
    """One element type; `numpy` is how the runtime holds it, which for bf16 is its bits as uint16."""

    name: str
    numpy: np.dtype[np.generic]
    safetensors: str


_TYPES = (
    ElementType("f32", np.dtype(np.float32), "F32"),
    ElementType("f16", np.dtype(np.float16), "F16"),
    ElementType("bf16", np.dtype(np.uint16), "BF16"),
    ElementType("i8", np.dtype(np.int8), "I8"),
    ElementType("u8", np.dtype(np.uint8), "U8"),
    ElementType("u16", np.dtype(np.uint16), "U16"),
    ElementType("i32", np.dtype(np.int32), "I32"),
    ElementType("u32", np.dtype(np.uint32), "U32"),
    ElementType("i64", np.dtype(np.int64), "I64"),
)

BY_NAME = {t.name: t for t in _TYPES}
"""Manifest name → element type."""

BY_SAFETENSORS = {t.safetensors: t for t in _TYPES}
"""safetensors dtype string → element type."""
