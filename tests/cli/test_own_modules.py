"""Models of a user's own that cannot be compiled: factories that fail, ops without a meaning, bad weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from refusals import refused

_MODULE = '''
"""Models of a user's own, each wrong in its way."""
import torch
from torch import nn


class Plain(nn.Module):
    max_seq = 8

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(32, 16)
        self.conv = nn.Conv1d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 32)

    def forward(self, ids):
        return self.head(self.table(ids))


class Odd(Plain):
    def forward(self, ids):
        x = self.table(ids)
        x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        return self.head(torch.cumsum(torch.fft.fft(x).real, 1))


class Branching(Plain):
    def forward(self, ids):
        x = self.table(ids)
        return self.head(x * 2 if x.sum() > 0 else x)


number = 3


def broken():
    raise ValueError("no luck today")


def not_a_model():
    return "a string"


def not_finite():
    model = Plain()
    model.head.weight.data[3, 5] = float("nan")
    return model
'''


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an importable module with the models above."""
    name = "users_own_models"
    (tmp_path / f"{name}.py").write_text(_MODULE)
    (tmp_path / "users_typo.py").write_text("def make(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("users_own_models:broken", "users_own_models:broken failed to make a model (ValueError): no luck today"),
        ("users_own_models:not_a_model", "returned a str; expected a torch.nn.Module"),
        ("users_own_models:nothing", "module users_own_models has no nothing; expected a function"),
        ("users_own_models:number", "users_own_models:number is a int; expected a function that makes the model"),
        ("users_own_models:Branching", "Expected a forward without control flow"),
        ("users_typo:make", "cannot import users_typo for users_typo:make (SyntaxError)"),
        ("users_own_models:", "users_own_models: names no factory; expected package.module:factory"),
        # Not an emoji: the console must not read `:x:` as one.
        ("no_such_module:x", "cannot import no_such_module for no_such_module:x (ModuleNotFoundError): No module"),
    ],
)
def test_factories_that_make_no_model(cosyn, own_module, tmp_path, spec: str, text: str) -> None:
    error = refused(cosyn, tmp_path / "out", 2, spec)
    assert text in error
    assert "def forward" not in error  # torch prints the program that it could not trace


def test_weights_in_memory_are_checked_too(cosyn, own_module, tmp_path) -> None:
    assert "weight head.weight holds 1 value" in refused(cosyn, tmp_path / "out", 1, f"{own_module}:not_finite")


def test_every_unsupported_op_is_listed_with_layer_and_line(cosyn, own_module, tmp_path) -> None:
    error = refused(cosyn, tmp_path / "out", 1, f"{own_module}:Odd")
    assert "4 operations that cosyn cannot express" in error
    assert "aten.conv1d (node conv1d, in conv at users_own_models.py:23)" in error
    # Those that come after an op that cannot be expressed are not hidden by it.
    for op in ("aten.fft_fft", "aten.real", "aten.cumsum"):
        assert op in error
    assert "at users_own_models.py:24" in error
