"""Whether this machine has an OpenCL driver, asked in the way of the generated host."""

from __future__ import annotations

import ctypes
import os


def missing_driver() -> str:
    """Why OpenCL kernels cannot run here; empty where they can."""
    name = os.environ.get("COSYN_OPENCL_LIBRARY", "libOpenCL.so.1")
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return f"needs an OpenCL driver, and there is no {name}: apt-get install pocl-opencl-icd ocl-icd-libopencl1"
    platforms = ctypes.c_uint32()
    if library.clGetPlatformIDs(0, None, ctypes.byref(platforms)) or not platforms.value:
        return f"needs an OpenCL driver, and {name} knows none: apt-get install pocl-opencl-icd"
    return ""
