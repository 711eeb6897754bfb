"""Reads a dimension: an integer, a symbol, or arithmetic of them, as sympy prints it."""

from __future__ import annotations

import re

import sympy

from cosyn.ir.types import Dim, symbol

_FUNCTIONS = {
    "floor": sympy.floor, "ceiling": sympy.ceiling, "Max": sympy.Max, "Min": sympy.Min, "Mod": sympy.Mod,
}  # fmt: skip
_TOKEN = re.compile(r"\s*(\d+|[A-Za-z_]\w*|\*\*|[-+*/(),])")


class DimError(ValueError):
    """Text at `column` (from 0) that is not a dimension."""

    def __init__(self, column: int) -> None:
        super().__init__(f"not a dimension at column {column + 1}")
        self.column = column


def parse_dim(text: str, column: int) -> tuple[Dim, int]:
    """The dimension that starts at `column` of `text`, and the column after it."""
    reader = _Reader(text, column)
    value = reader.sum()
    return (int(value) if value.is_Integer else value), reader.column


class _Reader:
    """Recursive descent over `+ - * / **`, parentheses and the functions above."""

    def __init__(self, text: str, column: int) -> None:
        self.text = text
        self.column = column

    def take(self, *accepted: str) -> str | None:
        found = _TOKEN.match(self.text, self.column)
        if found is None or found.group(1) not in accepted:
            return None
        self.column = found.end()
        return found.group(1)

    def sum(self) -> sympy.Expr:
        value = self.product()
        while sign := self.take("+", "-"):
            other = self.product()
            value = value + other if sign == "+" else value - other
        return value

    def product(self) -> sympy.Expr:
        value = self.power()
        while sign := self.take("*", "/"):
            other = self.power()
            value = value * other if sign == "*" else value / other
        return value

    def power(self) -> sympy.Expr:
        if self.take("-"):
            return -self.power()
        value = self.atom()
        return value ** self.power() if self.take("**") else value

    def atom(self) -> sympy.Expr:
        if self.take("("):
            value = self.sum()
            self.close()
            return value
        found = re.compile(r"\s*(\d+|[A-Za-z_]\w*)").match(self.text, self.column)
        if found is None:
            raise DimError(self.column)
        self.column = found.end()
        word = found.group(1)
        if word in _FUNCTIONS and self.take("("):
            arguments = [self.sum()]
            while self.take(","):
                arguments.append(self.sum())
            self.close()
            return _FUNCTIONS[word](*arguments)
        return sympy.Integer(word) if word.isdigit() else symbol(word)

    def close(self) -> None:
        if self.take(")") is None:
            raise DimError(self.column)
