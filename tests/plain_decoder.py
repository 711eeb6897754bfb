"""A decoder written by hand, with nothing of Hugging Face's: what `package.module:factory` must take."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, VOCABULARY, MAX_SEQ = 48, 6, 2, 97, 256


class Attention(nn.Module):
    """Causal self-attention by scaled_dot_product_attention, or spelled out with a mask and a softmax."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
            later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            y = scores.masked_fill(later, float("-inf")).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, length, WIDTH))


class Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.attention = Attention(fused)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.first(x))
        return x + self.mlp(self.second(x))


class Decoder(nn.Module):
    """Token ids `[1, seq]` → logits `[1, seq, VOCABULARY]`; learned positions, tied head."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.max_seq = MAX_SEQ
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Embedding(MAX_SEQ, WIDTH)
        self.blocks = nn.ModuleList(Block(fused) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(token_ids) + self.positions(torch.arange(token_ids.shape[1], device=token_ids.device))
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T


def _seeded(fused: bool) -> Decoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Decoder(fused).eval()


def factory() -> nn.Module:
    """With scaled_dot_product_attention."""
    return _seeded(True)


def explicit_factory() -> nn.Module:
    """With attention spelled out."""
    return _seeded(False)
