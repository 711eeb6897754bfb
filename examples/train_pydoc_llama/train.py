"""Train the small Llama that ships with cosyn, from the text of the running Python installation."""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from corpus import Corpus, collect
from data import Stream, encode, windows
from model import Llama, Shape
from tokenizer import train_tokenizer
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
CONTEXT = 256
BATCH_TOKENS = 4096
WARMUP = 100
DECAY_SHARE = 0.25
LONGEST_STEP = 30.0


@dataclass
class Progress:
    """What a resumed run needs besides weights and optimiser state."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    decay_from: int = 0


def learning_rate(progress: Progress, args: argparse.Namespace) -> float:
    """Warm-up, plateau, then a straight line to zero over the last part of the steps or of the minutes."""
    warm = min(1.0, (progress.step + 1) / WARMUP)
    left = (1.0 - spent(progress, args)) / DECAY_SHARE
    return float(args.lr * min(1.0, warm, left))


def spent(progress: Progress, args: argparse.Namespace) -> float:
    """How much of the run is over, by whichever of its limits is nearer."""
    clock = progress.seconds / (args.minutes * 60) if args.minutes else 0.0
    return float(min(1.0, max(progress.step / args.steps, clock)))


def make_optimizer(model: Llama, peak: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves the norms' scales alone."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    scales = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": scales, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95), fused=True)


@torch.no_grad()
def held_out_bits(model: Llama, tokenizer: Tokenizer, corpus: Corpus, device: torch.device) -> float:
    """Quick estimate of held-out bits per byte while training; evaluate.py has the figure that counts."""
    model.eval()
    nats, size = 0.0, 0
    for document in corpus.held_out:
        size += len(document.text.encode())
        for window in windows(encode(tokenizer, document.text), model.shape.positions):
            row = torch.tensor([window], device=device)
            nats += model(row[:, :-1], row[:, 1:]).item() * (len(window) - 1)
    model.train()
    return nats / math.log(2) / size


def save_atomically(payload: dict[str, Any], path: Path) -> None:
    """Replace the checkpoint in one step, so that a kill never leaves half a file."""
    temporary = path.with_suffix(".tmp")
    torch.save(payload, temporary)
    os.replace(temporary, path)


def train(args: argparse.Namespace) -> None:
    """Run or resume the training and leave the finished state in the checkpoint."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    corpus = collect()
    saved = torch.load(args.checkpoint, map_location=device) if args.checkpoint.exists() else None
    if saved is not None and saved["corpus_sha256"] != corpus.sha256:
        raise SystemExit("the checkpoint was trained on another corpus: delete it or use its Python version")
    shape = Shape()
    texts = [d.text for d in corpus.train]
    tokenizer = train_tokenizer(texts, shape.vocab)
    stream = Stream(tokenizer, texts)
    model = Llama(shape, args.dropout).to(device)
    optimizer = make_optimizer(model, args.lr, args.weight_decay)
    progress = Progress()
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        progress = Progress(**saved["progress"])
    # Batches depend on seed and step alone, so a resumed run sees what an uninterrupted one would have.
    generator = torch.Generator()
    fast = torch.compile(model, dynamic=False) if args.compile else model
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, {len(stream.ids)} training tokens, "
        f"{len(stream.starts)} paragraphs, corpus {corpus.sha256[:12]}, pid {os.getpid()}",
        flush=True,
    )
    last_save, running = time.monotonic(), 0.0

    def save() -> None:
        payload = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": asdict(progress),
            "tokenizer": tokenizer.to_str(),
            "corpus_sha256": corpus.sha256,
            "shape": asdict(shape),
            "device": device.type,
            "settings": {k: str(v) for k, v in vars(args).items() if k not in ("checkpoint", "out")},
        }
        save_atomically(payload, args.checkpoint)

    while spent(progress, args) < 1.0:
        began = time.monotonic()
        generator.manual_seed(args.seed * 1_000_003 + progress.step)
        # Every fourth batch is long, so that all positions are trained at little cost in attention.
        length = shape.positions if progress.step % 4 == 3 else CONTEXT
        inputs, targets = stream.batch(BATCH_TOKENS // length, length, generator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, args)
        with torch.autocast(device.type, torch.bfloat16):
            loss = fast(inputs.to(device), targets.to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        progress.step += 1
        progress.tokens += BATCH_TOKENS
        # A paused process must not find its decay over when it wakes.
        progress.seconds += min(LONGEST_STEP, time.monotonic() - began)
        running += (loss.item() - running) * (0.05 if running else 1.0)
        if spent(progress, args) <= 1.0 - DECAY_SHARE:
            progress.decay_from = progress.step
        if progress.step % 25 == 0:
            pace = progress.tokens / progress.seconds
            rate = optimizer.param_groups[0]["lr"]
            print(
                f"step {progress.step} loss {running:.4f} lr {rate:.2e} {pace:.0f} tok/s {progress.seconds:.0f} s",
                flush=True,
            )
        if progress.step % 250 == 0:
            bits = held_out_bits(model, tokenizer, corpus, device)
            print(f"step {progress.step} held-out {bits:.4f} bits per byte", flush=True)
        if time.monotonic() - last_save > 120 or progress.step == 25:
            save()
            last_save = time.monotonic()
    save()


def main() -> None:
    """Command line: train, then export the folder with its evaluation and card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True, help="Hugging Face folder to write")
    parser.add_argument("--steps", type=int, default=5200)
    parser.add_argument("--minutes", type=float, default=0.0, help="shorten the schedule to fit")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint.pt")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    train(args)
    from export import finish

    finish(args.checkpoint, args.out)


if __name__ == "__main__":
    main()
