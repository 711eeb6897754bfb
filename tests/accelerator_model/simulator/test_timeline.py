"""The picture and the trace of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosyn.accelerator_model.isa import Load, LoadTarget, Misc, Output
from cosyn.accelerator_model.presets import load_config
from cosyn.accelerator_model.simulator import RunResult
from cosyn.accelerator_model.simulator.timeline import chrome_trace, draw_timeline
from tests.accelerator_model.simulator.programs import Memory, in_sequence, run

TINY = load_config("tiny")


@pytest.fixture(scope="module")
def result() -> RunResult:
    load = Load(target=LoadTarget.VECTOR, length=4)
    misc = Misc(columns=16, output=Output.VECTOR, destination=100)
    return run(TINY, [in_sequence(load, misc)], [Memory(TINY)])


def test_the_trace_has_every_instruction_at_its_time(result: RunResult) -> None:
    events = json.loads(chrome_trace(result, TINY.clock_hz))["traceEvents"]
    spans = {event["name"]: event for event in events if event["ph"] == "X"}
    assert list(spans) == ["LD", "MISC", "SYS"]
    assert spans["MISC"]["ts"] == pytest.approx(spans["MISC"]["args"]["start_cycle"] / 225)
    assert spans["LD"]["ts"] + spans["LD"]["dur"] <= spans["MISC"]["ts"]
    assert {event["args"]["name"] for event in events if event["name"] == "thread_name"} >= {"LD", "MISC"}


def test_the_picture_is_drawn(result: RunResult, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "run.png"
    draw_timeline(result, path, first=0, last=200)
    assert path.read_bytes().startswith(b"\x89PNG")
