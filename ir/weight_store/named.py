"""A checkpoint under the names of the model's parameters; tensors that the model keeps fused are joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cosyn.ir.errors import WeightError
from cosyn.ir.types import TensorType
from cosyn.ir.weights import Array, WeightStore, check_finite, missing


@dataclass(frozen=True, slots=True)
class TensorParts:
    """How one parameter lies in a checkpoint.

    `groups` are lists of checkpoint names. `stacked`: the tensors of each group are stacked along a new first
    axis (one per expert). Then the groups are joined along `axis`.
    """

    groups: tuple[tuple[str, ...], ...]
    stacked: bool = False
    axis: int = 0

    @property
    def single(self) -> str | None:
        """The checkpoint name where the parameter is one tensor as it is."""
        return self.groups[0][0] if len(self.groups) == 1 and len(self.groups[0]) == 1 and not self.stacked else None


@dataclass(frozen=True)
class NamedWeights:
    """A weight store by parameter names. The first `load` of a tensor checks that it is finite."""

    checkpoint: WeightStore
    parts: Mapping[str, TensorParts]
    _checked: set[str] = field(default_factory=set, compare=False)

    def keys(self) -> Iterable[str]:
        return self.parts.keys()

    def type(self, key: str) -> TensorType:
        parts = self._parts(key)
        if parts.single:
            return self.checkpoint.type(parts.single)
        shapes = []
        dtypes = set()
        for group in parts.groups:
            types = [self.checkpoint.type(name) for name in group]
            if len({t.shape for t in types}) != 1:
                raise WeightError(f"the parts of {key} differ in shape: {', '.join(map(str, types))}")
            dtypes |= {t.dtype for t in types}
            shapes.append([len(group), *types[0].shape] if parts.stacked else list(types[0].shape))
        if len(dtypes) != 1:
            raise WeightError(f"the parts of {key} differ in element type: {sorted(d.value for d in dtypes)}")
        joined = list(shapes[0])
        joined[parts.axis] = sum(int(s[parts.axis]) for s in shapes)
        return TensorType(tuple(joined), dtypes.pop())

    def load(self, key: str) -> Array:
        parts = self._parts(key)
        whole = parts.single
        array = self.checkpoint.load(whole) if whole else self._joined(parts, self.type(key))
        if key not in self._checked:
            check_finite(key, array)
            self._checked.add(key)
        return array

    def _joined(self, parts: TensorParts, declared: TensorType) -> Array:
        # Filled in place: fused experts of a large model take gigabytes.
        out = np.empty([int(d) for d in declared.shape], declared.dtype.numpy)
        start = 0
        for group in parts.groups:
            first = self.checkpoint.type(group[0]).shape
            extent = int(([len(group), *first] if parts.stacked else list(first))[parts.axis])
            place = np.moveaxis(out, parts.axis, 0)[start : start + extent]
            window = np.moveaxis(place, 0, parts.axis)
            if parts.stacked:
                for i, name in enumerate(group):
                    window[i] = self.checkpoint.load(name)
            else:
                window[...] = self.checkpoint.load(group[0])
            start += extent
        return out

    def _parts(self, key: str) -> TensorParts:
        if key not in self.parts:
            raise missing(key, self.parts)
        return self.parts[key]
