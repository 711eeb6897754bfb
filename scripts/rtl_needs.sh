#!/usr/bin/env bash
# The system packages that simulate the accelerator's RTL. What cannot be installed is named here.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/system_packages.sh

missing=()
for tool in iverilog make perl ccache; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
command -v clang++-16 >/dev/null || missing+=(clang-16)
if [ "${#missing[@]}" != 0 ]; then
  # clang-16 makes simulations run twice as fast as g++ 12 does; the two libraries are for waveforms.
  install_system_packages "simulators of the RTL" "${missing[@]}" zlib1g-dev liblz4-dev || true
fi
