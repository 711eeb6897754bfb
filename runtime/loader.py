"""Opens an artifact: checks that it is whole and that this machine can run it, then loads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosyn.runtime.errors import HostError
from cosyn.runtime.host_cpu import check_features, check_machine
from cosyn.runtime.integrity import check_files
from cosyn.runtime.manifest import Manifest, read_manifest
from cosyn.runtime.opencl_executor import OpenClExecutor
from cosyn.runtime.vm_executor import VMExecutor


@dataclass(frozen=True, slots=True)
class Artifact:
    """A checked artifact folder."""

    folder: Path
    manifest: Manifest

    def file(self, name: str) -> Path | None:
        """The path of a listed file, None where the artifact has none: what is not listed was not checked."""
        return self.folder / name if name in self.manifest.files else None


def open_artifact(folder: Path | str) -> Artifact:
    """Check format version, every file's hash, the instruction set and the CPU features. ArtifactError, HostError."""
    path = Path(folder)
    manifest = read_manifest(path)
    check_machine(manifest.target.triple)
    check_features(manifest.target.features)
    check_files(path, manifest.files)
    return Artifact(path, manifest)


def load_executor(
    artifact: Artifact, *, threads: int | None = None, huge_pages: bool | None = None
) -> VMExecutor | OpenClExecutor:
    """The executor that this artifact needs; see `VMExecutor`. HostError, ArtifactError."""
    if artifact.manifest.target.device == "fpga":
        raise HostError(
            f"{artifact.folder} is for an accelerator, which this call does not connect to",
            "use cosyn run --engine sim or rtl; for a device give load() a `connect` that makes an FpgaExecutor",
        )
    if artifact.manifest.target.device == "opencl":
        return OpenClExecutor(artifact.folder, artifact.manifest)
    return VMExecutor(artifact.folder, artifact.manifest, threads=threads, huge_pages=huge_pages)
