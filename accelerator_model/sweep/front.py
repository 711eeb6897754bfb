"""The points that no other point beats in everything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto_front(costs: NDArray[np.float64], among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Rows of `costs` [points, objectives] (less is better) that no other row is at least as good as and better once.

    Only rows marked in `among` take part. Of equal rows the first stays. In order of the first objective.
    """
    rows = np.flatnonzero(np.ones(len(costs), bool) if among is None else among)
    order = rows[np.lexsort([costs[rows, k] for k in range(costs.shape[1] - 1, -1, -1)])]
    kept: list[int] = []
    best = np.empty((0, costs.shape[1]))
    for row in order:
        if len(best) and (best <= costs[row]).all(axis=1).any():
            continue
        kept.append(int(row))
        best = np.vstack([best, costs[row]])
    return np.array(kept, np.int64)
