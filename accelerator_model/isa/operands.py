"""Instruction fields that a runtime register changes, and ranges that an instruction may touch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cosyn.accelerator_model.config import BANK_REGISTERS

Lines = NDArray[np.intp]


def replaced(value: int, register: int, registers: Sequence[int], bank: int = 0) -> int:
    """The field's own value, or the register's when one is named."""
    return registers[register_number(register, bank)] if register else value


def added(value: int, register: int, registers: Sequence[int], bank: int = 0) -> int:
    """The field's value plus the register's; register 0 adds nothing."""
    return value + (registers[register_number(register, bank)] if register else 0)


def multiplied(value: int, register: int, registers: Sequence[int], bank: int = 0) -> int:
    """The field's value times the register's; register 0 leaves it."""
    return value * (registers[register_number(register, bank)] if register else 1)


def register_number(register: int, bank: int) -> int:
    """Place of a bank's register among all of them."""
    return bank * BANK_REGISTERS + register


def run_lines(first: int, rows: int, stride: int, length: int) -> Lines:
    """Addresses [rows, length] of `rows` runs of `length` that start `stride` apart."""
    return first + stride * np.arange(rows)[:, None] + np.arange(length)


def out_of_range(what: str, first: int, rows: int, stride: int, length: int, limit: int) -> Iterator[str]:
    """One sentence when the runs leave 0..limit - 1."""
    last = first + stride * (rows - 1) + length - 1
    if rows and length and last >= limit:
        yield f"{what} reaches {last}, the last one is {limit - 1}"


def wrong_registers(*registers: int) -> Iterator[str]:
    """One sentence per register number that does not exist."""
    for register in registers:
        if not 0 <= register < BANK_REGISTERS:
            yield f"register {register} does not exist; registers: 0..{BANK_REGISTERS - 1}"
