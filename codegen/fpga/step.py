"""A step of m tokens being lowered: the instructions of each core so far, and the buffers that they use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cosyn.accelerator_model.isa import (
    Kept,
    Load,
    LoadTarget,
    MatrixMatrix,
    MatrixVector,
    Ring,
    WeightBits,
)
from cosyn.accelerator_model.sequences import Passes
from cosyn.accelerator_model.tile_stream import DENSE
from cosyn.codegen.fpga.bindings import Binder, Binding, Extent, Scalars, Vectors
from cosyn.codegen.fpga.draft import At, Buffer, Draft, Space, Span
from cosyn.codegen.fpga.layout import round_up
from cosyn.codegen.fpga.parameters import Block
from cosyn.codegen.fpga.plan_records import TileFormat
from cosyn.codegen.fpga.regions import Layout
from cosyn.ir.node import Node

_BITS = {2: WeightBits.B2, 3: WeightBits.B3, 4: WeightBits.B4, 8: WeightBits.B8}
_KEPT = {DENSE: Kept.DENSE, 8: Kept.N8, 4: Kept.N4, 2: Kept.N2}


@dataclass(frozen=True)
class Stored:
    """Rows of a value in the vector buffer; a core's part of a view starts `Part.places` further on."""

    buffer: Buffer
    line: int
    stride: int
    rows: int


@dataclass(frozen=True)
class StoredCodes:
    """INT8 rows in the activation buffer, and their scales."""

    buffer: Buffer
    row_lines: int
    rows: int
    scale: Scalars


class Step:
    """Collects drafts; the lowerings of the ops are functions on it."""

    def __init__(self, layout: Layout, tokens: int, blocks_ahead: int, pieces: int = 1, span: int = 0) -> None:
        self.layout = layout
        self.plan = layout.plan
        self.config = layout.plan.config
        self.tokens = tokens
        self.pieces = pieces
        """Instructions of a linear over several rows, if it has as many tiles."""
        self.span = span
        """Which of the plan's spans the step lies in."""
        self.binder = Binder(self.config.lanes, self.config.token_group)
        self.drafts: list[list[Draft]] = [[] for _ in range(self.config.cores)]
        self.buffers: list[Buffer] = []
        self.values: dict[str, Stored] = {}
        self.codes: dict[str, StoredCodes] = {}
        self._named: dict[tuple[int, str, Space], Buffer] = {}
        self.maxima: dict[str, Scalars] = {}
        """Quantizations whose absolute maxima the value's own last pass has made."""
        self.tables: Vectors | None = None
        """The rows of the position table that the step has loaded."""
        self.columns: Vectors | None = None
        """0, 1, 2, …, for ALiBi."""
        self.moment = 0
        self.node = ""
        self.guard = 0
        """Lines that a pass may read beyond the end of its operand, without using them."""
        self._numbers = {n.name: i for i, n in enumerate(self.plan.roles.steps())}
        self.end = len(self._numbers)
        self._blocks = self._make_blocks(blocks_ahead)

    # -- buffers ------------------------------------------------------------------------------------------------

    def buffer(self, name: str, space: Space, lines: int, last: int | None = None) -> Buffer:
        """A buffer that is alive from now until moment `last` (by default only now).

        A node that asks again, for another core or another head, gets the same one.
        """
        key = (self.moment, f"{name} of {self.node}", space)
        made = self._named.get(key)
        if made is None:
            made = Buffer(key[1], space, lines, self.moment, self.moment if last is None else last)
            self._named[key] = made
            self.buffers.append(made)
        made.lines = max(made.lines, lines)
        return made

    def vectors(self, name: str, rows: int, lines: int) -> Vectors:
        """Scratch for `rows` vectors of `lines` lines."""
        return Vectors(self.buffer(name, Space.VECTOR, rows * lines), 0, lines)

    def scalars(self, name: str, rows: int, last: int | None = None) -> Scalars:
        """Room for a number per row."""
        return Scalars(self.buffer(name, Space.VECTOR, -(-rows // self.config.lanes), last))

    def last_use(self, ref: str) -> int:
        """The last moment at which `ref`, a view of it or a row of it is read."""
        found = [self.moment]
        for reader, _, _ in self.plan.roles.readers(ref):
            found.append(self.number(reader))
            if reader.op == "take" or reader.name in self.plan.in_place:
                # A row of it, or what is computed in its place, keeps it alive.
                found.append(self.last_use(reader.ref))
        if ref in self.plan.graph.outputs:
            found.append(self.end)
        return max(found)

    def number(self, node: Node) -> int:
        """The moment of a node."""
        return self._numbers[node.name]

    def define(self, node: Node, rows: int, lines: int, tail: int = 0) -> Stored:
        """Room for the result of `node`: `rows` rows of `lines` lines, and `tail` lines."""
        buffer = self.buffer("result", Space.VECTOR, rows * lines + tail, self.last_use(node.ref))
        stored = Stored(buffer, 0, lines, rows)
        self.values[node.ref] = stored
        return stored

    # -- instructions -------------------------------------------------------------------------------------------

    def emit(self, core: int, draft: Draft) -> None:
        """Append an instruction to a core's program."""
        for span in (*draft.reads, *draft.writes):
            if span.buffer.space is not Space.MEMORY:
                span.buffer.extend(draft.moment)
        self.drafts[core].append(draft)

    def passes(self, core: int, passes: Passes, names: Mapping[str, Binding], extent: Extent) -> None:
        """Append the instructions of a sequence."""
        for step in passes:
            draft = self.binder.bind(step, names, extent, self.node, self.moment)
            columns = draft.fields["columns"]
            assert isinstance(columns, int)
            self.guard = max(self.guard, columns // self.config.lanes)
            self.emit(core, draft)

    def load_vectors(
        self,
        core: int,
        role: str,
        region: Buffer,
        buffer: Buffer,
        fields: Mapping[str, int],
        line: int = 0,
        *,
        cached: bool = False,
    ) -> None:
        """LD from `region` (fields as of LD, the address relative to it) to lines of `buffer` from `line`."""
        rows, stride = fields.get("rows", 1), fields.get("vector_stride", 0)
        length = fields.get("reach", fields["length"]) * self.config.stripe_lines
        values: dict[str, int | float | At] = {k: v for k, v in fields.items() if k != "reach"}
        values["target"] = LoadTarget.VECTOR
        values["address"] = region.address + fields.get("address", 0)
        values["vector_line"] = At(buffer, line)
        span = Span(buffer, line, length, rows, stride) if rows > 1 else Span(buffer, line, length)
        reads = (Span(region, 0, 1),) if cached else ()
        self.emit(core, Draft(Load, values, f"{self.node}: {role}", self.moment, reads, (span,), cached=cached))

    def load_ring(
        self, core: int, ring: Ring, role: str, region: Buffer, stripes: int, fields: Mapping[str, int]
    ) -> None:
        """LD from `region` (the address relative to it) to a ring; `stripes` in all, at most."""
        values: dict[str, int | float | At] = {
            **fields,
            "target": int(ring),
            "address": region.address + fields.get("address", 0),
        }
        cached = ring == Ring.KV
        reads = (Span(region, 0, 1),) if cached else ()
        self.emit(
            core,
            Draft(
                Load, values, f"{self.node}: {role}", self.moment, reads, (), ring=int(ring), stripes=stripes,
                cached=cached,
            ),
        )  # fmt: skip

    def multiply(
        self,
        core: int,
        role: str,
        fields: Mapping[str, int | At],
        stored: TileFormat,
        ring: Ring,
        rows: int,
        stripes: int,
        reads: Sequence[Span],
        write: Span,
    ) -> None:
        """MV for one row, MM for more."""
        kind = MatrixVector if rows == 1 else MatrixMatrix
        values: dict[str, int | float | At] = {
            **fields,
            "ring": int(ring),
            "rows": rows,
            "bits": _BITS[stored.bits],
            "kept": _KEPT[stored.kept],
            "group_steps": stored.group_steps,
        }
        self.emit(
            core,
            Draft(
                kind, values, f"{self.node}: {role}", self.moment, tuple(reads), (write,), ring=int(ring),
                stripes=stripes,
            ),
        )  # fmt: skip

    # -- parameters ---------------------------------------------------------------------------------------------

    def parameter(self, role: str) -> Vectors:
        """Where the current node's parameter lies."""
        item = self.layout.parameters.get(self.node, role)
        return Vectors(self._blocks[self.layout.parameters.segment_of[self.node]], item.line)

    def load_block(self, block: Block) -> None:
        """Load the parameters of a segment on every core."""
        if not block.lines:
            return
        name = f"parameters {block.number}"
        for core in range(self.config.cores):
            region = self.layout.region(core, name)
            self.load_vectors(core, name, region.buffer, self._blocks[block.number], {"length": region.stripes})

    def _make_blocks(self, ahead: int) -> dict[int, Buffer]:
        """A buffer per segment, alive from `ahead` segments before it."""
        segments: dict[int, list[int]] = {}
        for name, number in self._numbers.items():
            segments.setdefault(self.layout.parameters.segment_of[name], []).append(number)
        found = {}
        for block in self.layout.parameters.blocks:
            moments = segments.get(block.number, [self.end])
            first = min(segments.get(max(0, block.number - ahead), moments))
            found[block.number] = Buffer(f"parameters {block.number}", Space.VECTOR, block.lines, first, max(moments))
        self.buffers += [b for b in found.values() if b.lines]
        return found

    # -- sizes --------------------------------------------------------------------------------------------------

    def lines(self, columns: int) -> int:
        """Vector lines of that many columns."""
        return -(-columns // self.config.lanes)

    def code_columns(self, columns: int) -> int:
        """Columns of INT8 rows that are read as far as `columns`: whole lines of the vector buffer."""
        return round_up(columns, self.config.lanes)

    def row_lines(self, columns: int) -> int:
        """Activation lines of a row of that many columns."""
        return -(-columns // self.config.activation_line_bytes)

    def bank_lines(self, rows: int, row_lines: int) -> int:
        """Activation lines of a tensor of `rows` rows."""
        return -(-rows // self.config.token_group) * row_lines
