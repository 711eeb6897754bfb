"""Where the choices that `cosyn tune` measured are kept on this machine, and when they hold."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from importlib.metadata import version
from pathlib import Path

from cosyn.codegen.tvm.choice_table import ChoiceTable, ChoiceTableError, Machine
from cosyn.errors import CommandError
from cosyn.runtime import host_cpu
from cosyn.runtime.tvm_library import THREADS_VARIABLE
from cosyn.targets import Target

FOLDER_VARIABLE = "COSYN_TUNE_CACHE"
_AGAIN = "measure again with `cosyn tune`, or delete the file"


def cache_folder() -> Path:
    """Where tables are kept: $COSYN_TUNE_CACHE, or cosyn/tune in the user's cache folder."""
    if own := os.environ.get(FOLDER_VARIABLE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cosyn" / "tune"


def default_threads() -> int:
    """Threads that an artifact runs with where nobody says how many."""
    named = os.environ.get(THREADS_VARIABLE, "")
    return int(named) if named.isdigit() and int(named) else host_cpu.physical_cores()


def machine_for(target: Target, threads: int | None = None) -> Machine | None:
    """This machine as it runs code for `target`; None where it cannot."""
    if target.kind != "cpu":
        return None
    from cosyn.codegen.tvm.cpu import CpuBackend
    from cosyn.codegen.tvm.cpu_target import required_features

    features = required_features(CpuBackend(target).tvm_target)
    if not set(features) <= host_cpu.features():
        return None
    return Machine(host_cpu.model_name(), features, threads or default_threads())


def cache_file(machine: Machine) -> Path:
    """The table of `machine` in the cache."""
    digest = hashlib.sha256(repr(machine).encode()).hexdigest()[:8]
    name = re.sub(r"[^a-z0-9]+", "-", machine.cpu.lower()).strip("-")
    return cache_folder() / f"{name}-{machine.threads}t-{digest}.json"


def read_choices(file: Path, machine: Machine | None) -> tuple[ChoiceTable, str]:
    """The table in `file`, and a warning where it is there but of no use on `machine`: it is then empty."""
    nothing = ChoiceTable(machine)
    try:
        table = ChoiceTable.from_json(file.read_text(encoding="utf-8"), version("cosyn"))
    except FileNotFoundError:
        return nothing, ""
    except OSError as error:
        return nothing, f"{file} cannot be read ({error.strerror}) and is not used"
    except (ChoiceTableError, UnicodeDecodeError) as error:
        return nothing, f"{file} is not used: {error}; {_AGAIN}"
    if table.machine != machine:
        assert table.machine is not None
        measured = f"{table.machine.cpu} with {table.machine.threads} threads"
        return nothing, f"{file} is not used: it was measured on another machine or target, {measured}; {_AGAIN}"
    return table, ""


def write_choices(file: Path, table: ChoiceTable) -> None:
    """Put `table` at `file`, whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(table.to_json(version("cosyn")))
            os.replace(name, file)
        except BaseException:  # Ctrl-C too
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        hint = f"give another place with -o FILE, or set {FOLDER_VARIABLE}"
        raise CommandError(f"cannot write {file}: {error.strerror}", hint) from error


def tuned_choices(target: Target, file: Path | None = None) -> tuple[ChoiceTable | None, str]:
    """What was measured for `target` on this machine, in `file` or the cache; None for nothing. And a warning."""
    machine = machine_for(target)
    if machine is None:
        return None, f"{file} is not used: this machine cannot run code for {target.name}" if file else ""
    table, warning = read_choices(file or cache_file(machine), machine)
    return (table if table.kernels else None), warning
