"""Which forms of a linear serve which numbers of rows: as fast as they were measured, beside each other, on a Zen 4.

That machine also ran the code for AVX2, and that for AVX-VNNI in another encoding of the same instructions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cosyn.codegen.tvm.kernels.linear import BF16_FORMS, X86_FORMS, Form, takes_fixed_point
from cosyn.codegen.tvm.kernels.linear_few_rows import FewRows
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.linear_many_rows import takes_many_rows

Kind = Literal["float", "bytes", "planes", "spread", "fixed_bytes", "fixed_planes", "fixed"]
"""What a linear multiplies: floats; int8 activations with 8-bit codes, with codes of several planes, and with others,
which the form for any number spreads to 8 bits; f32 activations as integers with the same.
"""


@dataclass(frozen=True, slots=True)
class RowForms:
    """Forms by number of rows of x: `few` serve up to so many rows each, in rising order, and `many` all others.

    `many` None stands for the form for any number, which may compute whole tiles.
    """

    few: tuple[tuple[int, FewRows], ...] = ()
    many: FewRows | None = None


_TWO = (2, FewRows(2, 4))
_FOUR = (4, FewRows(4, 4))
_NEON = RowForms((_TWO, _FOUR))
"""By count of instructions, not measured: the form for any number does 8 rows (4 by matrix products) at once."""

_VNNI: dict[Kind, RowForms] = {
    "float": RowForms((_TWO, _FOUR)),
    "bytes": RowForms((_TWO,)),
    "planes": RowForms((_TWO,)),
    "spread": RowForms((_TWO, (16, FewRows(4, 4)))),
    "fixed_bytes": RowForms(((32, FewRows(2, 4)),)),
    "fixed_planes": RowForms(((4, FewRows(2, 4)),)),
    "fixed": RowForms(((32, FewRows(2, 4)),)),
}
_AVX_VNNI: dict[Kind, RowForms] = {
    "float": RowForms((_TWO,), FewRows(4, 2)),
    "bytes": RowForms((_TWO,), FewRows(4, 4)),
    "planes": RowForms((_TWO,)),
    "spread": RowForms((_TWO, (8, FewRows(4, 2)))),
    "fixed_bytes": RowForms((), FewRows(2, 4)),
    "fixed_planes": RowForms((_TWO,)),
    "fixed": RowForms((_TWO,), FewRows(4, 2)),
}
_MADD: dict[Kind, RowForms] = {
    "float": RowForms((_TWO,), FewRows(4, 2)),
    "bytes": RowForms((_TWO,)),
    "planes": RowForms(),
    "spread": RowForms((_TWO,), FewRows(4, 4)),
    "fixed_bytes": RowForms((_TWO,)),
    "fixed_planes": RowForms((_TWO,)),
    "fixed": RowForms((_TWO, (4, FewRows(4, 2)))),
}


def row_forms(layout: PackedLayout, form: Form) -> RowForms:
    """The forms of a linear over a weight of that layout, where the number of rows is not fixed."""
    if form == "neutral":
        return RowForms()
    if form not in X86_FORMS:
        return _NEON
    if layout.format is None and form in BF16_FORMS and takes_many_rows(layout, None):
        return RowForms()
    kind = _kind(layout, form)
    table = {"cpu_madd": _MADD, "cpu_avx_vnni": _AVX_VNNI}.get(form, _VNNI)
    return table[kind] if kind else RowForms()


def _kind(layout: PackedLayout, form: Form) -> Kind | None:
    """None where groups are not whole words: such codes are decoded one by one."""
    if layout.format is None:
        return "float"
    planes = len(layout.planes) > 1
    if layout.activation == "int8":
        if not layout.whole_words:
            return None
        whole_rows = takes_many_rows(layout, None) and not layout.integer_scales
        return "planes" if planes else "bytes" if whole_rows else "spread"
    if not takes_fixed_point(layout, form):
        return None
    return "fixed_planes" if planes else "fixed_bytes" if layout.format.bits == 8 else "fixed"
