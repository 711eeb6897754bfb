#!/usr/bin/env bash
# What runs aarch64 artifacts on another machine: qemu, a linker, and in build/aarch64 an aarch64 Python with cosyn's
# runtime dependencies. What cannot be had is named here, and its tests report a skip.
#
# Only qemu and the linker are installed into the system. The Python is unpacked from Debian's packages by an apt with
# lists of its own, so that this machine's package database never hears of aarch64.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/system_packages.sh

[ "$(uname -m)" != aarch64 ] || exit 0
python=${VENV:-.venv}/bin/python
folder=$PWD/build/aarch64

missing=()
command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
command -v aarch64-linux-gnu-gcc >/dev/null || missing+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
if [ "${#missing[@]}" != 0 ]; then
  install_system_packages "emulator and linker for aarch64" "${missing[@]}" || exit 0
fi

wanted=$({ cat constraints.txt; cat "$0"; } | sha256sum | cut -d' ' -f1)
[ "$(cat "$folder/stamp" 2>/dev/null)" != "$wanted" ] || exit 0
fail() { echo "missing: an aarch64 Python, for tests of aarch64 artifacts: $1" >&2; exit 0; }
command -v apt-get >/dev/null || fail "it is unpacked from Debian packages, and there is no apt-get"

echo "environment: unpacking an aarch64 Python into build/aarch64" >&2
rm -rf "$folder"
mkdir -p "$folder"/{root,site,lib,apt/lists/partial,apt/archives/partial}
cat > "$folder/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
Dir::State::Lists "$folder/apt/lists";
Dir::State::status "/dev/null";
Dir::Cache::Archives "$folder/apt/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Debug::NoLocking "1";
APT::Sandbox::User "";
EOF
export APT_CONFIG=$folder/apt.conf
{ apt-get update -qq && apt-get install -qq -y --download-only --no-install-recommends \
  python3-minimal libpython3-stdlib libstdc++6; } >&2 || fail "apt-get found no packages of arm64"
for package in "$folder"/apt/archives/*.deb; do
  dpkg-deb -x "$package" "$folder/root"
done
rm -rf "$folder/apt"

# Wheels of the same versions as this machine's.
number=$(basename "$(readlink -f "$folder/root/usr/bin/python3")" | tr -d python)
pinned() { grep -iE "^($1)==" constraints.txt; }
pip=("$python" -m pip --disable-pip-version-check -q)
options=(--no-deps --only-binary=:all: --python-version "$number"
  --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64)
# shellcheck disable=SC2046  # one word per package
"${pip[@]}" install "${options[@]}" --target "$folder/site" \
  $(pinned 'numpy|apache-tvm-ffi|tokenizers|jinja2|markupsafe|typing_extensions') >&2 || fail "pip found no wheels"
# Of the compiler's wheel only its runtime library: 3 of 300 MB.
"${pip[@]}" download "${options[@]}" --dest "$folder/lib" "$(pinned apache-tvm)" >&2 || fail "pip found no TVM"
"$python" - "$folder/lib" <<'EOF'
import pathlib, sys, zipfile

folder = pathlib.Path(sys.argv[1])
(wheel,) = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    (folder / "libtvm_runtime.so").write_bytes(archive.read("tvm/lib/libtvm_runtime.so"))
wheel.unlink()
EOF
echo "$wanted" > "$folder/stamp"
