"""Models that cannot be compiled: what is said, the exit code, and nothing half-written."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

DOWN = "model.layers.1.mlp.down_proj.weight"


def compiled(cosyn, model: object, output: Path, *words: object):
    """Compile and check that a failure leaves nothing beside what was there."""
    before = sorted(output.parent.iterdir())
    done = cosyn("compile", model, "-o", output, "--recipe", "fp32", "--quiet", *words)
    assert done.code == 0 or sorted(output.parent.iterdir()) == before
    return done


def edit(model: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    tensors = load_file(model / "model.safetensors")
    change(tensors)
    save_file(tensors, model / "model.safetensors")


def set_nan(tensors: dict[str, np.ndarray]) -> None:
    tensors[DOWN][3, 5] = np.nan


def cut_rows(tensors: dict[str, np.ndarray]) -> None:
    tensors[DOWN] = tensors[DOWN][:-1]


def to_integers(tensors: dict[str, np.ndarray]) -> None:
    tensors[DOWN] = tensors[DOWN].astype(np.int32)


def drop(tensors: dict[str, np.ndarray]) -> None:
    del tensors[DOWN]


@pytest.mark.parametrize("change", [set_nan, cut_rows, to_integers, drop])
def test_wrong_weights_are_named(cosyn, copied_model, tmp_path, change) -> None:
    edit(copied_model, change)
    done = compiled(cosyn, copied_model, tmp_path / "out")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert DOWN in done.err
    assert "Traceback" not in done.err


def test_a_truncated_file(cosyn, copied_model, tmp_path) -> None:
    path = copied_model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-200])
    done = compiled(cosyn, copied_model, tmp_path / "out")
    assert done.code == 1
    assert "model.safetensors" in done.err
    assert "truncated" in done.err


def test_a_missing_shard(cosyn, copied_model, tmp_path) -> None:
    (copied_model / "model.safetensors").rename(copied_model / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (copied_model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    done = compiled(cosyn, copied_model, tmp_path / "out")
    assert done.code == 1
    assert "1 of 2 shards are missing" in done.err
    assert "model-00002-of-00002.safetensors" in done.err


def test_not_a_model(cosyn, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    done = compiled(cosyn, tmp_path / "empty", tmp_path / "out")
    assert done.code == 2
    assert "is not a model folder: it has no config.json" in done.err
    done = compiled(cosyn, tmp_path / "nothing", tmp_path / "out")
    assert done.code == 2
    assert "is neither a model folder nor a config.json" in done.err


def test_a_config_alone_needs_a_seed(cosyn, tiny_model, tmp_path) -> None:
    done = compiled(cosyn, tiny_model / "config.json", tmp_path / "out")
    assert done.code == 2
    assert "config.json is a configuration, without weights" in done.err
    assert "--random-weights SEED" in done.err


def test_unknown_pass_lists_choices(cosyn, tiny_model, tmp_path) -> None:
    done = compiled(cosyn, tiny_model, tmp_path / "out", "--stop-after", "quantise")
    assert done.code == 2
    assert "unknown pass 'quantise'; did you mean quantize?" in done.err


def test_stop_after_and_dump_ir(cosyn, tiny_model, tmp_path) -> None:
    words = ("--stop-after", "merge_linears", "--dump-ir", tmp_path / "ir", "--verify", "--json")
    done = cosyn("compile", tiny_model, "-o", tmp_path / "out", "--recipe", "fp32", *words)
    assert done.code == 0
    assert done.object["artifact"] is None
    assert not (tmp_path / "out").exists()
    dumped = sorted(p.name for p in (tmp_path / "ir").iterdir())
    assert any("merge_linears" in name for name in dumped)
    assert not any("quantize" in name for name in dumped)


def test_a_folder_that_is_no_artifact_is_not_replaced(cosyn, tiny_model, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    done = compiled(cosyn, tiny_model, tmp_path / "out")
    assert done.code == 2
    assert "exists and is not an artifact" in done.err
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


@pytest.fixture
def failing_write(monkeypatch):
    """Makes the writing of weights raise, when all else of the artifact is done."""

    def install(error: BaseException) -> None:
        def fail(*_args: object) -> None:
            raise error

        monkeypatch.setattr("cosyn.codegen.compiler.write_tensors", fail)

    return install


def test_a_full_disk(cosyn, tiny_model, tmp_path, failing_write) -> None:
    failing_write(OSError(errno.ENOSPC, "No space left on device"))
    done = compiled(cosyn, tiny_model, tmp_path / "out")
    assert done.code == 1
    assert "the disk is full" in done.err
    assert "nothing was left behind" in done.err


def test_an_interruption(cosyn, tiny_model, tmp_path, failing_write) -> None:
    failing_write(KeyboardInterrupt())
    done = compiled(cosyn, tiny_model, tmp_path / "out")
    assert done.code == 1
    assert done.err == "error: interrupted; nothing half-written is left behind\n"


def test_an_interruption_keeps_the_older_artifact(cosyn, copied_artifact, tiny_model, failing_write) -> None:
    before = (copied_artifact / "manifest.json").read_bytes()
    failing_write(KeyboardInterrupt())
    assert compiled(cosyn, tiny_model, copied_artifact).code == 1
    assert (copied_artifact / "manifest.json").read_bytes() == before
