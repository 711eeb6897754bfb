"""Writes the artifact: one folder that holds all a device needs, complete or not there at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cosyn.codegen.errors import ArtifactWriteError
from cosyn.runtime.integrity import record_file, seal_manifest

_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "generation_config.json", "chat_template.jinja",
)  # fmt: skip

_SCRATCH_BYTES = 32 << 20
"""More than the object files of a model take."""


@contextmanager
def staged_folder(output: Path) -> Iterator[Path]:
    """A temporary folder beside `output` that takes its place when the block ends, and vanishes where it fails.

    Raises ArtifactWriteError for a full disk or a place that cannot be written. An artifact that lay at `output`
    stays until the new one is complete.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        raise ArtifactWriteError(f"cannot create a folder beside {output}: {error.strerror}") from error
    try:
        yield staging
        staging.chmod(0o755)
        _replace(staging, output)
    except OSError as error:
        raise _write_error(error, output) from error
    except RuntimeError as error:
        # How TVM reports a linker that ran out of space.
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise _write_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), output) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_scratch_room() -> None:
    """ArtifactWriteError where the folder for temporary files is too full for object files.

    LLVM ends the whole process, without an exception, where it cannot write one: so look before.
    """
    scratch = Path(tempfile.gettempdir())
    free = shutil.disk_usage(scratch).free
    if free < _SCRATCH_BYTES:
        raise ArtifactWriteError(
            f"the folder for temporary files, {scratch}, has {free / 2**20:.1f} MiB free; "
            f"expected at least {_SCRATCH_BYTES >> 20} MiB. Free some space, or set TMPDIR to another folder"
        )


def _write_error(error: OSError, output: Path) -> ArtifactWriteError:
    if error.errno == errno.ENOSPC:
        free = shutil.disk_usage(output.parent).free
        return ArtifactWriteError(
            f"the disk is full while writing {output} ({free / 2**20:.0f} MiB free); nothing was left behind. "
            "Free some space, or give a folder on another disk with -o"
        )
    return ArtifactWriteError(f"cannot write {output}: {error.strerror or error}; nothing was left behind")


def _replace(staging: Path, output: Path) -> None:
    """Put `staging` where `output` is; an older artifact moves aside first and goes when the new one is in place."""
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if not output.exists():
        staging.rename(output)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{output.name}.old.", dir=output.parent))
    output.rename(old / "artifact")
    try:
        staging.rename(output)
    except BaseException:  # Ctrl-C too: the older artifact goes back
        (old / "artifact").rename(output)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def copy_tokenizer(source: Path | None, folder: Path) -> None:
    """Copy what turns text into tokens and back, as far as the model folder has it."""
    if source is None:
        return
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def write_manifest(folder: Path, manifest: dict[str, object]) -> None:
    """Hash every file of `folder` and write manifest.json, the last file of an artifact."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files = {name: record_file(folder / name).to_json() for name in names}
    (folder / "manifest.json").write_bytes(seal_manifest({**manifest, "files": files}))
