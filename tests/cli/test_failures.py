"""What becomes of exceptions: two lines, an exit code, and never a trace unless asked."""

from __future__ import annotations

import errno

import pytest

from cosyn import cli
from cosyn.errors import CommandError, describe


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (CommandError("wrong", "do this"), "wrong", 2),
        (CommandError("failed", "", 1), "failed", 1),
        (KeyboardInterrupt(), "interrupted; nothing half-written is left behind", 1),
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), "out/x: no space left on the disk", 1),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out: Permission denied", 1),
        (FileNotFoundError(errno.ENOENT, "No such file", "t.txt"), "t.txt: no such file or folder", 2),
        (MemoryError(), "not enough memory", 1),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "this needs the Python package torch",
            1,
        ),
        (ZeroDivisionError("division by zero"), "internal fault: ZeroDivisionError: division by zero", 1),
    ],
)
def test_descriptions(error: BaseException, text: str, code: int) -> None:
    failure = describe(error)
    assert failure.error.startswith(text)
    assert failure.exit_code == code


@pytest.fixture
def failing(monkeypatch):
    """Makes `cosyn doctor` raise the given exception."""

    def install(error: BaseException) -> None:
        def checks():
            raise error

        monkeypatch.setattr("cosyn.commands.doctor.checks", checks)

    return install


def test_an_interruption_says_so_and_fails(cosyn, failing) -> None:
    failing(KeyboardInterrupt())
    done = cosyn("doctor")
    assert done.code == 1
    assert done.err == "error: interrupted; nothing half-written is left behind\n"


def test_a_fault_has_a_trace_only_on_request(cosyn, failing) -> None:
    failing(ZeroDivisionError("division by zero"))
    plain, verbose = cosyn("doctor"), cosyn("doctor", "-v")
    assert plain.code == verbose.code == 1
    assert "Traceback" not in plain.err
    assert "with -v shows where" in plain.err
    assert "Traceback" in verbose.err


def test_a_reader_that_leaves_is_no_error(cosyn, failing, monkeypatch) -> None:
    failing(BrokenPipeError())
    monkeypatch.setattr(cli, "_discard_stdout", lambda: None)
    done = cosyn("doctor")
    assert done.code == 1
    assert done.err == ""
