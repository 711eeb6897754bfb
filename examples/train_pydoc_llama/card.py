"""Write the model card from what training recorded and evaluation measured."""

from __future__ import annotations

import json
from pathlib import Path

from evaluate import Result

TEMPLATE = Path(__file__).resolve().parent / "card_template.md"


def quote(text: str) -> str:
    """A sample as a code block, so that its own punctuation is not read as Markdown."""
    return f"```text\n{text}\n```"


def write_card(folder: Path, result: Result) -> None:
    """Fill in the card and put it in the folder as README.md."""
    training = json.loads((folder / "training.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    progress, settings, text = training["progress"], training["settings"], training["corpus"]
    device = f"{settings['threads']} CPU threads" if training["device"] == "cpu" else "a CUDA device"
    samples = "\n\n".join(
        f"**Greedy**\n\n{quote(s.greedy)}\n\n**Sampled**\n\n{quote(s.sampled)}" for s in result.samples
    )
    (folder / "README.md").write_text(
        TEMPLATE.read_text("utf-8").format(
            parameters=training["parameters"],
            **text,
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            head_dim=config["head_dim"],
            intermediate=config["intermediate_size"],
            theta=config["rope_theta"],
            positions=config["max_position_embeddings"],
            vocab=config["vocab_size"],
            bos=config["bos_token_id"],
            eos=config["eos_token_id"],
            tokens=progress["tokens"],
            passes=progress["tokens"] / training["train_tokens"],
            steps=progress["step"],
            minutes=progress["seconds"] / 60,
            decay_from=progress["decay_from"],
            planned=int(settings["steps"]),
            note=f"\n\n{training['note']}" if training["note"] else "",
            device=device,
            lr=settings["lr"],
            weight_decay=settings["weight_decay"],
            dropout=settings["dropout"],
            bits=result.held_out.bits_per_byte,
            perplexity=result.held_out.perplexity,
            scored=result.held_out.tokens,
            packed=result.lzma_bits_per_byte,
            step=config["max_position_embeddings"] - 1,
            samples=samples,
        ),
        encoding="utf-8",
    )
