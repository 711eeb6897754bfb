"""The OpenCL backend: kernels as OpenCL C, and a C host program that needs no TVM where it runs."""

from __future__ import annotations

import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import tvm
from tvm import tirx
from tvm.target import Target as TvmTarget

from cosyn.codegen.errors import BackendError
from cosyn.codegen.opencl_host.program_c import program_c
from cosyn.codegen.program import Program
from cosyn.codegen.tvm.device_kernels import split_kernels
from cosyn.codegen.tvm.forms import NeutralForms
from cosyn.codegen.tvm.half_storage import half_as_storage
from cosyn.codegen.tvm.lower_group import LoweredGroup
from cosyn.codegen.tvm.schedule_gpu import schedule_gpu
from cosyn.targets.target import Target

_HOST_FILES = {
    "host.h": "host.h", "host.c": "host.c", "main.c": "main.c", "program.h": "program.h",
    "opencl_api.h": "opencl_api.h", "opencl_api.c": "opencl_api.c", "Makefile.artifact": "Makefile",
}  # fmt: skip
_DEFAULT_THREADS = 256
# TVM asks for half arithmetic in front of each kernel and declares all kernels there again.
_NOISE = re.compile(r"#ifdef cl_khr_fp16\n.*?#endif\n|^__kernel [^{\n]*;\n", re.DOTALL | re.MULTILINE)


class OpenClBackend:
    """Any OpenCL 1.2 device: 32-bit floats, half precision as storage, buffers instead of images."""

    def __init__(self, target: Target) -> None:
        self.forms = NeutralForms()
        self.threads = target.limits.max_threads or _DEFAULT_THREADS
        self.tvm_target = TvmTarget({"kind": "opencl", "max_num_threads": self.threads, "host": {"kind": "c"}})

    def check_tools(self) -> None:
        """None is needed: the artifact holds sources."""

    def schedule(self, lowered: LoweredGroup, seq: int | None) -> tirx.PrimFunc:
        """The simple GPU schedule."""
        return schedule_gpu(lowered.function, self.threads)

    def extra_kernels(self) -> dict[str, tirx.PrimFunc]:
        """None: the launch list holds the model alone."""
        return {}

    def build(self, program: Program, module: tvm.IRModule, folder: Path) -> dict[str, object]:
        """Write kernels.cl, program.c and the host's sources into `folder`."""
        scheduled = {str(var.name_hint): f for var, f in module.functions.items() if isinstance(f, tirx.PrimFunc)}
        split = split_kernels(scheduled, self.tvm_target)
        kernels = tvm.IRModule({var: half_as_storage(f) for var, f in split.module.functions.items()})
        (folder / "kernels.cl").write_text(opencl_source(kernels, self.tvm_target), encoding="utf-8")
        (folder / "program.c").write_text(program_c(program, split.functions), encoding="utf-8")
        with as_file(files("cosyn.codegen.opencl_host")) as host:
            for source, name in _HOST_FILES.items():
                shutil.copyfile(host / source, folder / name)
        return {
            "device": "opencl",
            "kernels": len(kernels.functions),
            "max_threads": self.threads,
            "run": "make && ./host . TOKEN… --max-new-tokens 64",
        }


def opencl_source(kernels: tvm.IRModule, target: TvmTarget) -> str:
    """OpenCL C for kernels without arithmetic on halves; BackendError if TVM's text is not as expected."""
    build = tvm.get_global_func("target.build.opencl")
    text = _NOISE.sub("", build(kernels, target).inspect_source())
    if "cl_khr_fp16" in text:
        raise BackendError("TVM's OpenCL code asks for cl_khr_fp16 in an unexpected form; compile with TVM 0.27")
    return re.sub(r"\n{2,}", "\n\n", text)
