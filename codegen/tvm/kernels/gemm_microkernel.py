"""The innermost loops of many-row linears, in LLVM's own language: a tile of rows × vectors of accumulators.

TVM would unroll the tile into straight code for every kernel and every k; as one function for each kind of
product, which all kernels of a library share, it is compiled once and keeps its accumulators in registers. All
kinds read 32-bit words: `x[row, word]`, the same for all lanes, and `w[word, column]`.

    int8   sum i32 += four products of an unsigned code with a signed one       (vpdpbusd)
    int16  sum f32 += scales · (i32 sum over a group of two products of s16)    (vpdpwssd)
    bf16   sum f32 += two products of bf16                                      (vdpbf16ps)
"""

from __future__ import annotations

from typing import Literal

Product = Literal["int8", "int16", "bf16"]

LANES = 16
_LINE = 64
_FEATURES = {"int8": "+avx512vnni", "int16": "+avx512vnni", "bf16": "+avx512bf16"}
_INSTRUCTION = {"int8": ("i32", "vpdpbusd"), "int16": ("i32", "vpdpwssd"), "bf16": ("float", "vdpbf16ps")}
"""Type of the sums, and the instruction; as such, since LLVM would split a chain of them into slower pairs."""


_MOST_UNROLLED = 16


def unrolled_words(words: int) -> int:
    """Words of a scale group that one round of the loop takes: all of a group of 32, or the most that divide."""
    return max(u for u in range(1, _MOST_UNROLLED + 1) if words % u == 0)


def microkernel_name(product: Product, rows: int, vectors: int, unroll: int = 1) -> str:
    """Name of the function that `microkernel` defines."""
    return f"cosyn_gemm_{product}_{rows}x{vectors}x{unroll}"


def microkernel(product: Product, rows: int, vectors: int, unroll: int = 1) -> str:
    """LLVM module text of a function (sums, x, x offset, words, w, groups, x scales, w scales) → 0.

    Adds to sums `[rows, 16 · vectors]` the products of x `[rows, groups · words]` with w
    `[groups · words, 16 · vectors]`. For int16 the sum over the `words` of a group is multiplied with
    x scales f32 `[rows, groups]` and w scales f32 `[groups, 16 · vectors]`; for others `groups` is 1. The
    first tiles of rows, which `x offset` (words from the start of all rows) tells, also fetch the w that
    follows into the cache, a part each.
    """
    return _Text(product, rows, vectors, unroll).module()


class _Text:
    def __init__(self, product: Product, rows: int, vectors: int, unroll: int) -> None:
        self.product, self.rows, self.vectors, self.unroll = product, rows, vectors, unroll
        self.element, self.instruction = _INSTRUCTION[product]
        self.vector = f"<{LANES} x {self.element}>"
        self.tile = [(m, u) for m in range(rows) for u in range(vectors)]

    def module(self) -> str:
        body = self._grouped() if self.product == "int16" else self._whole()
        lines = [
            "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
            *(["declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)"]
              if self.product == "int16" else []),
            f"define linkonce_odr i32 @{microkernel_name(self.product, self.rows, self.vectors, self.unroll)}(",
            "    ptr %sums, ptr %x, i64 %offset, i64 %words, ptr %w, i64 %groups, ptr %xs, ptr %ws)",
            f'    noinline nounwind "target-cpu"="x86-64-v4" "target-features"="{_FEATURES[self.product]}" {{',
            "entry:",
            *self._start(),
            *body,
            "}",
            "",
        ]  # fmt: skip
        return "\n".join(lines)

    def _start(self) -> list[str]:
        """Pointers to the rows of x, and where and how far apart to prefetch."""
        width = LANES * self.vectors
        return [
            "  %all = mul i64 %words, %groups",
            *(f"  %row{m}.at = mul i64 %all, {m}" for m in range(self.rows)),
            *(f"  %row{m} = getelementptr i32, ptr %x, i64 %row{m}.at" for m in range(self.rows)),
            # A tile of rows fetches one line per word; as many tiles as vectors fetch the next w.
            f"  %done = udiv i64 %offset, {self.rows}",
            f"  %next.size = mul i64 %all, {self.vectors}",
            "  %fetches = icmp ult i64 %done, %next.size",
            "  %skip.lines = select i1 %fetches, i64 %done, i64 0",
            f"  %skip = mul i64 %skip.lines, {LANES}",
            f"  %next.words = mul i64 %all, {width}",
            "  %next.at = add i64 %next.words, %skip",
            "  %next = getelementptr i32, ptr %w, i64 %next.at",
            "  %ahead = select i1 %fetches, ptr %next, ptr %x",
            f"  %ahead.step = select i1 %fetches, i64 {_LINE}, i64 0",
        ]

    def _whole(self) -> list[str]:
        """Sums in registers over all words."""
        lines = [f"  %at{m}.{u} = getelementptr i8, ptr %sums, i64 {self._sum_at(m, u)}" for m, u in self.tile]
        lines += [f"  %old{m}.{u} = load {self.vector}, ptr %at{m}.{u}, align 4" for m, u in self.tile]
        lines += ["  br label %loop", "loop:", "  %k = phi i64 [ 0, %entry ], [ %k.next, %loop ]"]
        lines += self._phis("entry", "loop", "%old")
        lines += self._step()
        lines += ["  %k.next = add i64 %k, " + str(self.unroll), "  %more = icmp ult i64 %k.next, %words"]
        lines += ["  br i1 %more, label %loop, label %done.all", "done.all:"]
        lines += [f"  store {self.vector} %new{m}.{u}, ptr %at{m}.{u}, align 4" for m, u in self.tile]
        return [*lines, "  ret i32 0"]

    def _grouped(self) -> list[str]:
        """Integer sums in registers over the words of a group; the float sums stay in the first cache."""
        lines = [f"  %at{m}.{u} = getelementptr i8, ptr %sums, i64 {self._sum_at(m, u)}" for m, u in self.tile]
        lines += ["  br label %group", "group:", "  %g = phi i64 [ 0, %entry ], [ %g.next, %scale ]"]
        lines += ["  %first = mul i64 %g, %words", "  %last = add i64 %first, %words", "  br label %loop", "loop:"]
        lines += ["  %k = phi i64 [ %first, %group ], [ %k.next, %loop ]"]
        lines += self._phis("group", "loop", None)
        lines += self._step()
        lines += ["  %k.next = add i64 %k, " + str(self.unroll), "  %more = icmp ult i64 %k.next, %last"]
        lines += ["  br i1 %more, label %loop, label %scale", "scale:"]
        for u in range(self.vectors):
            lines += [
                f"  %ws{u}.index = mul i64 %g, {LANES * self.vectors}",
                f"  %ws{u}.at = add i64 %ws{u}.index, {LANES * u}",
                f"  %ws{u}.ptr = getelementptr float, ptr %ws, i64 %ws{u}.at",
                f"  %ws{u} = load <16 x float>, ptr %ws{u}.ptr, align 4",
            ]
        for m in range(self.rows):
            lines += [
                f"  %xs{m}.row = mul i64 %groups, {m}",
                f"  %xs{m}.at = add i64 %xs{m}.row, %g",
                f"  %xs{m}.ptr = getelementptr float, ptr %xs, i64 %xs{m}.at",
                *splat(f"%xs{m}", "float", f"%xs{m}.ptr"),
            ]
            for u in range(self.vectors):
                name = f"{m}.{u}"
                lines += [
                    f"  %scale{name} = fmul <16 x float> %xs{m}, %ws{u}",
                    f"  %float{name} = sitofp <16 x i32> %new{name} to <16 x float>",
                    f"  %old{name} = load <16 x float>, ptr %at{name}, align 4",
                    f"  %sum{name} = call <16 x float> @llvm.fma.v16f32(<16 x float> %float{name}, "
                    f"<16 x float> %scale{name}, <16 x float> %old{name})",
                    f"  store <16 x float> %sum{name}, ptr %at{name}, align 4",
                ]
        lines += ["  %g.next = add i64 %g, 1", "  %again = icmp ult i64 %g.next, %groups"]
        return [*lines, "  br i1 %again, label %group, label %done.all", "done.all:", "  ret i32 0"]

    def _phis(self, before: str, loop: str, start: str | None) -> list[str]:
        lines = []
        for m, u in self.tile:
            first = f"{start}{m}.{u}" if start else "zeroinitializer"
            lines.append(f"  %acc{m}.{u} = phi {self.vector} [ {first}, %{before} ], [ %new{m}.{u}, %{loop} ]")
        return lines

    def _step(self) -> list[str]:
        """`unroll` words of every row times the same words of every column: `%acc` to `%new`."""
        return [line for i in range(self.unroll) for line in self._word(i)]

    def _word(self, i: int) -> list[str]:
        tag, width = f".{i}", LANES * self.vectors
        lines = [
            f"  %k{tag} = add i64 %k, {i}",
            f"  %w{tag}.at = mul i64 %k{tag}, {width}",
            f"  %w{tag}.ptr = getelementptr i32, ptr %w, i64 %w{tag}.at",
        ]
        if self.product != "int16":
            lines += [
                f"  %ahead{tag}.at = mul i64 %k{tag}, %ahead.step",
                f"  %ahead{tag}.ptr = getelementptr i8, ptr %ahead, i64 %ahead{tag}.at",
                f"  call void @llvm.prefetch.p0(ptr %ahead{tag}.ptr, i32 0, i32 2, i32 1)",
            ]
        for u in range(self.vectors):
            lines += [
                f"  %w{u}{tag}.ptr = getelementptr i32, ptr %w{tag}.ptr, i64 {LANES * u}",
                f"  %w{u}{tag} = load <16 x i32>, ptr %w{u}{tag}.ptr, align 4",
            ]
        for m in range(self.rows):
            lines += [
                f"  %x{m}{tag}.ptr = getelementptr i32, ptr %row{m}, i64 %k{tag}",
                *splat(f"%x{m}{tag}", "i32", f"%x{m}{tag}.ptr"),
            ]
            for u in range(self.vectors):
                before = f"%acc{m}.{u}" if i == 0 else f"%new{m}.{u}.{i - 1}"
                after = f"%new{m}.{u}" if i == self.unroll - 1 else f"%new{m}.{u}.{i}"
                lines.append(
                    f'  {after} = call {self.vector} asm "{self.instruction} $3, $2, $0", "=v,0,v,v"'
                    f"({self.vector} {before}, <16 x i32> %w{u}{tag}, <16 x i32> %x{m}{tag})"
                )
        return lines

    def _sum_at(self, m: int, u: int) -> int:
        return (m * self.vectors + u) * LANES * 4


def splat(name: str, element: str, pointer: str, lanes: int = LANES) -> list[str]:
    """Code of a vector `name` of the one `element` at `pointer`."""
    return [
        f"  {name}.one = load {element}, ptr {pointer}, align 2",
        f"  {name}.first = insertelement <{lanes} x {element}> poison, {element} {name}.one, i64 0",
        f"  {name} = shufflevector <{lanes} x {element}> {name}.first, <{lanes} x {element}> poison, "
        f"<{lanes} x i32> zeroinitializer",
    ]
