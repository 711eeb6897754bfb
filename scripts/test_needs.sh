#!/usr/bin/env bash
# The system packages that the tests need. What cannot be installed is named here, and its tests report a skip.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/system_packages.sh

command -v g++ >/dev/null ||
  install_system_packages "C++ compiler, for the C++ example" g++ || true
compgen -G '/etc/OpenCL/vendors/*.icd' >/dev/null ||
  install_system_packages "OpenCL driver for CPUs, for --target opencl:generic" pocl-opencl-icd ocl-icd-libopencl1 || true
command -v nvcc >/dev/null ||
  echo "missing: nvcc, for --target cuda:…; it comes with the CUDA toolkit, and needs no GPU" >&2
scripts/aarch64_needs.sh
scripts/rtl_needs.sh
