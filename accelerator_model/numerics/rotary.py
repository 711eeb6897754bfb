"""Cosines and sines of the rotary embedding: made on the host, read by the accelerator like weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cosyn.accelerator_model.numerics.float32 import F32, normalise


def rotary_rows(inverse_frequencies: npt.ArrayLike, positions: npt.ArrayLike, scale: float = 1.0) -> tuple[F32, F32]:
    """cosine and sine f32 [positions, pairs] of position · inverse frequency, times `scale`.

    The angle is an f32 product, as in the checkpoint's own code; the functions are rounded once, from double.
    """
    frequencies = np.asarray(inverse_frequencies, np.float32)
    angles = (np.asarray(positions).astype(np.float32)[:, None] * frequencies).astype(np.float64)
    return normalise(np.cos(angles) * scale), normalise(np.sin(angles) * scale)
