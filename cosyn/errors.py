"""How a failure becomes the two lines and the exit code that a user meets."""

from __future__ import annotations

import errno
from dataclasses import asdict, dataclass

from cosyn.ir.errors import REQUEST_WRONG, WORK_FAILED, CosynError

# Packages that only compiling needs: an installation that runs artifacts may lack them.
_COMPILE_EXTRA = (
    "torch",
    "transformers",
    "safetensors",
    "sympy",
    "networkx",
    "scipy",
    "ml_dtypes",
    "matplotlib",
)


class CommandError(CosynError):
    """What a verb cannot do; `hint` says what to do. Exit code 2 unless told: the request was wrong."""

    def __init__(self, message: str, hint: str = "", exit_code: int = REQUEST_WRONG) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Failure:
    """What is shown of a failure: `error: …`, `hint: …`, and the exit code."""

    error: str
    hint: str
    exit_code: int

    def as_json(self) -> dict[str, object]:
        """The object that `--json` prints in place of a result."""
        return asdict(self)


def describe(error: BaseException) -> Failure:
    """The failure that `error` is.

    Exceptions with an `exit_code` speak for themselves (`hint` is optional); interruption, a missing package,
    a full disk and other trouble with files get a sentence; all else is a fault of cosyn and says so.
    """
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return Failure(str(error), str(getattr(error, "hint", "") or ""), code)
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted; nothing half-written is left behind", "", WORK_FAILED)
    if isinstance(error, ModuleNotFoundError) and error.name in _COMPILE_EXTRA:
        message = f"this needs the Python package {error.name}, which is not installed"
        return Failure(message, "pip install 'cosyn[compile]'", WORK_FAILED)
    if isinstance(error, OSError):
        return _file_trouble(error)
    if isinstance(error, MemoryError):
        return Failure("not enough memory", "`cosyn doctor` shows how much there is", WORK_FAILED)
    text = " ".join(str(error).split()) or "no message"
    hint = "this is a fault of cosyn; the same command with -v shows where"
    return Failure(f"internal fault: {type(error).__name__}: {text}", hint, WORK_FAILED)


def _file_trouble(error: OSError) -> Failure:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        hint = "free some space, or write to another disk with -o DIR"
        return Failure(f"{where}no space left on the disk; nothing half-written is left behind", hint, WORK_FAILED)
    if isinstance(error, FileNotFoundError):
        return Failure(f"{where}no such file or folder", "check the path", REQUEST_WRONG)
    if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError):
        # The path that was given is another kind of thing than what was asked for.
        return Failure(f"{where}{error.strerror or error}", "check the path", REQUEST_WRONG)
    return Failure(f"{where}{error.strerror or error}", "", WORK_FAILED)
