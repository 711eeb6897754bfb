"""The innermost loops of many-row linears over int8 activations for aarch64 with i8mm, in LLVM's own language.

One `usmmla` multiplies 8 unsigned codes of two columns with 8 signed numbers of two rows of x. The weight's words hold
4 consecutive k, those of neighbouring columns side by side: two zips of two consecutive words make 8 k of two
columns each. The function takes the place of `gemm_microkernel.py`'s for `int8`, with the same arguments.
"""

from __future__ import annotations

from cosyn.codegen.tvm.kernels.gemm_microkernel import LANES

COLUMNS_OF_K = 8
"""Columns of x that one instruction takes: they must divide k."""

_LANES = 4
_MATRIX = "llvm.aarch64.neon.usmmla.v4i32.v16i8"


def i8mm_name(rows: int, vectors: int) -> str:
    """Name of the function that `i8mm_microkernel` defines."""
    return f"cosyn_gemm_i8mm_{rows}x{vectors}"


def i8mm_microkernel(rows: int, vectors: int) -> str:
    """LLVM module text of a function (sums, x, x offset, words, w, groups, x scales, w scales) → 0.

    Adds to sums i32 `[rows, 16 · vectors]` the products of x i8 `[rows, 4 · words]` with unsigned codes in words w
    `[words, 16 · vectors]`. `rows` and the number of words are even; what is not named here is not read.
    """
    return _Text(rows, vectors).module()


class _Text:
    def __init__(self, rows: int, vectors: int) -> None:
        self.rows, self.vectors, self.width = rows, vectors, LANES * vectors
        # Sums and what they are made of in 32 registers.
        self.columns = 16 if rows <= 4 else 8
        self.row_pairs = range(rows // 2)
        self.quads = range(self.columns // _LANES)
        self.tile = [(p, q) for p in self.row_pairs for q in range(self.columns // 2)]

    def module(self) -> str:
        lines = [
            f"declare <4 x i32> @{_MATRIX}(<4 x i32>, <16 x i8>, <16 x i8>)",
            f"define linkonce_odr i32 @{i8mm_name(self.rows, self.vectors)}(",
            "    ptr %sums, ptr %x, i64 %offset, i64 %words, ptr %w, i64 %groups, ptr %xs, ptr %ws)",
            '    noinline nounwind "target-features"="+neon,+dotprod,+i8mm" {',
            "entry:",
            "  %bytes = mul i64 %words, 4",
            *(f"  %row{m}.at = mul i64 %bytes, {m}" for m in range(self.rows)),
            *(f"  %row{m} = getelementptr i8, ptr %x, i64 %row{m}.at" for m in range(self.rows)),
            "  br label %columns",
            "columns:",
            "  %c = phi i64 [ 0, %entry ], [ %c.next, %store ]",
            "  br label %loop",
            *self._loop(),
            *self._store(),
            "}",
            "",
        ]
        return "\n".join(lines)

    def _loop(self) -> list[str]:
        """Two words of every row times the same words of some columns, until all words are done."""
        lines = ["loop:", "  %k = phi i64 [ 0, %columns ], [ %k.next, %loop ]"]
        for p, q in self.tile:
            lines.append(f"  %acc{p}.{q} = phi <4 x i32> [ zeroinitializer, %columns ], [ %new{p}.{q}, %loop ]")
        lines += [
            f"  %w.row = mul i64 %k, {self.width}",
            "  %w.at = add i64 %w.row, %c",
            "  %w0 = getelementptr i32, ptr %w, i64 %w.at",
            f"  %w1 = getelementptr i32, ptr %w0, i64 {self.width}",
            "  %x.at = mul i64 %k, 4",
        ]
        for v in self.quads:
            for word in (0, 1):
                lines += [
                    f"  %w{word}.{v}.ptr = getelementptr i32, ptr %w{word}, i64 {_LANES * v}",
                    f"  %w{word}.{v} = load <4 x i32>, ptr %w{word}.{v}.ptr, align 4",
                ]
            for half, lanes in enumerate(((0, 4, 1, 5), (2, 6, 3, 7))):
                picked = ", ".join(f"i32 {lane}" for lane in lanes)
                lines += [
                    f"  %pair{2 * v + half}.words = shufflevector <4 x i32> %w0.{v}, <4 x i32> %w1.{v}, "
                    f"<4 x i32> <{picked}>",
                    f"  %pair{2 * v + half} = bitcast <4 x i32> %pair{2 * v + half}.words to <16 x i8>",
                ]
        for p in self.row_pairs:
            for m in (2 * p, 2 * p + 1):
                lines += [
                    f"  %x{m}.ptr = getelementptr i8, ptr %row{m}, i64 %x.at",
                    f"  %x{m} = load i64, ptr %x{m}.ptr, align 1",
                ]
            lines += [
                f"  %rows{p}.first = insertelement <2 x i64> poison, i64 %x{2 * p}, i64 0",
                f"  %rows{p}.both = insertelement <2 x i64> %rows{p}.first, i64 %x{2 * p + 1}, i64 1",
                f"  %rows{p} = bitcast <2 x i64> %rows{p}.both to <16 x i8>",
            ]
        for p, q in self.tile:
            lines.append(
                f"  %new{p}.{q} = call <4 x i32> @{_MATRIX}(<4 x i32> %acc{p}.{q}, <16 x i8> %pair{q}, "
                f"<16 x i8> %rows{p})"
            )
        lines += ["  %k.next = add i64 %k, 2", "  %more = icmp ult i64 %k.next, %words"]
        return [*lines, "  br i1 %more, label %loop, label %store"]

    def _store(self) -> list[str]:
        """Sums of two columns × two rows to those of four columns of a row, which the row's are added to."""
        lines = ["store:"]
        for p in self.row_pairs:
            for v in self.quads:
                for half, lanes in enumerate(((0, 2, 4, 6), (1, 3, 5, 7))):
                    name, picked = f"{2 * p + half}.{v}", ", ".join(f"i32 {lane}" for lane in lanes)
                    lines += [
                        f"  %sum{name} = shufflevector <4 x i32> %new{p}.{2 * v}, <4 x i32> %new{p}.{2 * v + 1}, "
                        f"<4 x i32> <{picked}>",
                        f"  %at{name} = add i64 %c, {(2 * p + half) * self.width + _LANES * v}",
                        f"  %ptr{name} = getelementptr i32, ptr %sums, i64 %at{name}",
                        f"  %old{name} = load <4 x i32>, ptr %ptr{name}, align 4",
                        f"  %total{name} = add <4 x i32> %old{name}, %sum{name}",
                        f"  store <4 x i32> %total{name}, ptr %ptr{name}, align 4",
                    ]
        lines += [f"  %c.next = add i64 %c, {self.columns}", f"  %again = icmp ult i64 %c.next, {self.width}"]
        return [*lines, "  br i1 %again, label %columns, label %end", "end:", "  ret i32 0"]
