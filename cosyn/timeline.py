"""Draws a profiled step: a line for each layer, a box for each launch, as long as it takes. SVG or PNG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from cosyn.pictures import colour, new_figure, save_figure
from cosyn.profile_report import title
from cosyn.step_profile import LaunchProfile, StepProfile

_LAYER = re.compile(r"\.(\d+)(?:\.|$)")
_LABELLED = 0.08
"""Share of the width from which a box has room for its kernel's name."""


def draw_timeline(profiles: Sequence[StepProfile], path: Path) -> None:
    """One panel for each step; the full colour is what the roofline asks for, the pale rest is lost."""
    tallest = max(len(_rows(p)) for p in profiles)
    figure, first = new_figure(1.5 + 8 * len(profiles), 1.6 + 0.26 * tallest)
    first.remove()
    panels = figure.subplots(1, len(profiles), squeeze=False)[0]
    for axes, profile in zip(panels, profiles, strict=True):
        _draw(axes, profile)
    kinds = dict.fromkeys(p.cost.kind for profile in profiles for p in profile.launches)
    handles = [Patch(color=colour(k), label=k) for k in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7)
    save_figure(figure, path)


def layer_name(layer: str) -> str:
    """The number of the layer that a launch belongs to; empty for the head and what else has none."""
    found = _LAYER.search(layer)
    return found[1] if found else ""


def _rows(profile: StepProfile) -> list[tuple[str, list[LaunchProfile]]]:
    """Launches by layer, in order."""
    return [(name, list(members)) for name, members in groupby(profile.launches, lambda p: layer_name(p.launch.layer))]


def _draw(axes: Axes, profile: StepProfile) -> None:
    rows = _rows(profile)
    longest = max(sum(p.seconds for p in members) for _, members in rows) * 1e6
    for y, (_, members) in enumerate(rows):
        begun = 0.0
        for p in members:
            taken, asked = p.seconds * 1e6, min(p.seconds, p.roofline_seconds) * 1e6
            shade = colour(p.cost.kind)
            axes.add_patch(Rectangle((begun, y - 0.4), taken, 0.8, fc=shade, alpha=0.35, lw=0))
            axes.add_patch(Rectangle((begun, y - 0.4), asked, 0.8, fc=shade, lw=0))
            axes.add_patch(Rectangle((begun, y - 0.4), taken, 0.8, fill=False, ec="white", lw=0.5))
            if taken > longest * _LABELLED:
                name = p.launch.kernel.removeprefix(f"{profile.entry}_")
                axes.text(begun + taken / 2, y, name, ha="center", va="center", fontsize=5, clip_on=True)
            begun += taken
    axes.set_yticks(range(len(rows)), [f"layer {name}" if name else "head" for name, _ in rows], fontsize=7)
    axes.set(xlim=(0, longest * 1.02), ylim=(len(rows) - 0.4, -0.6), xlabel="microseconds since the layer began")
    axes.set_title(
        f"{title(profile)}: {len(profile.launches)} launches, {profile.kernel_seconds * 1e3:.2f} ms "
        f"(the step at once {profile.step_seconds * 1e3:.2f} ms);\nfull colour: what the roofline asks for",
        fontsize=8,
    )
