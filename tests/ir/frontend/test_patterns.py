"""Recognition by meaning: however a module spells rotary embedding, masks, norms and activations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cosyn.ir.errors import UnsupportedOps
from cosyn.ir.frontend import ImportedModel, import_model
from cosyn.ir.interpreter import run_graph
from cosyn.ir.ops.attention import AttentionAttrs, RopeAttrs

HEADS, WIDTH, LENGTH, VOCABULARY = 4, 8, 64, 17


class Model(nn.Module):
    """One attention block whose parts the tests replace.

    `turn` rotates q and k `[1, h, s, d]`; `attend` makes `[1, h, s, d]` of q, k, v; `finish` acts on
    `[1, s, h·d]`.
    """

    def __init__(
        self,
        turn: Callable[[torch.Tensor, nn.Module], torch.Tensor] | None = None,
        attend: Callable[[torch.Tensor, torch.Tensor, torch.Tensor, nn.Module], torch.Tensor] | None = None,
        finish: Callable[[torch.Tensor, nn.Module], torch.Tensor] | None = None,
        kv_heads: int = HEADS,
        rotary: int = WIDTH,
    ) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.max_seq = LENGTH
        self.turn, self.attend, self.finish = turn, attend or fused, finish
        self.kv_heads = kv_heads
        self.table = nn.Embedding(VOCABULARY, HEADS * WIDTH)
        self.q = nn.Linear(HEADS * WIDTH, HEADS * WIDTH)
        self.k, self.v = (nn.Linear(HEADS * WIDTH, kv_heads * WIDTH) for _ in range(2))
        self.scale = nn.Parameter(torch.randn(HEADS * WIDTH))
        frequencies = 100.0 ** (-torch.arange(0, rotary, 2) / rotary)
        self.register_buffer("frequencies", frequencies, persistent=False)
        angles = torch.outer(torch.arange(LENGTH).float(), frequencies)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        self.register_buffer("mask", torch.full((LENGTH, LENGTH), -torch.inf).triu(1), persistent=False)

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        x = self.table(token_ids)
        q, k, v = (p(x).view(1, x.shape[1], -1, WIDTH).transpose(1, 2) for p in (self.q, self.k, self.v))
        if self.turn is not None:
            q, k = self.turn(q, self), self.turn(k, self)
        y = self.attend(q, k, v, self).transpose(1, 2).flatten(2)
        if self.finish is not None:
            y = self.finish(y, self)
        return functional.linear(y, self.table.weight)


def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _model: nn.Module) -> torch.Tensor:
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


current: Model | None = None


def factory() -> nn.Module:
    """What `import_model` calls: the model of the running test."""
    assert current is not None
    return current


def imported(model: Model) -> ImportedModel:
    """The imported model, once its logits are checked against torch at several lengths."""
    global current
    current = model.eval()
    result = import_model(f"{__name__}:factory")
    for length in (1, 5, 60):
        token_ids = np.random.default_rng(length).integers(0, VOCABULARY, length)
        with torch.no_grad():
            expected = model.float()(torch.tensor(token_ids)[None])[0].numpy()
        inputs = {"token_ids": token_ids, "positions": np.arange(length)}
        (found,) = run_graph(result.graph, inputs, result.weights.load)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    return result


def attrs(model: ImportedModel, op: str) -> object:
    return next(node.attrs for node in model.graph.nodes if node.op == op)


def ops(model: ImportedModel) -> Counter[str]:
    return Counter(node.op for node in model.graph.nodes)


def half(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    cos, sin = model.cosine[: x.shape[2]], model.sine[: x.shape[2]]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def interleaved(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    angle = torch.arange(x.shape[2])[:, None] * model.frequencies
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).flatten(-2)


def partial(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    return torch.cat([half(x[..., :4], model), x[..., 4:]], -1)


def scaled(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    angle = torch.cat([torch.arange(x.shape[2])[:, None] * model.frequencies] * 2, -1)
    turned = torch.cat([-x[..., WIDTH // 2 :], x[..., : WIDTH // 2]], -1)
    return x * (angle.cos() * 1.25) + turned * (angle.sin() * 1.25)


@pytest.mark.parametrize(
    ("turn", "rotary", "expected"),
    [
        (half, WIDTH, RopeAttrs(WIDTH)),
        (interleaved, WIDTH, RopeAttrs(WIDTH, interleaved=True)),
        (partial, 4, RopeAttrs(4)),
        (scaled, WIDTH, RopeAttrs(WIDTH, scale=1.25)),
    ],
)
def test_rotary_embedding(turn: Callable[..., torch.Tensor], rotary: int, expected: RopeAttrs) -> None:
    model = imported(Model(turn=turn, rotary=rotary))
    found = attrs(model, "rope")
    assert isinstance(found, RopeAttrs)
    assert (found.rotary_dim, found.interleaved) == (expected.rotary_dim, expected.interleaved)
    assert found.scale == pytest.approx(expected.scale)
    assert ops(model)["rope"] == 2
    np.testing.assert_allclose(
        model.weights.load("rope.inv_freq"), 100.0 ** (-np.arange(0, rotary, 2) / rotary), rtol=1e-6
    )


def wrong_rotation(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    cos, sin = model.cosine[: x.shape[2]], model.sine[: x.shape[2]]
    return torch.cat([a * cos + b * sin, b * cos + a * sin], -1)  # a sign is wrong: no rotation


def test_what_is_no_rotation_keeps_its_meaning() -> None:
    assert ops(imported(Model(turn=wrong_rotation)))["rope"] == 0


def windowed(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _model: nn.Module) -> torch.Tensor:
    position = torch.arange(q.shape[2])
    distance = position[:, None] - position
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=(distance >= 0) & (distance < 9))


def from_table(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, model: nn.Module) -> torch.Tensor:
    length = q.shape[2]
    scores = (q * WIDTH**-0.5) @ k.transpose(2, 3) + model.mask[:length, :length]
    return scores.softmax(-1) @ v


def lower_triangle(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _model: nn.Module) -> torch.Tensor:
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(WIDTH)
    visible = torch.tril(torch.ones(q.shape[2], q.shape[2]))
    return torch.where(visible > 0, scores, float("-inf")).softmax(-1) @ v


def capped_alibi(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, model: nn.Module) -> torch.Tensor:
    position = torch.arange(q.shape[2])
    slopes = 2.0 ** -torch.arange(1, HEADS + 1)
    bias = slopes[:, None, None] * (position - position[:, None])
    scores = 3.0 * torch.tanh(q @ k.transpose(2, 3) / math.sqrt(WIDTH) / 3.0) + bias
    return (scores + model.mask[: q.shape[2], : q.shape[2]]).softmax(-1) @ v


@pytest.mark.parametrize(
    ("attend", "window", "softcap", "alibi"),
    [
        (windowed, 9, None, False),
        (from_table, None, None, False),
        (lower_triangle, None, None, False),
        (capped_alibi, None, 3.0, True),
    ],
)
def test_spelled_out_attention(
    attend: Callable[..., torch.Tensor], window: int | None, softcap: float | None, alibi: bool
) -> None:
    model = imported(Model(attend=attend))
    found = attrs(model, "attention")
    assert isinstance(found, AttentionAttrs)
    assert (found.window, found.softcap, found.alibi) == (window, softcap, alibi)
    assert ops(model)["softmax"] == ops(model)["matmul"] == 0


def test_a_window_beyond_what_is_looked_at_closely_is_not_missed() -> None:
    def far(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _model: nn.Module) -> torch.Tensor:
        position = torch.arange(q.shape[2])
        distance = position[:, None] - position
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=(distance >= 0) & (distance < 3000))

    model = Model(attend=far)
    model.max_seq = 4096
    with pytest.raises(UnsupportedOps, match="a mask that is neither causal nor a causal window"):
        imported(model)


def repeated(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, model: nn.Module) -> torch.Tensor:
    k, v = (x.repeat_interleave(HEADS // k.shape[1], 1) for x in (k, v))
    return fused(q, k, v, model)


def expanded(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, model: nn.Module) -> torch.Tensor:
    k, v = (
        x[:, :, None].expand(1, x.shape[1], HEADS // x.shape[1], x.shape[2], WIDTH).reshape(q.shape) for x in (k, v)
    )
    return from_table(q, k, v, model)


def grouped(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _model: nn.Module) -> torch.Tensor:
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize("attend", [repeated, expanded, grouped])
def test_shared_heads_are_not_repeated(attend: Callable[..., torch.Tensor], kv_heads: int) -> None:
    model = imported(Model(attend=attend, kv_heads=kv_heads))
    node = next(n for n in model.graph.nodes if n.op == "attention")
    assert model.graph.types[node.operands[1]].shape[1] == kv_heads
    assert model.graph.types[node.operands[2]].shape[1] == kv_heads
    assert ops(model)["expand"] == 0


def test_a_mask_that_is_not_causal_is_refused() -> None:
    def blocks(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _model: nn.Module) -> torch.Tensor:
        block = torch.arange(q.shape[2]) // 4
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=block[:, None] == block)

    with pytest.raises(UnsupportedOps, match="a mask that is neither causal nor a causal window"):
        imported(Model(attend=blocks))


def root_mean_square(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    return model.scale * (x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6))


def gemma_norm(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1 + model.scale)


def mean_variance(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    variance = x.var(-1, keepdim=True, unbiased=False)
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(variance + 1e-5) * model.scale + model.scale


def torch_norm(x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    return functional.rms_norm(x, (x.shape[-1],), model.scale, 1e-6)


def tanh_gelu(x: torch.Tensor, _model: nn.Module) -> torch.Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def swish(x: torch.Tensor, _model: nn.Module) -> torch.Tensor:
    return x * torch.sigmoid(x)


@pytest.mark.parametrize(
    ("finish", "op", "operands"),
    [
        (root_mean_square, "rms_norm", 2),
        (gemma_norm, "rms_norm", 2),
        (torch_norm, "rms_norm", 2),
        (mean_variance, "layer_norm", 3),
        (tanh_gelu, "gelu_tanh", 1),
        (swish, "silu", 1),
    ],
)
def test_norms_and_activations(finish: Callable[..., torch.Tensor], op: str, operands: int) -> None:
    model = imported(Model(finish=finish))
    node = next(n for n in model.graph.nodes if n.op == op)
    assert len(node.operands) == operands
    assert not {"mean", "sqrt", "rsqrt", "tanh", "sigmoid"} & set(ops(model))


def test_parameters_of_a_narrow_type() -> None:
    model = imported(Model(turn=half).bfloat16())
    assert {w.type.dtype.value for w in model.graph.weights} == {"bf16", "f32"}
    assert model.weights.load("q.weight").dtype.name == "bfloat16"
