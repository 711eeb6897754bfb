"""What the granularity of N:16 sparsity is worth: perplexity at equal shares of kept weights.

Weights are pruned by magnitude, without training, and computed in floats: neither they nor activations are quantized.
Columns 2 i and 2 i + 1 of the accelerator (rows of a matrix) share their pattern everywhere. N is 16, 8, 4 or 2 of each
16 weights along a row, the same for a whole matrix, for a tile, for a piece of a tile, or for each block of 16 x 16
(FlightLLM's granularity), so that the loss is least at the given share of all weights. Writes
benchmarks/results/sparsity_granularity.{json,md}.

    python benchmarks/sparsity_granularity.py                             # the model in examples/models
    python benchmarks/sparsity_granularity.py MODEL TEXT [MODEL TEXT …]   # others: folder, and a file of held-out text

A text of many documents (divided by <|endoftext|>) is measured from its middle on; its end serves calibration.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from cosyn.ir.dtype import DType
from cosyn.ir.frontend import import_model
from cosyn.ir.interpreter import ConstantEvaluator
from cosyn.ir.weight_format import BLOCK, KEPT, WeightFormat
from cosyn.passes.assign_kept import choose
from cosyn.passes.pipeline import Options, passes, run_passes
from cosyn.passes.prune import pruning_losses
from cosyn.passes.recipe import Recipe
from cosyn.passes.sources import Sources

Array = NDArray[Any]
Curves = dict[str, Array]
"""For each matrix its loss with each of CHOICES."""

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "examples" / "models" / "pydoc-llama"
WINDOW = 512
CALIBRATION = 1022
"""Tokens on which the loss is measured, where it is."""
CHOICES = (BLOCK, *KEPT)


@dataclass(frozen=True)
class Granularity:
    """N is the same for `columns` output columns and `rows` activations (0: all of a matrix)."""

    name: str
    columns: int
    rows: int


GRANULARITIES = (
    Granularity("matrix", 0, 0),
    Granularity("tile of 128 columns (u280)", 128, 0),
    Granularity("tile of 8 columns (tiny)", 8, 0),
    Granularity("128 columns x 32 rows", 128, 32),
    Granularity("8 columns x 16 rows", 8, 16),
    Granularity("block of 16 x 16 (FlightLLM)", 16, 16),
)


@dataclass(frozen=True)
class Row:
    """A way to choose N. `share` is of all weights.

    `against_matrix`: the perplexity over that of N per matrix by the same loss; `error`: the standard error of its log.
    `slots`: the part that kept weights fill of the slots of their tiles, in the stream and in the array.
    """

    percent: int
    loss: str
    granularity: str
    share: float
    perplexity: float
    against_matrix: float | None
    error: float | None
    slots: float
    weights_by_kept: dict[int, float]


class Model:
    """A Hugging Face model whose matrices can be replaced as the compiler stores them, and what it is measured on."""

    def __init__(self, folder: Path, text: Path, tokens: int) -> None:
        self.name = folder.name
        imported = import_model(folder, max_seq=WINDOW)
        # Any format marks the matrices, as they are merged.
        marked = Recipe("marked", "", WeightFormat(8, 0, scale_dtype=DType.F32), DType.F32)
        graph, _ = run_passes(imported.graph, passes(Options(marked, WINDOW), WINDOW))
        used = dict.fromkeys(r for n in graph.nodes for r in n.operands if graph.types[r].format is not None)
        evaluator, sources = ConstantEvaluator(graph, imported.weights.load), Sources(graph)
        self.matrices = {ref: np.asarray(evaluator.get(ref), np.float32) for ref in used}
        self._torch = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        # A tied head is stored apart from its table, so it can be pruned alone.
        head, table = self._torch.get_output_embeddings(), self._torch.get_input_embeddings()
        head.weight = torch.nn.Parameter(table.weight.detach().clone() if head.weight is table.weight else head.weight)
        names = dict(self._torch.named_parameters())
        tied = {name for name, value in names.items() if value is table.weight}
        self._parts = {
            ref: [head.weight if key in tied else names[key] for key in sources.keys(ref)] for ref in self.matrices
        }
        self.windows, self.calibration = _windows(folder, text, imported.bos_token_id, tokens)

    def nats(self, replaced: Mapping[str, Array], windows: Sequence[list[int]]) -> Array:
        """Negative log-likelihood of every token of `windows`, with `replaced` in place of matrices."""
        found = []
        with torch.no_grad():
            for ref, parts in self._parts.items():
                matrix = torch.from_numpy(replaced.get(ref, self.matrices[ref]))
                for part, rows in zip(parts, matrix.split([len(p) for p in parts]), strict=True):
                    part.copy_(rows)
            for ids in windows:
                tokens = torch.tensor([ids])
                logits = self._torch(tokens[:, :-1]).logits[0].double()
                found.append(torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="none").numpy())
        return np.concatenate(found)


def _windows(folder: Path, text: Path, bos: int | None, tokens: int) -> tuple[list[list[int]], list[list[int]]]:
    """Windows of text to measure on, `tokens` tokens in all, and others to calibrate on, from its end."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    opening = [] if bos is None else [bos]
    documents = [d.strip() for d in text.read_text(encoding="utf-8", errors="replace").split("<|endoftext|>")]
    if len(documents) > 1:
        documents = documents[len(documents) // 2 + 1 : -1]
    size = WINDOW - len(opening)
    encoded = (tokenizer.encode(d, add_special_tokens=False).ids for d in documents)
    parts = [ids[start : start + size] for ids in encoded for start in range(0, len(ids), size)]

    def first(pieces: Sequence[list[int]], count: int) -> Iterator[list[int]]:
        for piece in pieces:
            if count <= 0:
                return
            yield [*opening, *piece[:count]]
            count -= len(piece)

    measured = list(first(parts, tokens))
    return measured, list(first(parts[len(measured) :][::-1], CALIBRATION))


def energies(matrix: Array) -> Array:
    """Squares of rows 2 i and 2 i + 1 together, [pairs, blocks, 16] in ascending order of each block's."""
    rows, columns = matrix.shape
    padded = np.zeros((rows + rows % 2, -(-columns // BLOCK) * BLOCK))
    padded[:rows, :columns] = matrix
    return np.square(padded).reshape(-1, 2, padded.shape[1] // BLOCK, BLOCK).sum(1)


def pruned(matrix: Array, kept: Array) -> Array:
    """`matrix` with the `kept` [pairs, blocks] largest of each block."""
    energy = energies(matrix)
    rank = np.argsort(np.argsort(-energy, -1, kind="stable"), -1, kind="stable")
    mask = np.repeat((rank < kept[..., None]).reshape(len(energy), -1), 2, axis=0)
    rows, columns = matrix.shape
    return np.where(mask[:rows, :columns], matrix, 0).astype(np.float32)


def grouped(matrix: Array, how: Granularity) -> tuple[Array, Array, Array]:
    """Losses [groups, choices] and sizes [groups] of the parts of `matrix` with one N, and the part of each block."""
    energy = energies(matrix)
    pairs, blocks = energy.shape[:2]
    lost = np.cumsum(np.sort(energy, -1), -1)
    losses = np.stack([lost[..., BLOCK - n - 1] if n < BLOCK else np.zeros((pairs, blocks)) for n in CHOICES], -1)
    across = np.arange(pairs) // (how.columns // 2 or pairs)
    along = np.arange(blocks) // (how.rows // BLOCK or blocks)
    part = across[:, None] * (along[-1] + 1) + along
    summed = np.stack([np.bincount(part.ravel(), losses[..., j].ravel()) for j in range(len(CHOICES))], -1)
    return summed, np.bincount(part.ravel()) * 2 * BLOCK, part


def choose_many(sizes: Array, losses: Array, percent: float) -> Array:
    """As `choose` for very many parts: from 16 on, always the step that loses least for each weight dropped."""
    steps = -np.diff(np.array(CHOICES))
    slopes = np.maximum.accumulate(np.diff(losses, axis=1) / (sizes[:, None] * steps), axis=1)
    order = np.argsort(slopes, axis=None, kind="stable")
    dropped = np.cumsum((sizes[:, None] * steps).ravel()[order])
    count = int(np.searchsorted(dropped, sizes.sum() * BLOCK * (1 - percent / 100) - 1e-6)) + 1
    taken = np.bincount(order[:count] // len(steps), minlength=len(sizes))
    return np.array(CHOICES)[taken]


def assign(matrices: Mapping[str, Array], how: Granularity, curves: Curves, percent: int) -> list[Array]:
    """N [pairs, blocks] of every matrix.

    `curves` are the losses of whole matrices with each choice; a part of one takes its share of each step of the curve
    by the energy that it loses there.
    """
    found = []
    for ref, matrix in matrices.items():
        energy, sizes, part = grouped(matrix, how)
        share = np.diff(energy, axis=1) / np.diff(energy.sum(0))
        steps = np.cumsum(share * np.diff(curves[ref]), axis=1)
        found.append((np.pad(steps, ((0, 0), (1, 0))), sizes, part))
    losses, sizes = np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])
    if len(sizes) > _MANY:
        chosen = choose_many(sizes, losses, percent)
    else:
        chosen = np.array(choose([int(s) for s in sizes], losses.tolist(), CHOICES, percent))
    starts = np.cumsum([0, *(len(f[1]) for f in found)])
    return [chosen[start + f[2]] for start, f in zip(starts, found, strict=False)]


_MANY = 400


def slots_used(kept: Sequence[Array]) -> float:
    """Kept weights over slots, where the chains of a tile of `TILE` columns take one step together.

    A step of the stream holds the codes of all chains, so a block of 16 rows takes as many slots in every chain as in
    the one that keeps most.
    """
    slots = 0
    for matrix in kept:
        for first in range(0, len(matrix), TILE // 2):
            tile = matrix[first : first + TILE // 2]
            slots += int(tile.max(0).sum()) * len(tile)
    return sum(int(matrix.sum()) for matrix in kept) / slots


TILE = 128
"""Columns of a tile of u280."""


def from_weights(model: Model) -> dict[str, Curves]:
    """Losses that the weights alone tell: what the compiler takes, and its two factors."""
    found: dict[str, Curves] = {"energy x share": {}, "energy": {}, "share": {}}
    for ref, matrix in model.matrices.items():
        energy, total = np.array(pruning_losses(matrix, CHOICES)), float(np.square(matrix).sum())
        found["energy x share"][ref] = energy * energy / total
        found["energy"][ref], found["share"][ref] = energy, energy / total
    return found


def measured(model: Model) -> Curves:
    """What each choice costs in one matrix alone, in nats on the calibration text."""
    dense = model.nats({}, model.calibration).mean()
    found = {}
    for ref, matrix in model.matrices.items():
        shape = energies(matrix).shape[:2]
        costs = [
            model.nats({ref: pruned(matrix, np.full(shape, n))}, model.calibration).mean() - dense for n in CHOICES
        ]
        # Below zero is noise; and fewer weights never cost less.
        found[ref] = np.maximum.accumulate(np.maximum(costs, 0))
    return found


def measure(model: Model, percents: Sequence[int]) -> dict[str, Any]:
    """The table of one model."""
    dense = model.nats({}, model.windows)
    curves = from_weights(model) | {"measured": measured(model)}
    rows, by_matrix = [], {}

    def run(percent: int, loss: str, name: str, kept: Sequence[Array], base: Array | None) -> Array:
        begin = time.monotonic()
        replaced = {r: pruned(m, n) for (r, m), n in zip(model.matrices.items(), kept, strict=True)}
        nats = model.nats(replaced, model.windows)
        all_kept = np.concatenate([n.ravel() for n in kept])
        shares = {int(n): round(float((all_kept == n).mean()), 4) for n in np.unique(all_kept)}
        row = Row(
            percent, loss, name, round(float(all_kept.mean()) / BLOCK, 4), math.exp(nats.mean()),
            None if base is None else math.exp((nats - base).mean()),
            None if base is None else float((nats - base).std() / math.sqrt(len(nats))),
            round(slots_used(kept), 4), shares,
        )  # fmt: skip
        rows.append(row)
        print(f"{time.monotonic() - begin:4.0f} s  {row}", flush=True)
        return nats

    for percent in percents:
        everywhere = percent * BLOCK // 100
        name = f"all: {everywhere} of 16" + ("" if everywhere in CHOICES else ", not a format of ours")
        run(percent, "none", name, [np.full(energies(m).shape[:2], everywhere) for m in model.matrices.values()], None)
        for loss, curve in curves.items():
            base = None
            for how in GRANULARITIES if loss in _FULLY else GRANULARITIES[:1]:
                kept = assign(model.matrices, how, curve, percent)
                nats = run(percent, loss, how.name, kept, base)
                if base is None:
                    base = nats
                    by_matrix[f"{percent} % by {loss}"] = {
                        r: int(n.flat[0]) for r, n in zip(model.matrices, kept, strict=True)
                    }
    return {
        "model": model.name, "tokens": len(dense), "perplexity_dense": math.exp(dense.mean()),
        "weights": sum(m.size for m in model.matrices.values()), "rows": [asdict(r) for r in rows],
        "kept_by_matrix": by_matrix,
        "nats_of_16_8_4_2_of_16_in_one_matrix": {
            ref: [round(float(n), 4) for n in costs] for ref, costs in curves["measured"].items()
        },
    }  # fmt: skip


_FULLY = ("energy x share", "measured")
"""Losses with which every granularity is measured."""


def table(found: Mapping[str, Any]) -> list[str]:
    """The rows of one model as Markdown."""
    lines = [
        f"## {found['model']}", "",
        f"{found['weights']:,} weights, {found['tokens']:,} tokens; dense: {found['perplexity_dense']:.3f}.", "",
        "| kept | loss | N is one for | perplexity | of matrix's | ± | slots used | % with N = 16 / 8 / 4 / 2 |",
        "|---:|---|---|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for row in found["rows"]:
        shares = " / ".join(f"{100 * row['weights_by_kept'].get(n, 0):.0f}" for n in CHOICES)
        shares = shares if set(row["weights_by_kept"]) <= set(CHOICES) else ""
        ratio, error = ("" if row[key] is None else f"{row[key]:.3f}" for key in ("against_matrix", "error"))
        lines.append(
            f"| {100 * row['share']:.1f} % | {row['loss']} | {row['granularity']} | {row['perplexity']:.2f} |"
            f" {ratio} | {error} | {100 * row['slots']:.0f} % | {shares} |"
        )
    return [*lines, ""]


TEXT = """# N:16 sparsity: what granularity is worth

`python benchmarks/sparsity_granularity.py` pruned the matrices of each model by magnitude, without training, and
computed the perplexity of held-out text in floats (neither weights nor activations are quantized), in windows of 511
tokens after <bos>. Columns 2 i and 2 i + 1 of the accelerator share their pattern in every row of the tables. N is 16,
8, 4 or 2 of 16, chosen for the least loss at the given share of kept weights.

Loss: of a matrix, with each N. *energy*: the sum of the squares of the weights that it drops. *share*: that, of the
matrix's own. *energy x share*: the product of the two, which the compiler takes (`passes/assign_kept.py`). *measured*:
what this N in this matrix alone costs in nats on other text. Parts of a matrix take their shares of its loss by energy.
"±" is the standard error of the logarithm of the ratio to the row *matrix* with the same loss, token by token. *Slots
used*: kept weights over the slots that they take in the stream and in the array of `u280`, where the 64 chains of a
tile step together; the kept share divided by it is what is left of the dense model's cycles.
"""


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL TEXT", type=Path)
    parser.add_argument("--tokens", type=int, default=4088)
    parser.add_argument("--percent", type=int, nargs="+", default=[95, 75, 50])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    if len(options.models) % 2:
        parser.error("give a text after each model")
    given = [SHIPPED, SHIPPED / "held_out.txt", *options.models]
    found = []
    for folder, text in zip(given[::2], given[1::2], strict=True):
        found.append(measure(Model(folder, text, options.tokens), options.percent))
    options.output.mkdir(parents=True, exist_ok=True)
    name = options.output / "sparsity_granularity"
    name.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    lines = "\n".join(line for model in found for line in table(model))
    name.with_suffix(".md").write_text(f"{TEXT}\n{lines}", encoding="utf-8")
    print(lines)


if __name__ == "__main__":
    main()
