"""Chooses how many of each 16 weights every matrix keeps, so that all together keep a given share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from cosyn.ir.graph import Graph
from cosyn.ir.interpreter import ConstantEvaluator, WeightReader
from cosyn.ir.weight_format import BLOCK, KEPT
from cosyn.passes.prune import pruning_losses
from cosyn.passes.quantize import set_format
from cosyn.passes.recipe import Recipe, RecipeError
from cosyn.passes.rewrite import Rewriter
from cosyn.passes.sources import Sources


@dataclass(frozen=True)
class AssignKept:
    """Give each quantized matrix the N of 16 with which the model loses least at the recipe's density.

        weight @a : f32[64, 64] as i8row:f32           weight @a : f32[64, 64] as i8row:f32
        weight @b : f32[64, 64] as i8row:f32     →     weight @b : f32[64, 64] as i8row.8of16:f32

    `values` reads weights; None: as if all were drawn from one normal distribution, which is as much as a
    configuration alone says. `choices` are the N below 16 that the target has. Matrices that a rule of the recipe
    names keep their storage and do not count. Precondition: quantized. Postcondition: of the weights of the matrices
    that count at most `recipe.density` per cent are kept. RecipeError where no choice reaches that.
    """

    recipe: Recipe
    values: WeightReader | None = None
    choices: tuple[int, ...] = KEPT

    name: ClassVar[str] = "assign_kept"

    def run(self, graph: Graph) -> Graph:
        refs = self._matrices(graph)
        if not refs:
            return graph
        choices = (BLOCK, *sorted(self.choices, reverse=True))
        sizes = [math.prod(int(d) for d in graph.types[ref].shape) for ref in refs]
        kept = choose(sizes, list(self._losses(graph, refs, sizes, choices)), choices, self.recipe.density)
        if kept is None:
            raise RecipeError(
                f"recipe {self.recipe.name}: {self.recipe.density} % of the weights cannot be kept where a matrix keeps"
                f" {', '.join(map(str, choices))} of {BLOCK}: ask for more, or take a target with smaller N"
            )
        rewriter = Rewriter(graph)
        for ref, n in zip(refs, kept, strict=True):
            declared = graph.types[ref].format
            if declared is not None and n != BLOCK:
                set_format(rewriter, ref, replace(declared, kept=n))
        for node in graph.nodes:
            rewriter.keep(node)
        return rewriter.finish()

    def _matrices(self, graph: Graph) -> list[str]:
        """References of the quantized matrices that no rule names, in order of use."""
        sources = Sources(graph)
        used = dict.fromkeys(r for node in graph.nodes for r in node.operands if graph.types[r].format is not None)
        return [ref for ref in used if not any(self.recipe.rule(key) for key in sources.keys(ref))]

    def _losses(
        self, graph: Graph, refs: Sequence[str], sizes: Sequence[int], choices: Sequence[int]
    ) -> Iterator[list[float]]:
        """What each matrix loses by each choice: energy, times the share of the matrix's energy that it is.

        Energy alone empties matrices of small weights, the share alone takes from large matrices whatever they do:
        docs/decisions/0010 has the measurement.
        """
        if self.values is None:
            normal = np.random.default_rng(0).standard_normal((256, 1024))
            shares = np.array(pruning_losses(normal, choices)) / pruning_losses(normal, (0,))[0]
            yield from ((size * shares * shares).tolist() for size in sizes)
            return
        evaluator = ConstantEvaluator(graph, self.values)
        for ref in refs:
            *energies, total = pruning_losses(evaluator.get(ref), (*choices, 0))
            yield [energy * energy / total if total else 0.0 for energy in energies]


def choose(
    sizes: Sequence[int], losses: Sequence[Sequence[float]], choices: Sequence[int], percent: float
) -> list[int] | None:
    """The N of `choices` for each of several matrices that keep at most `percent` of their weights together.

    The sum of the losses is the least possible (a knapsack, solved exactly; of more than 2^16 different numbers of
    weights kept, each rounded up to one of 2^16). `losses[i][j]`: of matrix i with choices[j]. None where no choice
    keeps so few.
    """
    unit = math.gcd(*(size * n for size in sizes for n in choices))
    room = math.floor(sum(sizes) * BLOCK * percent / 100)
    unit *= max(1, -(-room // (unit * _NUMBERS)))
    room //= unit
    # least[r]: the least loss of the matrices so far that keep at most r units.
    least = np.zeros(room + 1)
    chosen = np.empty((len(sizes), room + 1), np.int8)
    costs = [[-(-size * n // unit) for n in choices] for size in sizes]
    for i, (own, lost) in enumerate(zip(costs, losses, strict=True)):
        tried = np.full((len(choices), room + 1), np.inf)
        for j, cost in enumerate(own):
            if cost <= room:
                tried[j, cost:] = least[: room + 1 - cost] + lost[j]
        chosen[i] = tried.argmin(0)
        least = tried.min(0)
    if not math.isfinite(least[room]):
        return None
    found: list[int] = []
    for i in reversed(range(len(sizes))):
        j = int(chosen[i, room])
        found.append(choices[j])
        room -= costs[i][j]
    return found[::-1]


_NUMBERS = 1 << 16
