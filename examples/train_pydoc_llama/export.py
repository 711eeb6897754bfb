"""Write a checkpoint as a Hugging Face folder with fp16 weights, its evaluation and its card."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from card import write_card
from corpus import collect
from data import encode
from evaluate import SEPARATOR, evaluate, write_json
from model import Shape
from safetensors.torch import save_file
from tokenizer import BOS_ID, EOS_ID, save_tokenizer
from tokenizers import Tokenizer

EXCERPT_BYTES = 64 * 1024


def config(shape: Shape) -> dict[str, Any]:
    """The config.json of LlamaForCausalLM for this shape."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.positions,
        "rms_norm_eps": shape.eps,
        "rope_theta": shape.theta,
        "rope_scaling": None,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": None,
        "torch_dtype": "float16",
        "use_cache": True,
        "initializer_range": 0.02,
        "pretraining_tp": 1,
    }


def excerpt(texts: list[str]) -> str:
    """Whole held-out documents, as many as fit."""
    kept: list[str] = []
    for text in texts:
        if len(SEPARATOR.join([*kept, text]).encode()) <= EXCERPT_BYTES:
            kept.append(text)
    return SEPARATOR.join(kept)


def export(checkpoint: Path, out: Path, note: str) -> None:
    """Write weights, configuration, tokenizer, training record and held-out excerpt."""
    saved = torch.load(checkpoint, map_location="cpu")
    shape = Shape(**saved["shape"])
    weights = {name: tensor.to(torch.float16).contiguous() for name, tensor in saved["model"].items()}
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise RuntimeError(f"{name} does not fit in fp16")
    out.mkdir(parents=True, exist_ok=True)
    # Renamed into place, because others may be reading the folder while a new checkpoint lands.
    save_file(weights, out / "model.tmp", metadata={"format": "pt"})
    (out / "model.tmp").chmod(0o644)
    os.replace(out / "model.tmp", out / "model.safetensors")
    write_json(out / "config.json", config(shape))
    sampling = {"bos_token_id": BOS_ID, "eos_token_id": EOS_ID, "do_sample": False}
    write_json(out / "generation_config.json", sampling)
    tokenizer = Tokenizer.from_str(saved["tokenizer"])
    save_tokenizer(tokenizer, out, shape.positions)
    corpus = collect()
    if corpus.sha256 != saved["corpus_sha256"]:
        raise SystemExit("this Python gives another corpus than the one that the checkpoint was trained on")
    (out / "held_out.txt").write_text(excerpt([d.text for d in corpus.held_out]), encoding="utf-8")
    record = {
        "note": note,
        "device": saved.get("device", "cpu"),
        "train_tokens": sum(len(encode(tokenizer, d.text)) for d in corpus.train),
        "parameters": sum(t.numel() for t in weights.values()),
        "progress": saved["progress"],
        "settings": saved["settings"],
        "corpus": {
            "python": corpus.python,
            "sha256": corpus.sha256,
            "train_documents": len(corpus.train),
            "train_bytes": sum(len(d.text.encode()) for d in corpus.train),
            "held_out_documents": len(corpus.held_out),
            "held_out_bytes": sum(len(d.text.encode()) for d in corpus.held_out),
        },
    }
    write_json(out / "training.json", record)


def finish(checkpoint: Path, out: Path, note: str = "") -> None:
    """Export, then score the exported files themselves and describe them."""
    export(checkpoint, out, note)
    write_card(out, evaluate(out))


def main() -> None:
    """Command line for exporting a checkpoint before the training has ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--note", default="", help="what the card should say about this run")
    args = parser.parse_args()
    finish(args.checkpoint, args.out, args.note)


if __name__ == "__main__":
    main()
