"""From a symbolic pass to a MISC instruction: what each name is in the buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosyn.accelerator_model.isa import Misc, Operand
from cosyn.accelerator_model.sequences import Immediate, Pass, PerRow, Scalar, Source
from cosyn.codegen.fpga.draft import At, Buffer, Draft, Span
from cosyn.codegen.fpga.layout import round_up


@dataclass(frozen=True, slots=True)
class Vectors:
    """A vector for each row: row r from `line` + r `stride` of a buffer of the vector buffer."""

    buffer: Buffer
    line: int
    stride: int = 0


@dataclass(frozen=True, slots=True)
class Scalars:
    """A number for each row: from `word` of a buffer of the vector buffer; it starts on a line for `over_rows`."""

    buffer: Buffer
    word: int = 0


@dataclass(frozen=True, slots=True)
class Codes:
    """INT8 rows: from activation row `row` of a buffer whose rows take `row_lines` lines of their bank."""

    buffer: Buffer
    row: int
    row_lines: int


Binding = Vectors | Scalars | Codes


@dataclass(frozen=True, slots=True)
class Extent:
    """The rows and columns of a pass. `valid`, `causal`, `window`, `sinks` are what a masked pass may see."""

    rows: int
    columns: int
    """As the vectors lie: whole lines."""
    counted: int
    """Columns before the padding."""
    columns_reg: int = 0
    valid_reg: int = 0
    causal: bool = False
    window: int = 0
    sinks: int = 0
    bank: int = 0
    """Bank of the registers."""
    code_columns: int = 0
    """Columns of INT8 results, zeros included; 0: `columns`."""


class Binder:
    """Makes the MISC instructions of one core."""

    def __init__(self, lanes: int, token_group: int) -> None:
        self._lanes = lanes
        self._group = token_group

    def bind(self, step: Pass, names: Mapping[str, Binding], extent: Extent, node: str, moment: int) -> Draft:
        """The instruction for `step`. KeyError for a name without a place."""
        if step.over_rows:
            count = round_up(extent.rows, self._lanes)
            extent = Extent(1, count, extent.rows)  # no registers: scalars of all rows
        columns = extent.columns
        if isinstance(names.get(step.destination or ""), Codes) and extent.code_columns:
            columns = extent.code_columns
        fields: dict[str, int | float | At] = {
            "function": step.function,
            "rows": extent.rows,
            "columns": columns,
            "columns_reg": extent.columns_reg,
            "bank": extent.bank,
            "reduction": step.reduction,
            "output": step.output,
            "c_negate": int(step.c_negate),
        }
        if extent.valid_reg and not step.over_rows:
            # Also where the pass is not masked: what lies beyond the context was never written.
            fields |= {
                "valid_reg": extent.valid_reg,
                "causal": int(extent.causal and extent.rows > 1),
                "window": extent.window,
                "sinks": extent.sinks,
            }
        elif extent.counted != columns:
            fields["valid"] = extent.counted
        reads: list[Span] = []
        self._operands(step, names, extent, fields, reads)
        writes = self._results(step, names, extent, columns, fields)
        return Draft(Misc, fields, f"{node}: {step.role}", moment, tuple(reads), tuple(writes))

    def _operands(
        self,
        step: Pass,
        names: Mapping[str, Binding],
        extent: Extent,
        fields: dict[str, int | float | At],
        reads: list[Span],
    ) -> None:
        immediates: list[float] = []
        lines = -(-min(extent.counted, extent.columns) // self._lanes)
        for name, source in (("a", step.a), ("b", step.b), ("c", step.c), ("d", step.d)):
            if source is None:
                continue
            if isinstance(source, Immediate):
                if source.value not in immediates:
                    immediates.append(source.value)
                    fields[f"immediate{len(immediates) - 1}"] = source.value
                fields[f"{name}_kind"] = Operand.IMMEDIATE0 + immediates.index(source.value)
                continue
            place = names[source.name]
            if isinstance(source, Scalar) and not step.over_rows:
                assert isinstance(place, Scalars)
                fields[f"{name}_kind"] = Operand.ROW
                fields[name] = At(place.buffer, 0, self._lanes, place.word)
                reads.append(self._words(place, extent.rows))
                continue
            vectors = self._as_vectors(source, place)
            fields[name] = At(vectors.buffer, vectors.line)
            if name != "a":
                fields[f"{name}_kind"] = Operand.VECTOR
            fields[f"{name}_stride"] = vectors.stride if extent.rows > 1 else 0
            reads.append(Span(vectors.buffer, vectors.line, lines, *_runs(extent.rows, vectors.stride)))

    def _as_vectors(self, source: Source, place: Binding) -> Vectors:
        if isinstance(place, Vectors):
            return place
        assert isinstance(place, Scalars)
        assert not isinstance(source, PerRow)
        assert place.word % self._lanes == 0
        return Vectors(place.buffer, place.word // self._lanes)

    def _results(
        self,
        step: Pass,
        names: Mapping[str, Binding],
        extent: Extent,
        columns: int,
        fields: dict[str, int | float | At],
    ) -> list[Span]:
        writes: list[Span] = []
        if step.reduce_to is not None:
            place = names[step.reduce_to]
            assert isinstance(place, Scalars)
            fields["reduce_to"] = At(place.buffer, 0, self._lanes, place.word)
            writes.append(self._words(place, extent.rows))
        if step.destination is None:
            return writes
        place = names[step.destination]
        if isinstance(place, Codes):
            fields |= {
                "destination": At(place.buffer),
                "destination_stride": place.row_lines,
                "destination_row": place.row,
            }
            first, last = place.row // self._group, (place.row + extent.rows - 1) // self._group
            writes.append(Span(place.buffer, first * place.row_lines, (last - first + 1) * place.row_lines))
            return writes
        vectors = self._as_vectors(step.a if step.over_rows else PerRow(""), place)
        fields["destination"] = At(vectors.buffer, vectors.line)
        fields["destination_stride"] = vectors.stride if extent.rows > 1 else 0
        writes.append(Span(vectors.buffer, vectors.line, columns // self._lanes, *_runs(extent.rows, vectors.stride)))
        return writes

    def _words(self, place: Scalars, rows: int) -> Span:
        first, last = place.word // self._lanes, (place.word + rows - 1) // self._lanes
        return Span(place.buffer, first, last - first + 1)


def _runs(rows: int, stride: int) -> tuple[int, int]:
    """Rows and stride of a span: rows at stride 0 are one."""
    return (rows, stride) if stride and rows > 1 else (1, 0)
