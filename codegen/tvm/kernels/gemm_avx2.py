"""The innermost loops of many-row linears for AVX2 and AVX-VNNI, in LLVM's own language.

The functions take the place of those of `gemm_microkernel.py`, with the same arguments, in 16 registers of 8 lanes: a
block of columns is done in turns of one or two registers. `vpmaddwd` adds two products of 16 bits in each lane. An
unsigned byte times a signed one is made of it without loss (`vpmaddubsw` would saturate): the bytes of a word are
split into those of even and odd k, once for all rows of x, which comes in 16 bits and in that order. AVX-VNNI has
`vpdpbusd` for them, as AVX-512 has.

    int8    sum i32 += four products of an unsigned code with a signed one      (vpdpbusd)
    pairs   sum i32 += four products of an unsigned code with an i16            (vpmaddwd, twice)
    int16   sum f32 += scales · (i32 sum over a group of two products of i16)   (vpmaddwd)
"""

from __future__ import annotations

from typing import Literal

from cosyn.codegen.tvm.kernels.gemm_microkernel import LANES, splat

Product = Literal["int8", "pairs", "int16"]

_LANES = 8
_MOST_SUMS = 8
"""Registers with sums; as many are left for what they are made of."""
_MADD = "vpmaddwd $4, $3, $1\\0Avpaddd $1, $0, $0"
"""Sum, a register between, sum before, two operands: as such, since LLVM would add in another order and run out of
registers.
"""
_DPBUSD = "llvm.x86.avx512.vpdpbusd.256"
_FMA = "llvm.fma.v8f32"
_DECLARATIONS = {
    "int8": f"declare <8 x i32> @{_DPBUSD}(<8 x i32>, <32 x i8>, <32 x i8>)",
    "pairs": "",
    "int16": f"declare <8 x float> @{_FMA}(<8 x float>, <8 x float>, <8 x float>)",
}


def avx2_name(product: Product, rows: int, vectors: int, unroll: int = 1) -> str:
    """Name of the function that `avx2_microkernel` defines."""
    return f"cosyn_gemm_{product}_avx2_{rows}x{vectors}x{unroll}"


def avx2_microkernel(product: Product, rows: int, vectors: int, unroll: int = 1) -> str:
    """LLVM module text of a function (sums, x, x offset, words, w, groups, x scales, w scales) → 0.

    Adds to sums `[rows, 16 · vectors]` the products of x `[rows, groups · words]` with w
    `[groups · words, 16 · vectors]`; elements of x are words, for `pairs` two of them. For int16 the sum over the
    `words` of a group is multiplied with x scales f32 `[rows, groups]` and w scales f32 `[groups, 16 · vectors]`;
    for others `groups` is 1, and what is not named here is not read. `unroll` divides `words`.
    """
    return _Text(product, rows, vectors, unroll).module()


class _Text:
    def __init__(self, product: Product, rows: int, vectors: int, unroll: int) -> None:
        self.product, self.rows, self.vectors, self.unroll = product, rows, vectors, unroll
        self.width = LANES * vectors
        self.registers = range(2 if 2 * rows <= _MOST_SUMS else 1)
        self.x_words = 2 if product == "pairs" else 1
        self.tile = [(m, u) for m in range(rows) for u in self.registers]

    def module(self) -> str:
        columns = _LANES * len(self.registers)
        lines = [
            _DECLARATIONS[self.product],
            f"define linkonce_odr i32 @{avx2_name(self.product, self.rows, self.vectors, self.unroll)}(",
            "    ptr %sums, ptr %x, i64 %offset, i64 %words, ptr %w, i64 %groups, ptr %xs, ptr %ws)",
            "    noinline nounwind {",
            "entry:",
            "  %all = mul i64 %words, %groups",
            f"  %row = mul i64 %all, {self.x_words}",
            *(f"  %row{m}.at = mul i64 %row, {m}" for m in range(self.rows)),
            *(f"  %row{m} = getelementptr i32, ptr %x, i64 %row{m}.at" for m in range(self.rows)),
            "  br label %columns",
            "columns:",
            "  %c = phi i64 [ 0, %entry ], [ %c.next, %turn ]",
            "  br label %group",
            "group:",
            "  %g = phi i64 [ 0, %columns ], [ %g.next, %add ]",
            "  %first = mul i64 %g, %words",
            "  %last = add i64 %first, %words",
            "  br label %loop",
            "loop:",
            "  %k = phi i64 [ %first, %group ], [ %k.next, %loop ]",
            *(f"  %acc{m}.{u}.0 = phi <8 x i32> [ zeroinitializer, %group ], [ %acc{m}.{u}.{self.unroll}, %loop ]"
              for m, u in self.tile),
            *(line for i in range(self.unroll) for line in self._word(i)),
            f"  %k.next = add i64 %k, {self.unroll}",
            "  %more = icmp ult i64 %k.next, %last",
            "  br i1 %more, label %loop, label %add",
            "add:",
            *(self._add_scaled() if self.product == "int16" else self._add()),
            "  %g.next = add i64 %g, 1",
            "  %again = icmp ult i64 %g.next, %groups",
            "  br i1 %again, label %group, label %turn",
            "turn:",
            f"  %c.next = add i64 %c, {columns}",
            f"  %another = icmp ult i64 %c.next, {self.width}",
            "  br i1 %another, label %columns, label %end",
            "end:",
            "  ret i32 0",
            "}",
            "",
        ]  # fmt: skip
        return "\n".join(lines)

    def _word(self, i: int) -> list[str]:
        """A word of every row times the same word of some columns: `%acc….i` to `%acc….(i + 1)`."""
        lines = [
            f"  %k.{i} = add i64 %k, {i}",
            f"  %w.{i}.row = mul i64 %k.{i}, {self.width}",
            f"  %w.{i}.at = add i64 %w.{i}.row, %c",
            f"  %w.{i} = getelementptr i32, ptr %w, i64 %w.{i}.at",
            f"  %x.{i} = mul i64 %k.{i}, {self.x_words}",
        ]
        for u in self.registers:
            lines += [
                f"  %w{u}.{i}.ptr = getelementptr i32, ptr %w.{i}, i64 {_LANES * u}",
                f"  %w{u}.{i} = load <8 x i32>, ptr %w{u}.{i}.ptr, align 4",
                *self._operand(f"%w{u}.{i}"),
            ]
        for m in range(self.rows):
            for part in range(self.x_words):
                name = f"%x{m}.{i}.{part}"
                lines += [
                    f"  {name}.at = add i64 %x.{i}, {part}",
                    f"  {name}.ptr = getelementptr i32, ptr %row{m}, i64 {name}.at",
                    *splat(name, "i32", f"{name}.ptr", _LANES),
                    f"  {name}.operand = bitcast <8 x i32> {name} to {self._x_type}",
                ]
            lines += [line for u in self.registers for line in self._product(m, u, i)]
        return lines

    @property
    def _x_type(self) -> str:
        return "<32 x i8>" if self.product == "int8" else "<16 x i16>"

    def _operand(self, w: str) -> list[str]:
        """The parts of the words `w` that a product takes: `w.0`, and `w.1` of pairs."""
        if self.product == "int8":
            return [f"  {w}.0 = bitcast <8 x i32> {w} to <32 x i8>"]
        if self.product == "int16":
            return [f"  {w}.0 = bitcast <8 x i32> {w} to <16 x i16>"]
        return [
            f"  {w}.halves = bitcast <8 x i32> {w} to <16 x i16>",
            f"  {w}.0 = and <16 x i16> {w}.halves, splat (i16 255)",
            f"  {w}.1 = lshr <16 x i16> {w}.halves, splat (i16 8)",
        ]

    def _product(self, m: int, u: int, i: int) -> list[str]:
        before, after = f"%acc{m}.{u}.{i}", f"%acc{m}.{u}.{i + 1}"
        if self.product == "int8":
            operands = f"<8 x i32> {before}, <32 x i8> %w{u}.{i}.0, <32 x i8> %x{m}.{i}.0.operand"
            return [f"  {after} = call <8 x i32> @{_DPBUSD}({operands})"]
        lines = []
        for part in range(self.x_words):
            total = after if part == self.x_words - 1 else f"{after}.{part}"
            lines += [
                f'  {total}.both = call {{ <8 x i32>, <8 x i32> }} asm "{_MADD}", "=x,=&x,0,x,x"(<8 x i32> {before}, '
                f"<16 x i16> %w{u}.{i}.{part}, <16 x i16> %x{m}.{i}.{part}.operand)",
                f"  {total} = extractvalue {{ <8 x i32>, <8 x i32> }} {total}.both, 0",
            ]
            before = total
        return lines

    def _add(self) -> list[str]:
        """Add the integer sums to those in memory."""
        lines = []
        for m, u in self.tile:
            name = f"{m}.{u}"
            lines += [
                *self._sum_pointer(m, u),
                f"  %old{name} = load <8 x i32>, ptr %at{name}, align 4",
                f"  %sum{name} = add <8 x i32> %old{name}, %acc{name}.{self.unroll}",
                f"  store <8 x i32> %sum{name}, ptr %at{name}, align 4",
            ]
        return lines

    def _add_scaled(self) -> list[str]:
        """Add the integer sums of a group, times its scales, to the float sums in memory."""
        lines = [f"  %ws.row = mul i64 %g, {self.width}", "  %ws.at = add i64 %ws.row, %c"]
        for u in self.registers:
            lines += [
                f"  %ws{u}.at = add i64 %ws.at, {_LANES * u}",
                f"  %ws{u}.ptr = getelementptr float, ptr %ws, i64 %ws{u}.at",
                f"  %ws{u} = load <8 x float>, ptr %ws{u}.ptr, align 4",
            ]
        for m in range(self.rows):
            lines += [
                f"  %xs{m}.row = mul i64 %groups, {m}",
                f"  %xs{m}.at = add i64 %xs{m}.row, %g",
                f"  %xs{m}.ptr = getelementptr float, ptr %xs, i64 %xs{m}.at",
                *splat(f"%xs{m}", "float", f"%xs{m}.ptr", _LANES),
            ]
        for m, u in self.tile:
            name = f"{m}.{u}"
            lines += [
                *self._sum_pointer(m, u),
                f"  %scale{name} = fmul <8 x float> %xs{m}, %ws{u}",
                f"  %float{name} = sitofp <8 x i32> %acc{name}.{self.unroll} to <8 x float>",
                f"  %old{name} = load <8 x float>, ptr %at{name}, align 4",
                f"  %sum{name} = call <8 x float> @{_FMA}(<8 x float> %float{name}, <8 x float> %scale{name}, "
                f"<8 x float> %old{name})",
                f"  store <8 x float> %sum{name}, ptr %at{name}, align 4",
            ]
        return lines

    def _sum_pointer(self, m: int, u: int) -> list[str]:
        return [
            f"  %index{m}.{u} = add i64 %c, {m * self.width + _LANES * u}",
            f"  %at{m}.{u} = getelementptr i32, ptr %sums, i64 %index{m}.{u}",
        ]
