"""The polynomials of the attention kernels against float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tvm
from attend_harness import compile_cpu
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from cosyn.codegen.tvm.kernels.attend_args import Expr, argument, i64
from cosyn.codegen.tvm.kernels.attend_math import exp_nonpositive, tanh
from cosyn.codegen.tvm.kernels.attend_vector import load, store

Function = Callable[[Expr, int], Expr]


def apply(function: Function, x: np.ndarray, lanes: int) -> np.ndarray:
    """`function` of every element, by a kernel of `lanes`-wide vectors."""
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name("main")
            source, target = argument("x", (len(x),), "float32"), argument("y", (len(x),), "float32")
            with T.serial(i64(0), i64(len(x) // lanes)) as i, T.sblock("apply"):
                at = T.axis.spatial(i64(len(x) // lanes), i, dtype="int64")
                T.reads(source[0 : len(x)])
                T.writes(target[0 : len(x)])
                store(target, function(load(source, lanes, at * lanes), lanes), at * lanes)
        func = builder.get()
    out = tvm.runtime.tensor(np.empty_like(x))
    compile_cpu(func, None)(tvm.runtime.tensor(x), out)
    return out.numpy()


@pytest.mark.parametrize("lanes", [1, 16])
def test_exp(lanes: int) -> None:
    x = np.concatenate([np.linspace(-87.3, 0, 400_000), -np.logspace(-30, 0, 80_000)]).astype(np.float32)
    want = np.exp(x.astype(np.float64))
    assert np.abs(apply(exp_nonpositive, x, lanes) / want - 1).max() < 2e-7


def test_exp_of_hidden_scores_is_zero() -> None:
    x = np.array([-87.8, -88, -100, -1e30, -3e38, -np.inf, 0, -0.0] * 2, np.float32)
    assert apply(exp_nonpositive, x, 16).tolist() == [0, 0, 0, 0, 0, 0, 1, 1] * 2


@pytest.mark.parametrize("lanes", [1, 16])
def test_tanh(lanes: int) -> None:
    positive = np.concatenate([np.logspace(-30, 0, 160_000), np.linspace(1, 30, 160_000)]).astype(np.float32)
    x = np.concatenate([positive, -positive])
    want = np.tanh(x.astype(np.float64))
    assert np.abs(apply(tanh, x, lanes) / want - 1).max() < 5e-7
    assert apply(tanh, np.array([0, -0.0, 1e30, -1e30] * 4, np.float32), 16).tolist() == [0, 0, 1, -1] * 4
