"""Score an exported folder with Hugging Face in float32: held-out bits per byte and reference ids."""

from __future__ import annotations

import argparse
import json
import lzma
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from corpus import collect
from data import encode, windows
from tokenizer import EOS_ID
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

PROMPTS = ("The return statement", "If the file does not exist,", "Return the number of")
NEW_TOKENS = 64
REFERENCE_TOKENS = 4096
SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Score:
    """Negative log-likelihood of a text, with the sizes that turn it into the usual figures."""

    nats: float
    tokens: int
    size: int

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.size

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats / self.tokens)


@dataclass(frozen=True)
class Sample:
    """One prompt with its greedy and its sampled continuation."""

    prompt: str
    greedy: str
    sampled: str


@dataclass(frozen=True)
class Result:
    """All that the card reports."""

    held_out: Score
    lzma_bits_per_byte: float
    samples: tuple[Sample, ...]


def write_json(path: Path, value: object) -> None:
    """Readable JSON that ends in a newline."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[LlamaForCausalLM, Tokenizer]:
    """The exported fp16 weights, widened to float32, and the exported tokenizer."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.train(False)
    return model, Tokenizer.from_file(str(folder / "tokenizer.json"))


@torch.no_grad()
def nats(model: LlamaForCausalLM, ids: Sequence[int], positions: int) -> float:
    """Sum over non-overlapping windows, each opened by <bos>, which is not itself scored."""
    total = 0.0
    for window in windows(ids, positions):
        row = torch.tensor([window])
        logits = model(row).logits[0, :-1].double()
        total += torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum").item()
    return total


@torch.no_grad()
def generate(model: LlamaForCausalLM, ids: Sequence[int], generator: torch.Generator | None) -> list[int]:
    """Greedy ids, or with a generator ids drawn at temperature 0.8 and top-p 0.95."""
    out = list(ids)
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([out])).logits[0, -1]
        if generator is None:
            token = int(logits.argmax())
        else:
            probabilities, order = torch.softmax(logits / 0.8, dim=-1).sort(descending=True)
            # A token stays while the mass before it is below 0.95, so the likeliest always stays.
            probabilities[probabilities.cumsum(0) - probabilities >= 0.95] = 0.0
            token = int(order[torch.multinomial(probabilities, 1, generator=generator)])
        out.append(token)
        if token == EOS_ID:
            break
    return out


def reference(folder: Path, model: LlamaForCausalLM, tokenizer: Tokenizer) -> dict[str, Any]:
    """Greedy ids, top logits and a perplexity for other implementations to agree with."""
    positions = model.config.max_position_embeddings
    cases = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        with torch.no_grad():
            top = model(torch.tensor([ids])).logits[0, -1].topk(5)
        out = generate(model, ids, None)
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        cases.append(
            {
                "prompt": prompt,
                "prompt_ids": ids,
                "output_ids": out,
                "text": tokenizer.decode(out),
                "last_logits_top5": [[token, round(value, 5)] for token, value in pairs],
            }
        )
    ids = encode(tokenizer, (folder / "held_out.txt").read_text("utf-8"))[:REFERENCE_TOKENS]
    score = Score(nats(model, ids, positions), len(ids), len(tokenizer.decode(ids).encode()))
    return {
        "model": folder.name,
        "dtype": "float32",
        "decode": f"greedy, max_new_tokens={NEW_TOKENS}, stop on eos",
        "cases": cases,
        "ppl": {
            "text": f"held_out.txt encoded as one text, its first {len(ids)} tokens (without bos), "
            f"in non-overlapping windows of {positions - 1} tokens (the last one shorter), bos before each "
            "window, each scored alone; bos is not scored",
            "nll_per_token": score.nats / score.tokens,
            "ppl": score.perplexity,
            "tokens": score.tokens,
            "bits_per_byte": score.bits_per_byte,
        },
    }


def evaluate(folder: Path) -> Result:
    """Score every held-out document, write reference.json and draw the card's samples."""
    model, tokenizer = load(folder)
    positions = model.config.max_position_embeddings
    corpus = collect()
    recorded = json.loads((folder / "training.json").read_text())["corpus"]
    if corpus.sha256 != recorded["sha256"]:
        print(f"note: this Python's text is not that of the card (Python {recorded['python']})")
    texts = [d.text for d in corpus.held_out]
    encoded = [encode(tokenizer, text) for text in texts]
    score = Score(
        sum(nats(model, ids, positions) for ids in encoded),
        sum(len(ids) for ids in encoded),
        sum(len(text.encode()) for text in texts),
    )
    record = reference(folder, model, tokenizer)
    write_json(folder / "reference.json", record)
    samples = []
    for case in record["cases"]:
        drawn = generate(model, case["prompt_ids"], torch.Generator().manual_seed(1))
        samples.append(Sample(case["prompt"], case["text"], tokenizer.decode(drawn)))
    packed = len(lzma.compress(SEPARATOR.join(texts).encode(), preset=9)) * 8 / score.size
    return Result(score, packed, tuple(samples))


def main() -> None:
    """Command line: print the held-out figures of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    result = evaluate(parser.parse_args().folder)
    print(f"held-out: {result.held_out.bits_per_byte:.4f} bits per byte, "
          f"perplexity {result.held_out.perplexity:.3f} over {result.held_out.tokens} tokens")  # fmt: skip
    for sample in result.samples:
        print(f"--- greedy\n{sample.greedy}\n--- sampled\n{sample.sampled}")


if __name__ == "__main__":
    main()
