"""Which forms for few rows a linear has beside the one for any number."""

from __future__ import annotations

from cosyn.codegen.tvm.kernels.linear import BF16_FORMS, VNNI_FORMS, Form, takes_fixed_point
from cosyn.codegen.tvm.kernels.linear_few_rows import FewRows
from cosyn.codegen.tvm.kernels.linear_layout import PackedLayout
from cosyn.codegen.tvm.kernels.linear_many_rows import takes_many_rows

_TWO_ROWS = FewRows(2, 2, 4)
_FEW_INT8 = (_TWO_ROWS, FewRows(16, 4, 4))
_FEW_FIXED = (FewRows(32, 2, 4),)
_FEW_FIXED_PLANES = (FewRows(4, 2, 4),)
_FEW_FLOAT = (_TWO_ROWS, FewRows(4, 4, 4))
"""Forms for few rows of codes, of f32 as integers (and codes of several planes), and of floats: up to as many rows as
they are faster for than the form for any number, on a Zen 4.
"""


def few_rows(layout: PackedLayout, form: Form) -> tuple[FewRows, ...]:
    """The forms for few rows beside the one for any number, in rising order."""
    if form not in VNNI_FORMS:
        return ()
    if layout.format is None:
        return () if form in BF16_FORMS and takes_many_rows(layout, None) else _FEW_FLOAT
    if layout.activation == "int8":
        # Nothing is spread for 8-bit codes, and planes are summed one by one for each row.
        spread = len(layout.planes) == 1 and (layout.integer_scales or not takes_many_rows(layout, None))
        return () if not layout.whole_words else _FEW_INT8 if spread else (_TWO_ROWS,)
    if not takes_fixed_point(layout, form):
        return ()
    return _FEW_FIXED if len(layout.planes) == 1 else _FEW_FIXED_PLANES
