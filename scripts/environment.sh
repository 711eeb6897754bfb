#!/usr/bin/env bash
# Makes the Python environment that the Makefile's targets use, or finds that it is already right.
#
#   scripts/environment.sh EXTRAS     EXTRAS: compile, or compile,rtl,test (see pyproject.toml)
#
# VENV    where it goes; default .venv
# PYTHON  the Python to use; default: the first of python3.11 … python3.14 and python3 that is 3.11 or newer
# pip's own variables apply, such as PIP_INDEX_URL and PIP_EXTRA_INDEX_URL (a CPU build of torch, a mirror).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/system_packages.sh

extras=$1
venv=${VENV:-.venv}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3.14 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: cosyn needs Python 3.11 or newer; found: $(python3 --version 2>&1 || echo none)" >&2
  echo "hint: install it (Debian, Ubuntu: apt install python3 python3-venv), or name one: make demo PYTHON=/path/to/python3.11" >&2
  exit 1
}

python=$(find_python)
stamp=$venv/.cosyn-$extras
wanted=$({ cat pyproject.toml constraints.txt; "$python" --version; pwd; } | sha256sum | cut -d' ' -f1)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
  exit 0
fi

begun=$SECONDS
"$python" -c 'import venv, ensurepip' 2>/dev/null || install_system_packages "venv module of Python" \
  "$("$python" -c 'import sys; print(f"python3.{sys.version_info[1]}-venv")')"
echo "environment: making $venv with $("$python" --version)" >&2
"$python" -m venv "$venv"
if [ -z "${PIP_EXTRA_INDEX_URL:-}${PIP_INDEX_URL:-}${PIP_FIND_LINKS:-}" ]; then
  echo "environment: on Linux, torch may arrive as its CUDA build (several GB). For the small CPU build, stop, set" >&2
  echo "environment: PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels (see PyTorch's 'Get started' page), and repeat." >&2
fi
echo "environment: installing cosyn[$extras] with the versions in constraints.txt" >&2
"$venv/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt setuptools
"$venv/bin/python" -m pip install -qq --disable-pip-version-check -c constraints.txt \
  --no-build-isolation -e ".[$extras]"
echo "$wanted" > "$stamp"
echo "environment: ready after $((SECONDS - begun)) s" >&2
