"""GPU schedules that are simple and right for any group: CUDA and OpenCL share them.

A group becomes one kernel per result that does not depend on a sum over rows, and one for all that do.
Results are spread over threads, an element each. A contraction is a serial sum in a register of the thread
that needs it; a sum over a row is made by the threads of a block together.
"""

from __future__ import annotations

from typing import Any

from tvm import s_tir, tirx

Block = Any
Loop = Any


_COLUMNS = 64
"""Columns of a contraction per block of threads: as many rows of packed weights lie side by side."""


def schedule_gpu(function: tirx.PrimFunc, threads: int) -> tirx.PrimFunc:
    """`function` with its loops bound to blocks of at most `threads` threads (a power of two)."""
    group = _Group(s_tir.Schedule(function), threads)
    group.separate_results()
    group.inline_intermediates()
    if group.contracts():
        group.bind_contraction()
    else:
        group.bind_rows()
    return group.schedule.mod["main"]


class _Group:
    """The blocks of one function under a schedule."""

    def __init__(self, schedule: s_tir.Schedule, threads: int) -> None:
        self.schedule = schedule
        self.threads = threads

    def blocks(self) -> list[Block]:
        """Blocks directly below the root, in order."""
        return list(self.schedule.get_child_blocks(self.schedule.get_sblock("root")))

    def reduces(self, block: Block) -> bool:
        return any(v.iter_type == tirx.IterVar.CommReduce for v in self.schedule.get(block).iter_vars)

    def is_result(self, block: Block) -> bool:
        # By identity: a stage may carry the name of a parameter.
        parameters = self.schedule.mod["main"].params
        return all(any(w.source.same_as(p) for p in parameters) for w in self.schedule.get(block).writes)

    def separate_results(self) -> None:
        """Give each result that other blocks read, or that is a sum, a copy of its own to be computed in.

        Threads of other blocks must not read what this one writes to global memory.
        """
        for block in self.blocks():
            consumers = list(self.schedule.get_consumers(block))
            if self.is_result(block) and (consumers or self.reduces(block)):
                self.schedule.cache_write(block, 0, "local", consumer_blocks=consumers)

    def inline_intermediates(self) -> None:
        """Recompute elementwise values wherever they are read: arithmetic is cheaper than memory."""
        for block in self.blocks():
            if not self.reduces(block) and not self.is_result(block):
                self.schedule.compute_inline(block)

    def contracts(self) -> bool:
        """Whether a sum belongs to one element of a result, as in a matrix product."""
        blocks = self.blocks()
        sums = [b for b in blocks if self.reduces(b)]
        results = [b for b in blocks if self.is_result(b)]
        return bool(sums) and max(map(self._spatial, sums)) >= max(map(self._spatial, results))

    def bind_stages(self) -> None:
        """A kernel for each block, with scratch memory between them."""
        for block in self.blocks():
            if self.reduces(block):
                self._bind_sum(block, [self.schedule.cache_write(block, 0, "local")], [])
            else:
                self._bind_elements(block)

    def bind_contraction(self) -> None:
        """One thread per element of the sum, with the results that read it."""
        *parts, total = [b for b in self.blocks() if self.reduces(b)]
        self._bind_sum(total, self._bind_independent(), parts)

    def _bind_sum(self, total: Block, dependent: list[Block], parts: list[Block]) -> None:
        """One thread per element of `total`, kept in a register; `parts` are summed where it reads them."""
        schedule = self.schedule
        loops = list(schedule.get_loops(total))
        *outer, columns = loops[: self._spatial(total)]
        sums = loops[self._spatial(total) :]
        block, thread = schedule.split(columns, [None, self._threads(columns, _COLUMNS)])
        if outer:
            # Rows are an axis of their own: dividing a block number by a symbolic size is slow.
            schedule.bind(schedule.fuse(*outer) if len(outer) > 1 else outer[0], "blockIdx.y")
        schedule.bind(block, "blockIdx.x")
        schedule.bind(thread, "threadIdx.x")
        schedule.set_scope(total, 0, "local")
        for result in dependent:
            schedule.reverse_compute_at(result, thread)
        for part in reversed(parts):
            schedule.compute_at(part, sums[-1])
            schedule.set_scope(part, 0, "local")

    def bind_rows(self) -> None:
        """A block of threads per row where sums over rows are read, a thread per element for the rest."""
        families = self._families()
        dependent = [b for b in self.blocks() if self.is_result(b) and self._reads_sum(b)]
        if families is None and len(dependent) > 1:
            self.bind_stages()
            return
        self._bind_independent()
        if families is None:
            self._bind_result(dependent[0])
            return
        for family in families:
            self._bind_family(*family)

    def _bind_family(self, first: Block, *others: Block) -> None:
        """A block of threads per row: it sums together, through shared memory, then writes the results."""
        schedule = self.schedule
        loops = schedule.get_loops(first)
        lead = self._spatial(first)
        threads = self._threads(loops[-1], self.threads)
        row = schedule.fuse(*loops[:lead]) if lead > 1 else loops[0]
        schedule.bind(row, "blockIdx.x")
        for block in others:
            schedule.reverse_compute_at(block, row)
        for block in (first, *others):
            self._bind_inside_row(block, threads)

    def _bind_result(self, result: Block) -> None:
        """A block of threads per leading index of a result: it makes all sums that the result reads, together."""
        schedule = self.schedule
        sums = [b for b in self.blocks() if self.reduces(b)]
        threads = max(self._threads(schedule.get_loops(b)[-1], self.threads) for b in sums)
        row = schedule.get_loops(result)[0]
        schedule.bind(row, "blockIdx.x")
        for block in reversed(sums):
            schedule.compute_at(block, row)
        for block in (*sums, result):
            self._bind_inside_row(block, threads)

    def _bind_inside_row(self, block: Block, threads: int) -> None:
        """Spread over the threads of a block the sum of a row, or the elements of a result."""
        schedule = self.schedule
        inner = list(schedule.get_loops(block))[1:] or [schedule.add_unit_loop(block)]
        if self.reduces(block):
            schedule.set_scope(block, 0, "shared")
            inner = inner[-1:]
        column = schedule.fuse(*inner) if len(inner) > 1 else inner[0]
        _, thread = schedule.split(column, [None, threads])
        schedule.bind(thread, "threadIdx.x")

    def _families(self) -> list[list[Block]] | None:
        """Sums that read no other sum, each with what depends on it; None where something depends on two."""
        families: list[list[Block]] = []
        for block in self.blocks():
            producers = [p for p in self.schedule.get_producers(block) if self.reduces(p)]
            mine = [f for f in families if any(self._same(p, member) for p in producers for member in f)]
            if len(mine) > 1:
                return None
            if mine:
                mine[0].append(block)
            elif self.reduces(block):
                families.append([block])
        return families

    def _same(self, a: Block, b: Block) -> bool:
        return bool(self.schedule.get(a).same_as(self.schedule.get(b)))

    def _bind_independent(self) -> list[Block]:
        """Bind the results that read no sum, an element per thread; the other results."""
        dependent = []
        for block in self.blocks():
            if self.is_result(block) and self._reads_sum(block):
                dependent.append(block)
            elif self.is_result(block):
                self._bind_elements(block)
        return dependent

    def _spatial(self, block: Block) -> int:
        kinds = [v.iter_type for v in self.schedule.get(block).iter_vars]
        return sum(kind != tirx.IterVar.CommReduce for kind in kinds)

    def _reads_sum(self, block: Block) -> bool:
        return any(self.reduces(p) for p in self.schedule.get_producers(block))

    def _threads(self, loop: Loop, most: int) -> int:
        """The smallest power of two that covers `loop`, at most `most` and never above the limit."""
        extent = self.schedule.get(loop).extent
        most = min(most, self.threads)
        if not isinstance(extent, tirx.IntImm):
            return most
        threads = 1
        while threads < min(most, int(extent)):
            threads *= 2
        return threads

    def _bind_elements(self, block: Block) -> None:
        """One thread per instance of the block."""
        schedule = self.schedule
        loops = list(schedule.get_loops(block)) or [schedule.add_unit_loop(block)]
        fused = schedule.fuse(*loops) if len(loops) > 1 else loops[0]
        outer, thread = schedule.split(fused, [None, self._threads(fused, self.threads)])
        schedule.bind(outer, "blockIdx.x")
        schedule.bind(thread, "threadIdx.x")
