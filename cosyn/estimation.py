"""What a model would cost on a target, from its configuration alone: the result, and which path finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from cosyn.errors import CommandError


@dataclass(frozen=True, slots=True)
class Workload:
    """A prompt, then tokens one by one. `context`: tokens cached when one is decoded; None: as many as there are."""

    prompt_tokens: int
    new_tokens: int
    context: int | None = None

    def contexts(self) -> tuple[int, ...]:
        """Contexts at which a decoded token is estimated: the given one, or up to nine from first to last."""
        if self.context is not None:
            return (self.context,)
        steps = min(self.new_tokens, 9)
        last = self.prompt_tokens + self.new_tokens - 1
        if steps == 1:
            return (self.prompt_tokens,)
        width = last - self.prompt_tokens
        return tuple(self.prompt_tokens + round(width * i / (steps - 1)) for i in range(steps))

    @property
    def longest(self) -> int:
        """Positions that must fit the cache."""
        return max(self.prompt_tokens + self.new_tokens, (self.context or 0) + 1)


@dataclass(frozen=True, slots=True)
class LayerEstimate:
    """One decoder layer, or what is outside of them, in a decoded token: its time, and what that time is spent on."""

    name: str
    seconds: float
    bound: str
    terms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The answer. `problems`: why it does not fit; `terms`: named parts of a decoded token; None where not stated."""

    target: str
    prefill_seconds: float
    decode_seconds_per_token: float
    energy_joules_per_token: float | None
    fits: bool
    problems: tuple[str, ...]
    layers: tuple[LayerEstimate, ...]
    terms: dict[str, float] = field(default_factory=dict)
    energy: dict[str, float] = field(default_factory=dict)
    resources: dict[str, dict[str, float]] = field(default_factory=dict)
    bandwidth_share: float | None = None
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain data for `--json`."""
        return {**asdict(self), "decode_tokens_per_second": 1 / self.decode_seconds_per_token}


def is_accelerator(target: str) -> bool:
    """Whether `target` names an accelerator configuration: `fpga:NAME`, or a YAML file that describes one."""
    if target.startswith("fpga:"):
        return True
    path = Path(target)
    if path.suffix not in (".yaml", ".yml"):
        return False
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(data, dict) and "chain_length" in data


def check_workload(workload: Workload, max_seq: int) -> None:
    """CommandError where the model was not made for that many positions."""
    if workload.longest > max_seq:
        raise CommandError(
            f"{workload.longest} tokens exceed the {max_seq} positions that the model was made for",
            "give fewer --prompt-tokens, --new-tokens or --context",
        )


def bound_of(terms: dict[str, float], seconds: float) -> str:
    """The largest of the overlapping terms where it explains nine tenths of the time; else what they wait for."""
    name = max(terms, key=lambda n: terms[n])
    return name if terms[name] >= 0.9 * seconds else f"dependencies ({name} {terms[name] / seconds:.0%})"


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)
