"""A profile as text, as JSON, and as a trace that browsers' trace viewers open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosyn.console import table
from cosyn.step_profile import LaunchProfile, StepProfile


@dataclass(frozen=True, slots=True)
class KernelProfile:
    """All launches of one kernel, added up."""

    kernel: str
    kind: str
    launches: int
    seconds: float
    roofline_seconds: float
    lost: float
    nbytes: int
    ops: int
    bound: str

    @property
    def rate(self) -> str:
        """What it reaches of the resource that binds it."""
        if self.bound == "compute":
            return f"{self.ops / self.seconds / 1e9:.1f} GFLOP/s"
        return f"{self.nbytes / self.seconds / 1e9:.1f} GB/s"


def kernels(profile: StepProfile) -> list[KernelProfile]:
    """Kernels of a step, the one that loses most time first."""
    groups: dict[str, list[LaunchProfile]] = {}
    for launch in profile.launches:
        groups.setdefault(launch.launch.kernel, []).append(launch)
    found = [_added(name, members) for name, members in groups.items()]
    return sorted(found, key=lambda k: k.lost, reverse=True)


def _added(name: str, members: Sequence[LaunchProfile]) -> KernelProfile:
    return KernelProfile(
        name, members[0].cost.kind, len(members), sum(m.seconds for m in members),
        sum(m.roofline_seconds for m in members), sum(m.lost for m in members), sum(m.cost.nbytes for m in members),
        sum(m.cost.ops for m in members), members[0].bound,
    )  # fmt: skip


def lines(profile: StepProfile) -> Iterator[str]:
    """The table of kernels, and how they add up to the step."""
    yield f"{title(profile)}: {len(profile.launches)} launches of {len(kernels(profile))} kernels, worst first"
    header = ("KERNEL", "LAUNCHES", "MS", "OF STEP", "US EACH", "MB", "RATE", "BOUND", "OF ROOFLINE", "LOST MS")
    yield from table(header, [_cells(k, profile.kernel_seconds) for k in kernels(profile)])
    total, step = profile.kernel_seconds, profile.step_seconds
    yield (
        f"kernels one by one {total * 1e3:.3f} ms, the step at once {step * 1e3:.3f} ms "
        f"({(step - total) * 1e6 / len(profile.launches):+.2f} us per launch), "
        f"roofline {profile.roofline_seconds * 1e3:.3f} ms = {profile.roofline_seconds / step:.1%} of the step"
    )
    yield f"peaks: {profile.peaks}"


def _cells(kernel: KernelProfile, total: float) -> tuple[str, ...]:
    return (
        kernel.kernel, str(kernel.launches), f"{kernel.seconds * 1e3:.3f}", f"{kernel.seconds / total:.1%}",
        f"{kernel.seconds / kernel.launches * 1e6:.1f}", f"{kernel.nbytes / 1e6:.2f}", kernel.rate, kernel.bound,
        f"{kernel.roofline_seconds / kernel.seconds:.1%}", f"{kernel.lost * 1e3:.3f}",
    )  # fmt: skip


def title(profile: StepProfile) -> str:
    """What was profiled."""
    count = f"{profile.tokens} token{'s' * (profile.tokens > 1)}"
    return f"{profile.entry} of {count} after {profile.context}"


def data(profile: StepProfile) -> dict[str, object]:
    """The profile for `--json`: kernels worst first, launches in order; seconds, bytes and operations."""
    return {
        "entry": profile.entry,
        "tokens": profile.tokens,
        "context": profile.context,
        "step_seconds": profile.step_seconds,
        "kernel_seconds": profile.kernel_seconds,
        "roofline_seconds": profile.roofline_seconds,
        "peaks": {
            "bytes_per_second": profile.peaks.bytes_per_second,
            "ops_per_second": {p: profile.peaks.ops_per_second(p) for p in ("f32", "bf16", "i8")},
        },
        "kernels": [
            {
                "kernel": k.kernel, "kind": k.kind, "launches": k.launches, "seconds": k.seconds, "bytes": k.nbytes,
                "ops": k.ops, "bound": k.bound, "roofline_seconds": k.roofline_seconds, "lost_seconds": k.lost,
            }
            for k in kernels(profile)
        ],
        "launches": [_launch(p) for p in profile.launches],
    }  # fmt: skip


def _launch(profile: LaunchProfile) -> dict[str, object]:
    cost = profile.cost
    return {
        "kernel": profile.launch.kernel, "group": profile.launch.group, "layer": profile.launch.layer,
        "seconds": profile.seconds, "weight_bytes": cost.weight_bytes, "state_bytes": cost.state_bytes,
        "value_bytes": cost.value_bytes, "ops": cost.ops, "precision": cost.precision, "bound": profile.bound,
        "roofline_seconds": profile.roofline_seconds,
    }  # fmt: skip


def write_trace(profiles: Sequence[StepProfile], path: Path) -> None:
    """The launches end to end in Chrome's trace event format: a process per step, times in microseconds."""
    events: list[dict[str, object]] = []
    for number, profile in enumerate(profiles, start=1):
        events.append({"name": "process_name", "ph": "M", "pid": number, "args": {"name": title(profile)}})
        begun = 0.0
        for p in profile.launches:
            events.append(
                {
                    "name": p.launch.kernel, "cat": p.cost.kind, "ph": "X", "pid": number, "tid": 0, "ts": begun * 1e6,
                    "dur": p.seconds * 1e6, "args": _launch(p),
                }
            )  # fmt: skip
            begun += p.seconds
    path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}), encoding="utf-8")
