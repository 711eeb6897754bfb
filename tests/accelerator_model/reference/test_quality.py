"""What the accelerator's arithmetic costs in perplexity, beside the same recipe in floating point and float32."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.accelerator_model.reference.models import SHIPPED, float_logits, imported, in_floats, nats, reference

WINDOW = 511
SAME_RECIPE = 1.01
"""Perplexity over that of the same recipe in floats."""
W8A8 = 1.015
"""Perplexity of w8a8 over that of float32."""


def windows(folder: Path, documents: list[str], count: int) -> list[list[int]]:
    """<bos> and up to WINDOW tokens, until `count` tokens are there."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bos = json.loads((folder / "config.json").read_text(encoding="utf-8"))["bos_token_id"]
    found: list[list[int]] = []
    for text in documents:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        for start in range(0, len(ids), WINDOW):
            part = ids[start : min(start + WINDOW, start + count)]
            count -= len(part)
            if part:
                found.append([bos, *part])
    return found


def perplexities(folder: Path, parts: list[list[int]], recipe: str, **options: int) -> tuple[float, float]:
    """On the accelerator, and with the same recipe in floats."""
    model = imported(folder)
    ours, floats = reference(model, recipe, **options), in_floats(model, recipe, **options)
    sums = [0.0, 0.0]
    for part in parts:
        ours.reset()
        sums[0] += nats(ours.step(part[:-1]), part[1:])
        sums[1] += nats(float_logits(floats, part[:-1]), part[1:])
    tokens = sum(len(part) - 1 for part in parts)
    return math.exp(sums[0] / tokens), math.exp(sums[1] / tokens)


def perplexity_fp32(folder: Path, parts: list[list[int]]) -> float:
    model = in_floats(imported(folder), "fp32")
    total = sum(nats(float_logits(model, part[:-1]), part[1:]) for part in parts)
    return math.exp(total / sum(len(part) - 1 for part in parts))


def shipped_text(count: int) -> list[list[int]]:
    return windows(SHIPPED, [(SHIPPED / "held_out.txt").read_text(encoding="utf-8")], count)


def stories(shared_dir: Path, count: int) -> tuple[Path, list[list[int]]]:
    folder = shared_dir / "models/stories260K"
    text = (shared_dir / "data/tinystories/tinystories_sample_2MiB.txt").read_text(encoding="utf-8", errors="replace")
    parts = [p.strip() for p in text.split("<|endoftext|>")]
    return folder, windows(folder, parts[len(parts) // 2 + 1 : -1], count)


def test_w8a8_on_the_shipped_model() -> None:
    parts = shipped_text(600)
    ours, floats = perplexities(SHIPPED, parts, "w8a8")
    assert ours < SAME_RECIPE * floats
    assert ours < W8A8 * perplexity_fp32(SHIPPED, parts)


@pytest.mark.parametrize("recipe", ["w8a8", "w4a8_g32"])
def test_stories(recipe: str, shared_dir: Path) -> None:
    folder, parts = stories(shared_dir, 1200)
    ours, floats = perplexities(folder, parts, recipe)
    assert ours < SAME_RECIPE * floats
    assert recipe != "w8a8" or ours < W8A8 * perplexity_fp32(folder, parts)


@pytest.mark.parametrize(("window", "sinks"), [(96, 0), (64, 4)])
def test_stories_with_a_window(window: int, sinks: int, shared_dir: Path) -> None:
    folder, parts = stories(shared_dir, 1200)
    ours, floats = perplexities(folder, parts, "w8a8", window=window, sinks=sinks)
    dense, _ = perplexities(folder, parts, "w8a8")
    assert ours < SAME_RECIPE * floats
    assert floats < SAME_RECIPE * ours
    # The window is felt, so that it is what was compared.
    assert abs(ours - dense) > 0.001 * dense


RECIPES = ("w8a8", "w4a8_g32", "w4a8_g128", "w3a8_g128", "w2a8_g32", "w8a8_8of16", "w4a8_g32_8of16")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_on_the_shipped_model(recipe: str) -> None:
    ours, floats = perplexities(SHIPPED, shipped_text(8 * WINDOW), recipe)
    assert ours < SAME_RECIPE * floats


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_on_stories(recipe: str, shared_dir: Path) -> None:
    folder, parts = stories(shared_dir, 8000)
    ours, floats = perplexities(folder, parts, recipe)
    assert ours < SAME_RECIPE * floats
