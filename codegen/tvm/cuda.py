"""The CUDA backend: kernels as machine code for one chip, in the library that TVM's virtual machine runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import tvm
from tvm import tirx
from tvm.target import Target as TvmTarget

from cosyn.codegen.program import Program
from cosyn.codegen.tvm.cuda_compile import (
    Cubin,
    compile_cubin,
    cuda_module,
    find_nvcc,
    imports_with_cubin,
    modules_as_source,
)
from cosyn.codegen.tvm.forms import NeutralForms
from cosyn.codegen.tvm.lower_group import LoweredGroup
from cosyn.codegen.tvm.relax_module import LOWERING
from cosyn.codegen.tvm.schedule_gpu import schedule_gpu
from cosyn.targets.target import Target

LIBRARY = "model.so"
_HOST = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64"}
"""Host code only launches kernels, so it asks no more of the CPU than every one of them has."""
_THREADS = 256


class CudaBackend:
    """NVIDIA GPUs, by compute capability (`arch: sm_90a`). Needs nvcc, and neither a GPU nor its driver."""

    def __init__(self, target: Target) -> None:
        self.arch = target.arch
        self.forms = NeutralForms()
        self.tvm_target = TvmTarget({"kind": "cuda", "arch": target.arch, "host": _HOST})

    def check_tools(self) -> None:
        """nvcc."""
        find_nvcc()

    def schedule(self, lowered: LoweredGroup, seq: int | None) -> tirx.PrimFunc:
        """The simple GPU schedule."""
        return schedule_gpu(lowered.function, _THREADS)

    def extra_kernels(self) -> dict[str, tirx.PrimFunc]:
        """None."""
        return {}

    def build(self, program: Program, module: tvm.IRModule, folder: Path) -> dict[str, object]:
        """Compile `module` into `folder/model.so`, with the CUDA C beside it as `kernels.cu`, for people."""
        with modules_as_source():
            library = tvm.compile(module, self.tvm_target, relax_pipeline=LOWERING)
        source = cuda_module(library.mod).inspect_source("cuda")
        cubin = compile_cubin(source, self.arch)
        (folder / "kernels.cu").write_text(source, encoding="utf-8")

        def pack(root: Any, _is_system_lib: bool, _prefix: str, workspace: str) -> str:
            return str(_as_source(imports_with_cubin(root, cubin), Path(workspace)))

        library.export_library(str(folder / LIBRARY), fpack_imports=pack)
        return {
            "device": "cuda",
            "arch": self.arch,
            "compiler": cubin.compiler,
            "cubin_bytes": len(cubin.code),
            "kernels": kernel_report(cubin),
        }


def kernel_report(cubin: Cubin) -> dict[str, dict[str, int]]:
    """Kernel → registers per thread and bytes of spills, stack and shared memory, for the manifest."""
    return {name: asdict(usage) for name, usage in sorted(cubin.usage.items())}


def _as_source(blob: bytes, workspace: Path) -> Path:
    """A source with `blob` under the name by which TVM's loader looks for it; C and C++ compilers take it."""
    path = workspace / "imports.c"
    rows = ",\n".join(",".join(map(str, blob[i : i + 32])) for i in range(0, len(blob), 32))
    path.write_text(
        # In C++ a constant is local to its file unless it was declared otherwise.
        '#ifdef __cplusplus\nextern "C"\n#else\nextern\n#endif\n'
        f"const unsigned char __tvm_ffi__library_bin[{len(blob)}];\n"
        f"const unsigned char __tvm_ffi__library_bin[{len(blob)}] = {{\n{rows}\n}};\n",
        encoding="ascii",
    )
    return path
