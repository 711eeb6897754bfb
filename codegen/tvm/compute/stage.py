"""What a builder of tensor expressions gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from tvm import te, tirx

from cosyn.codegen.tvm.dims import Dims
from cosyn.ir.dtype import DType
from cosyn.ir.node import Node

_TVM_DTYPE = {
    DType.F32: "float32", DType.F16: "float16", DType.I32: "int32", DType.I64: "int64",
    DType.I8: "int8", DType.U8: "uint8", DType.BOOL: "bool",
}  # fmt: skip


def tvm_dtype(dtype: DType) -> str:
    """TVM's name of a dtype; bf16 is carried as its bits, in u16."""
    return "uint16" if dtype is DType.BF16 else _TVM_DTYPE[dtype]


@dataclass(frozen=True)
class Stage:
    """One node to be expressed: the node, its operands as tensors, and the sizes of the kernel.

    `tables` are what stages of the kernel made that another may read, by what they were made from.
    """

    node: Node
    operands: Sequence[te.Tensor]
    dims: Dims
    tables: dict[Hashable, te.Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[tirx.Expr, ...]:
        """Shape of the first result."""
        return self.dims.shape(self.node.type.shape)

    @property
    def dtype(self) -> str:
        """TVM dtype of the first result."""
        return tvm_dtype(self.node.type.dtype)

    def const(self, value: float) -> tirx.Expr:
        """A number of the result's dtype."""
        return tirx.const(value, self.dtype)


StageBuilder = Callable[[Stage], Sequence[te.Tensor]]


def load_float(value: tirx.Expr, dtype: str) -> tirx.Expr:
    """A stored float of TVM type `dtype` (u16 holds bf16 bits) as f32."""
    if dtype == "uint16":
        return tirx.reinterpret("float32", value.astype("uint32") << tirx.const(16, "uint32"))
    return value if dtype == "float32" else value.astype("float32")
