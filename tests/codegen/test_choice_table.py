"""The table of measured choices: its text, what it refuses, and that kernels ask it."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from cosyn.codegen.tvm.choice_table import (
    ChoiceKey,
    ChoiceTable,
    ChoiceTableError,
    Machine,
    Measured,
    choice_key,
)
from cosyn.codegen.tvm.kernels.linear_choice import (
    DEFAULT_KERNEL_CHOICE,
    KernelChoice,
    LinearChoice,
    ManyRowsChoice,
    alternatives,
)
from cosyn.codegen.tvm.kernels.linear_layout import layout_for
from tests.codegen.linear_cases import weight_type

MACHINE = Machine("a CPU", ("avx2", "fma"), 2)
KEY = ChoiceKey("linear_i8", 48, 96, "i8row:f16", "int8", "1")
SERIAL = DEFAULT_KERNEL_CHOICE.with_values({"serial_bytes": 0})
TABLE = ChoiceTable(MACHINE, {KEY: Measured(SERIAL, 1e-6, 2e-6)})


def test_the_text_of_a_table_gives_the_same_table() -> None:
    assert ChoiceTable.from_json(TABLE.to_json("1.0"), "1.0") == TABLE


def test_a_kernel_that_is_not_in_the_table_gets_the_default() -> None:
    assert TABLE.choice(KEY) == SERIAL
    assert TABLE.choice(replace(KEY, rows="any")) == DEFAULT_KERNEL_CHOICE


def test_a_newer_table_counts_and_one_of_another_machine_goes() -> None:
    other = replace(KEY, n=64)
    newer = ChoiceTable(MACHINE, {other: Measured(DEFAULT_KERNEL_CHOICE, 3e-6, 3e-6)})
    assert set(TABLE.merged(newer).kernels) == {KEY, other}
    assert TABLE.merged(ChoiceTable(MACHINE, {KEY: Measured(SERIAL, 5e-6, 6e-6)})).kernels[KEY].seconds == 5e-6
    elsewhere = replace(newer, machine=replace(MACHINE, threads=1))
    assert set(TABLE.merged(elsewhere).kernels) == {other}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "cosyn-choices/9"}, "expected the format 'cosyn-choices/1', found 'cosyn-choices/9'"),
        ({"cosyn_version": "0.9"}, "measured by cosyn 0.9, this is 1.0"),
        ({"defaults": {"serial_bytes": 1}}, "other choices than those of this version"),
        ({"machine": {}}, "damaged"),
        ({"machine": 3}, "damaged"),
        ({"kernels": [{}]}, "damaged"),
        ({"kernels": 4}, "damaged"),
    ],
)
def test_outdated_and_damaged_tables_are_refused_with_a_reason(change: dict[str, object], complaint: str) -> None:
    data = {**json.loads(TABLE.to_json("1.0")), **change}
    with pytest.raises(ChoiceTableError, match=complaint):
        ChoiceTable.from_json(json.dumps(data), "1.0")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"x"'])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ChoiceTableError):
        ChoiceTable.from_json(text, "1.0")


@pytest.mark.parametrize(("name", "value"), [("unknown", 1), ("serial_bytes", "0"), ("serial_bytes", -1), ("n", 0)])
def test_rows_with_wrong_values_are_refused(name: str, value: object) -> None:
    data = json.loads(TABLE.to_json("1.0"))
    (row,) = data["kernels"]
    (row if name == "n" else row["choice"])[name] = value
    with pytest.raises(ChoiceTableError, match="damaged"):
        ChoiceTable.from_json(json.dumps(data), "1.0")


def test_choices_have_names_of_their_own_and_values_to_try() -> None:
    names = [f.name for part in (LinearChoice, ManyRowsChoice) for f in fields(part)]
    assert len(names) == len(set(names)) == len(DEFAULT_KERNEL_CHOICE.values())
    for name, others in alternatives():
        assert others
        assert DEFAULT_KERNEL_CHOICE.values()[name] not in others
        for value in others:
            assert DEFAULT_KERNEL_CHOICE.with_values({name: value}).changed() == {name: value}
    assert KernelChoice().changed() == {}


def test_keys_tell_storage_activations_and_rows_apart() -> None:
    layouts = [
        layout_for(weight_type(48, 96, "bf16")),
        layout_for(weight_type(48, 96, "i4g32:f16")),
        layout_for(weight_type(48, 96, "i4g32:f16"), "int8"),
        layout_for(weight_type(96, 48, "bf16")),
    ]
    keys = {choice_key("linear", layout, seq) for layout in layouts for seq in (1, None)}
    assert len(keys) == 2 * len(layouts)
    assert str(choice_key("linear", layouts[1], None)) == "linear 48x96 i4g32:f16, float x, rows any"
