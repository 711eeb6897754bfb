#!/usr/bin/env bash
# The engines that `make bench` measures beside cosyn, in an environment of their own: their pins conflict with ours.
# What cannot be installed is named here; the benchmark then reports it as absent and measures the rest.
#
# PEERS   where it goes; default build/peers
# PYTHON  the Python to use; default: python3
set -euo pipefail
cd "$(dirname "$0")/.."

peers=${PEERS:-build/peers}
requirements=benchmarks/cpu/peers.txt
stamp=$peers/.cosyn-peers
wanted=$(sha256sum "$requirements" | cut -d' ' -f1)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
  exit 0
fi

begun=$SECONDS
[ -x "$peers/bin/python" ] || "${PYTHON:-python3}" -m venv "$peers"
echo "peers: installing into $peers; llama.cpp is compiled for this CPU, which takes about ten minutes" >&2
complete=yes
for names in "llama-cpp-python gguf" "openvino openvino-genai openvino-tokenizers nncf optimum-intel"; do
  # shellcheck disable=SC2086
  if ! CMAKE_ARGS="-DGGML_NATIVE=ON ${CMAKE_ARGS:-}" "$peers/bin/python" -m pip install -q --disable-pip-version-check \
    -c "$requirements" $names; then
    echo "missing: $names could not be installed; measured without" >&2
    complete=no
  fi
done
if [ "$complete" = yes ]; then
  echo "$wanted" > "$stamp"
  echo "peers: ready after $((SECONDS - begun)) s" >&2
fi
