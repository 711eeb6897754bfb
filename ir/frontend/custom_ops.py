"""The two torch ops that stand for whole blocks while a model is traced: attention and a mixture of experts.

They have shapes but no values: tracing runs on tensors without data.
"""

from __future__ import annotations

import torch


@torch.library.custom_op("cosyn::attention", mutates_args=())
def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    slopes: torch.Tensor | None,
    scale: float,
    window: int,
    softcap: float,
) -> torch.Tensor:
    """Causal attention of q `[1, h, s, d]` over k, v `[1, h_kv, s, d]` → `[1, s, h, dv]`.

    `window` and `softcap` 0 mean none; `slopes` `[h]` are those of ALiBi.
    """
    raise NotImplementedError("cosyn::attention exists only while tracing")


@attention.register_fake
def _(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, slopes: torch.Tensor | None,
    scale: float, window: int, softcap: float,
) -> torch.Tensor:  # fmt: skip
    return q.new_empty(q.shape[0], q.shape[2], q.shape[1], v.shape[3])


@torch.library.custom_op("cosyn::moe", mutates_args=())
def moe(
    x: torch.Tensor,
    weights: torch.Tensor,
    ids: torch.Tensor,
    up: torch.Tensor,
    down: torch.Tensor,
    up_bias: torch.Tensor | None,
    down_bias: torch.Tensor | None,
    activation: str,
    gated: bool,
) -> torch.Tensor:
    """Experts of x `[t, d]` by `weights` and `ids` `[t, k]`; up `[e, 2n, d]`, down `[e, d, n]`."""
    raise NotImplementedError("cosyn::moe exists only while tracing")


@moe.register_fake
def _(
    x: torch.Tensor, weights: torch.Tensor, ids: torch.Tensor, up: torch.Tensor, down: torch.Tensor,
    up_bias: torch.Tensor | None, down_bias: torch.Tensor | None, activation: str, gated: bool,
) -> torch.Tensor:  # fmt: skip
    return torch.empty_like(x)
