"""What else a user gets wrong or meets: unusable paths, a full disk, Ctrl-C at any moment."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from refusals import QUICK, refused

from cosyn.cli import main


@pytest.fixture(scope="module")
def tiny_artifact(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model compiled without a tokenizer."""
    folder = tmp_path_factory.mktemp("artifacts") / "tiny"
    assert main(["compile", str(tiny_model), "-o", str(folder), *QUICK]) == 0
    return folder


# Paths.


def test_a_file_that_is_no_configuration(cosyn, tmp_path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    assert "model.bin is neither a model folder nor a config.json" in refused(
        cosyn, tmp_path / "out", 2, tmp_path / "model.bin"
    )


@pytest.mark.parametrize("option", ["--dump-ir", "--output"])
def test_a_file_where_a_folder_should_be(cosyn, tiny_model, tmp_path, option: str) -> None:
    (tmp_path / "file").write_text("mine")
    error = refused(cosyn, tmp_path / "out", 2, tiny_model, option, tmp_path / "file")
    assert str(tmp_path / "file") in error
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_below_a_file(cosyn, tiny_model, tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    done = cosyn("compile", tiny_model, "-o", tmp_path / "file" / "out", *QUICK)
    assert done.code == 1
    assert "cannot create a folder beside" in done.err


def test_an_output_with_spaces_and_other_scripts(cosyn, tiny_model, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cosyn("compile", tiny_model, "-o", "mit Leerzeichen/模型", *QUICK).code == 0
    moved = tmp_path / "elsewhere"
    shutil.move("mit Leerzeichen/模型", moved)
    assert cosyn("verify", moved, "--prompt-tokens", 3).code == 0


# Block masks.


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"mask": np.ones((5, 4, 4), bool), "block": 16}, "the block mask has 5 heads"),
        ({"mask": np.ones((6, 1, 1), bool), "block": 4}, "covers 1 blocks of 4, 4 in all; expected at least"),
        ({"mask": np.ones((6, 2, 3), bool), "block": 4}, "`mask` is bool[6, 2, 3]"),
        ({"mask": np.ones((6, 2, 2)), "block": 4}, "`mask` is float64[6, 2, 2]"),
        ({"mask": np.ones((6, 2, 2), bool)}, "found ['mask']"),
        ({"mask": np.ones((6, 2, 2), bool), "block": 0}, "`block` is"),
    ],
)
def test_block_masks_that_do_not_fit(cosyn, tiny_model, tmp_path, arrays, text: str) -> None:
    np.savez(tmp_path / "mask.npz", **arrays)
    error = refused(cosyn, tmp_path / "out", 2, tiny_model, "--block-mask", tmp_path / "mask.npz")
    assert text in error


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_block_masks_that_are_no_archive(cosyn, tiny_model, tmp_path, content: bytes) -> None:
    (tmp_path / "mask.npz").write_bytes(content)
    error = refused(cosyn, tmp_path / "out", 2, tiny_model, "--block-mask", tmp_path / "mask.npz")
    assert "expected a .npz with `mask`" in error


# A full disk.


def test_a_disk_too_full_for_object_files(cosyn, tiny_model, tmp_path, monkeypatch) -> None:
    # LLVM would end the process, and leave the folder that it was at.
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(total=0, used=0, free=1 << 20))
    error = refused(cosyn, tmp_path / "out", 1, tiny_model)
    assert f"the folder for temporary files, {tempfile.gettempdir()}, has 1.0 MiB free" in error
    assert "set TMPDIR" in error


def _no_space(*_args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _linker_without_space(*_args: object) -> None:
    raise RuntimeError(f"Compilation error: ld: final link failed: {os.strerror(errno.ENOSPC)}")


@pytest.mark.parametrize(
    ("place", "fail"),
    [
        ("codegen.tvm.cpu.CpuBackend.build", _linker_without_space),
        ("codegen.compiler.copy_tokenizer", _no_space),
        ("codegen.compiler.write_manifest", _no_space),
        ("codegen.artifact._replace", _no_space),
    ],
)
def test_a_disk_that_fills_up(cosyn, tiny_model, tmp_path, monkeypatch, place: str, fail: Callable[..., None]) -> None:
    monkeypatch.setattr(f"cosyn.{place}", fail)
    error = refused(cosyn, tmp_path / "out", 1, tiny_model)
    assert f"the disk is full while writing {tmp_path / 'out'}" in error
    assert "nothing was left behind" in error


# Ctrl-C, and SIGTERM.


def test_an_interruption_that_tvm_swallows(cosyn, tiny_model, tmp_path, monkeypatch) -> None:
    """TVM turns a KeyboardInterrupt in its callbacks into a RuntimeError without a message."""

    def build(*_args: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError from None

    monkeypatch.setattr("cosyn.codegen.tvm.cpu.CpuBackend.build", build)
    error = refused(cosyn, tmp_path / "out", 1, tiny_model)
    assert error == "error: interrupted; nothing half-written is left behind\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interruption_while_replacing(cosyn, tiny_model, tiny_artifact, tmp_path, monkeypatch) -> None:
    output = Path(shutil.copytree(tiny_artifact, tmp_path / "out"))
    before = (output / "manifest.json").read_bytes()
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if Path(target) == output and (self / "manifest.json").exists() and self.name != "artifact":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    assert "interrupted" in refused(cosyn, output, 1, tiny_model)
    assert (output / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize(
    ("step", "options"),
    [
        ("import the model", ("--recipe", "fp32")),
        ("lower and schedule kernels", ("--recipe", "fp32")),
        ("pack the weights", ("--target", "fpga:tiny")),
    ],
    ids=["import", "kernels", "accelerator"],
)
def test_a_signal_to_the_command(
    tiny_model, tmp_path, step: str, options: tuple[str, ...], number: signal.Signals
) -> None:
    """A real signal to a real process, after `step`: while it traces the model's passes, or writes the artifact."""
    output = tmp_path / "out"
    words = [sys.executable, "-m", "cosyn", "compile", str(tiny_model), "-o", str(output), *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if step in line:
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out == ""
    assert err.endswith("error: interrupted; nothing half-written is left behind\n")
    assert list(tmp_path.iterdir()) == []


# Artifacts and their use.


def test_every_file_is_guarded(cosyn, tiny_artifact, tmp_path) -> None:
    files = sorted(p.relative_to(tiny_artifact) for p in tiny_artifact.rglob("*") if p.is_file())
    assert Path("manifest.json") in files
    for file in files:
        damaged = Path(shutil.copytree(tiny_artifact, tmp_path / "damaged", dirs_exist_ok=True))
        content = bytearray((damaged / file).read_bytes())
        content[-2] ^= 1
        (damaged / file).write_bytes(content)
        done = cosyn("run", damaged, "--prompt", "x")
        assert done.code == 1, file
        assert str(file) in done.err
        shutil.rmtree(damaged)


def test_inspect_does_not_show_a_changed_graph(cosyn, tiny_artifact, tmp_path) -> None:
    damaged = Path(shutil.copytree(tiny_artifact, tmp_path / "damaged"))
    graph = damaged / "graph.ir"
    graph.write_text(graph.read_text().replace("%x", "%y", 1).replace("add", "mul", 1))
    done = cosyn("inspect", damaged)
    assert done.code == 1
    assert "graph.ir is damaged" in done.err


def test_text_for_an_artifact_without_a_tokenizer(cosyn, tiny_artifact) -> None:
    done = cosyn("run", tiny_artifact, "--prompt", "hello")
    assert done.code == 2
    assert "error: this artifact has no tokenizer" in done.err
    assert "tokenizer.json" in done.err


def test_compiling_without_a_tokenizer_says_so(cosyn, tiny_model, tmp_path) -> None:
    words = [w for w in QUICK if w != "--quiet"]
    assert "has no tokenizer.json" in cosyn("compile", tiny_model, "-o", tmp_path / "out", *words).err


def test_verify_against_another_model(cosyn, artifact, tiny_model) -> None:
    done = cosyn("verify", artifact, "--model", tiny_model)
    assert done.code == 2
    assert "is another model than the artifact was made from: expected model.embed_tokens.weight" in done.err


def test_bytes_that_are_no_text(cosyn, artifact) -> None:
    done = cosyn("run", artifact, "--prompt", os.fsdecode(b"caf\xe9"), "--json")
    assert done.code == 2
    assert done.object["error"] == "the text is not Unicode: surrogates not allowed at character 3"


def test_a_closed_stdin(cosyn, artifact, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    done = cosyn("run", artifact, "--prompt-file", "-")
    assert done.code == 2
    assert "reads stdin, which is closed" in done.err


def test_a_terminal_without_unicode(artifact) -> None:
    words = [sys.executable, "-m", "cosyn", "run", str(artifact), "--prompt", "日本 🙂", "-n", "1", "-q"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    plain = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert plain.stdout.startswith(r"\u65e5\u672c \U0001f642")


@pytest.mark.parametrize("length", [1, 2])
def test_the_shortest_contexts(cosyn, tiny_model, tmp_path, length: int) -> None:
    from cosyn.runtime import load

    assert cosyn("compile", tiny_model, "-o", tmp_path / "out", "--max-seq", length, "--quiet").code == 0
    model = load(tmp_path / "out")
    found = model.generate([5] * length, max_new_tokens=9)
    assert len(found.token_ids) == 1
    assert found.finish_reason in ("length", "eos")


@pytest.mark.parametrize("target", ["cpu", "fpga:tiny"])
def test_a_sequence_longer_than_the_model_was_trained_for(cosyn, tiny_model, tmp_path, target: str) -> None:
    """Rotary positions have no end of their own: it compiles, and says what comes of it."""
    words = ("compile", tiny_model, "-o", tmp_path / "out", "--target", target, "--recipe", "w8a8")
    done = cosyn(*words, "--max-seq", 300)
    assert done.code == 0
    warning = f"a longest sequence of 300 is more than the 256 positions that {tiny_model.name} was trained for"
    assert f"warning: {warning}" in " ".join(done.err.split())
    (found,) = cosyn(*words, "--max-seq", 257, "--json").object["warnings"]
    assert "what it writes beyond position 256 is seldom of use" in found
    assert cosyn(*words, "--max-seq", 256, "--json").object["warnings"] == []


def test_compiling_twice_gives_the_same_bytes(cosyn, tiny_model, tiny_artifact, tmp_path) -> None:
    assert cosyn("compile", tiny_model, "-o", tmp_path / "again", *QUICK).code == 0
    names = sorted(p.name for p in tiny_artifact.iterdir())
    assert names == sorted(p.name for p in (tmp_path / "again").iterdir())
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tiny_artifact / name).read_bytes(), name
