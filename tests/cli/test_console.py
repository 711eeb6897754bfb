"""Progress and results: what goes where."""

from __future__ import annotations

import json

import pytest

from cosyn.console import Console, table


def test_steps_are_lines_with_times_on_stderr(capsys) -> None:
    with Console().steps() as steps:
        steps.step(1, 2, "import")
        steps.step(2, 2, "write")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split()[:2] for line in lines] == [["[1/2]", "import"], ["[2/2]", "write"]]
    assert all(line.endswith(" s") for line in lines)
    assert list(steps.seconds) == ["import", "write"]


def test_a_failed_step_is_named(capsys) -> None:
    def work() -> None:
        with Console().steps() as steps:
            steps.step(1, 9, "import")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work()
    assert capsys.readouterr().err.rstrip().endswith("stopped here")


def test_quiet_says_nothing(capsys) -> None:
    console = Console(quiet=True)
    with console.steps() as steps:
        steps.step(1, 1, "import")
    console.log("x")
    console.found("y", "--z")
    assert capsys.readouterr().err == ""


def test_json_is_one_line_and_lines_are_not_printed(capsys) -> None:
    Console(as_json=True).result({"text": "é\n"}, ["for readers"])
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"text": "é\n"}


def test_no_colour_codes_in_a_pipe(capsys, monkeypatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    from cosyn.errors import Failure

    Console().failure(Failure("[red]bad[/red]", "do", 1))
    assert capsys.readouterr().err == "error: [red]bad[/red]\nhint: do\n"


def test_table_aligns_columns() -> None:
    assert table(("A", "B"), [("xx", "y")]) == ["A   B", "xx  y"]
