"""The linker for another instruction set: what is looked for, and what is said where there is none."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from cosyn.codegen.errors import BackendError
from cosyn.codegen.tvm.cross_link import CrossLinker, cross_linker
from tests.aarch64 import missing
from tests.model.compiled import compile_folder

OTHER = "x86_64" if platform.machine() == "aarch64" else "aarch64"


def program(folder: Path, name: str, text: str = "exit 0") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_this_machine_links_for_itself() -> None:
    assert cross_linker(f"{platform.machine()}-linux-gnu") is None
    assert cross_linker(f"{OTHER}-linux-gnu") is not None


def test_gcc_comes_before_clang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "clang")
    with pytest.raises(BackendError):
        CrossLinker("aarch64-linux-gnu").command()
    program(tmp_path, "ld.lld")
    assert CrossLinker("aarch64-linux-gnu").command()[:2] == ["clang", "--target=aarch64-linux-gnu"]
    program(tmp_path, "aarch64-linux-gnu-gcc")
    assert CrossLinker("aarch64-linux-gnu").command() == ["aarch64-linux-gnu-gcc", "-shared"]


@pytest.mark.skipif(OTHER != "aarch64", reason="this machine is aarch64, whose own compiler links for it")
def test_a_missing_linker_is_named_before_the_model_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match=r"needs a linker for it.*Install aarch64-linux-gnu-gcc .*or clang and lld"):
        compile_folder(tmp_path / "no model", tmp_path / "out", target="cpu:aarch64")


def test_the_linker_s_words_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "aarch64-linux-gnu-gcc", "echo 'no space left' >&2; exit 1")
    with pytest.raises(BackendError, match="aarch64-linux-gnu-gcc cannot link for aarch64-linux-gnu: no space left"):
        CrossLinker("aarch64-linux-gnu")(str(tmp_path / "a.so"), [])


@pytest.mark.skipif(bool(missing()), reason=missing() or "aarch64 code runs here")
def test_a_library_of_the_right_machine_comes_out(tmp_path: Path) -> None:
    linker = cross_linker("aarch64-linux-gnu")
    if linker is None:
        pytest.skip("this machine links for itself")
    source = tmp_path / "f.c"
    source.write_text("int f(void) { return 7; }")
    linker(str(tmp_path / "f.so"), [str(source)], ["-fPIC"])
    header = (tmp_path / "f.so").read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == 183  # EM_AARCH64
