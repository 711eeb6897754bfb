"""Element types of tensors, and their numpy equivalents."""

from __future__ import annotations

from enum import Enum

import ml_dtypes
import numpy as np


class DType(Enum):
    """An element type; the value is its name in the text form of the IR."""

    F64 = "f64"
    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    I64 = "i64"
    I32 = "i32"
    I8 = "i8"
    U8 = "u8"
    BOOL = "bool"
    STATE = "state"  # a handle to mutable state (a KV cache), not a tensor of numbers

    @property
    def bits(self) -> int:
        """Bits per element in memory."""
        return _BITS[self]

    @property
    def is_float(self) -> bool:
        return self in (DType.F64, DType.F32, DType.F16, DType.BF16)

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy dtype that holds it; `bf16` comes from ml_dtypes."""
        if self is DType.BF16:
            result: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
            return result
        return np.dtype(_NUMPY[self])

    @staticmethod
    def from_numpy(dtype: np.dtype[np.generic]) -> DType:
        """The IR type of a numpy dtype; raises KeyError for one that the IR lacks."""
        return _FROM_NUMPY[np.dtype(dtype).name]

    def __repr__(self) -> str:
        return self.value


_BITS = {
    DType.F64: 64, DType.F32: 32, DType.F16: 16, DType.BF16: 16,
    DType.I64: 64, DType.I32: 32, DType.I8: 8, DType.U8: 8, DType.BOOL: 8, DType.STATE: 0,
}  # fmt: skip
_NUMPY = {
    DType.F64: "float64", DType.F32: "float32", DType.F16: "float16",
    DType.I64: "int64", DType.I32: "int32", DType.I8: "int8", DType.U8: "uint8", DType.BOOL: "bool",
}  # fmt: skip
_FROM_NUMPY = {name: dtype for dtype, name in _NUMPY.items()} | {"bfloat16": DType.BF16}
