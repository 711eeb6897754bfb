"""Where weights come from: the protocol of a weight store, and the small stores that need no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cosyn.ir.dtype import DType
from cosyn.ir.errors import RequestError, WeightError
from cosyn.ir.types import TensorType

Array = npt.NDArray[Any]


class WeightStore(Protocol):
    """Named tensors, read only when asked for.

    Keys are those of `Graph.weights`. `load` may return a read-only view of a file; bf16 arrives as
    ml_dtypes.bfloat16. Unknown keys raise WeightError.
    """

    def keys(self) -> Iterable[str]:
        """Names of all tensors."""
        ...

    def type(self, key: str) -> TensorType:
        """Shape and element type of one tensor, without reading it."""
        ...

    def load(self, key: str) -> Array:
        """The values of one tensor."""
        ...


@dataclass(frozen=True)
class MemoryWeights:
    """A store over arrays in memory."""

    arrays: Mapping[str, Array] = field(default_factory=dict)

    def keys(self) -> Iterable[str]:
        return self.arrays.keys()

    def type(self, key: str) -> TensorType:
        array = self.load(key)
        return TensorType(array.shape, DType.from_numpy(array.dtype))

    def load(self, key: str) -> Array:
        try:
            return self.arrays[key]
        except KeyError:
            raise missing(key, self.arrays) from None


@dataclass(frozen=True)
class OverlaidWeights:
    """Several stores as one; the first that has a key answers for it."""

    stores: tuple[WeightStore, ...]

    def keys(self) -> Iterable[str]:
        return dict.fromkeys(key for store in self.stores for key in store.keys())  # noqa: SIM118 - not a dict

    def type(self, key: str) -> TensorType:
        return self._owner(key).type(key)

    def load(self, key: str) -> Array:
        return self._owner(key).load(key)

    def _owner(self, key: str) -> WeightStore:
        for store in self.stores:
            if key in store.keys():  # noqa: SIM118 - not a dict
                return store
        raise missing(key, self.keys())


@dataclass(frozen=True)
class AbsentWeights:
    """The types of a model's weights without values: enough to lower it, not to run it."""

    types: Mapping[str, TensorType]

    def keys(self) -> Iterable[str]:
        return self.types.keys()

    def type(self, key: str) -> TensorType:
        if key not in self.types:
            raise missing(key, self.types)
        return self.types[key]

    def load(self, key: str) -> Array:
        raise RequestError(
            f"a configuration alone has no values for {key}; give the model's folder, or a seed for random weights"
        )


def has_values(store: WeightStore) -> bool:
    """Whether `store` can load all of its tensors: false for what a configuration alone gives."""
    if isinstance(store, OverlaidWeights):
        return all(has_values(part) for part in store.stores)
    return not isinstance(store, AbsentWeights)


def missing(key: str, known: Iterable[str]) -> WeightError:
    """The error for a key that a store lacks, with the closest name that it has."""
    from difflib import get_close_matches

    close = get_close_matches(key, list(known), n=1)
    hint = f"; the closest name is {close[0]}" if close else ""
    return WeightError(f"the weights hold no tensor {key}{hint}")


def check_finite(name: str, array: Array) -> Array:
    """`array` itself; WeightError names the tensor, its first NaN or infinity, and how many there are."""
    # In pieces, so that a large memory-mapped tensor needs little extra memory.
    flat = array.reshape(-1)
    bad = 0
    first = -1
    for start in range(0, flat.size, _PIECE):
        finite = np.isfinite(flat[start : start + _PIECE].astype(np.float32, copy=False))
        if not finite.all():
            if first < 0:
                first = start + int(np.argmin(finite))
            bad += int(np.count_nonzero(~finite))
    if bad:
        place = ", ".join(str(int(i)) for i in np.unravel_index(first, array.shape))
        raise WeightError(
            f"weight {name} holds {bad} value{'s that are' if bad > 1 else ' that is'} not finite, the first "
            f"({flat[first]}) at [{place}]; expected finite numbers: the checkpoint is damaged or diverged"
        )
    return array


_PIECE = 1 << 20
