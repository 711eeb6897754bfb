"""Real artifacts through TVM's virtual machine, with weights mapped and shared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import handmade
import numpy as np
import pytest

from cosyn.runtime import huge_pages as pages
from cosyn.runtime import load
from cosyn.runtime.errors import ArtifactError, HostError, RequestError
from cosyn.runtime.loader import load_executor, open_artifact
from cosyn.runtime.session import Session
from cosyn.runtime.tvm_library import LIBRARY_VARIABLE, library_path, set_threads
from cosyn.runtime.vm_executor import VMExecutor

IDS = [int(t) for t in np.random.default_rng(3).integers(1, handmade.VOCAB, 60)]


@pytest.fixture(scope="module")
def executor(handmade_artifact: Path) -> VMExecutor:
    return load_executor(open_artifact(handmade_artifact))


@pytest.mark.parametrize("count", [1, 7, 16, 17, 60])
def test_logits_are_those_of_numpy(executor: VMExecutor, count: int) -> None:
    expected = handmade.reference_logits(IDS[:count])
    np.testing.assert_array_equal(Session(executor).advance({0: IDS[:count]})[0], expected[-1])
    np.testing.assert_array_equal(Session(executor).all_logits(IDS[:count]), expected)


def test_ragged_batch(executor: VMExecutor) -> None:
    session = Session(executor, slots=3)
    prompts = {0: IDS[:20], 1: IDS[5:6], 2: IDS[30:37]}
    logits = session.advance(prompts)
    more = session.advance({0: [4], 1: [5], 2: [6]})
    for slot, ids in prompts.items():
        np.testing.assert_array_equal(logits[slot], handmade.reference_logits(ids)[-1])
        np.testing.assert_array_equal(more[slot], handmade.reference_logits([*ids, slot + 4])[-1])


def test_a_step_without_rows_gives_no_logits(executor: VMExecutor) -> None:
    state = executor.allocate(1, 8)
    one, none = np.zeros(1, np.int32), np.zeros(0, np.int32)
    assert executor.step(state, one, one, one, none).shape == (0, handmade.VOCAB)


def test_weights_are_shared_with_the_file(executor: VMExecutor) -> None:
    table = np.from_dlpack(executor._weights[0])
    np.testing.assert_array_equal(table, handmade.weights()["table"])
    assert table.ctypes.data % 64 == 0
    maps = Path("/proc/self/maps").read_text().splitlines()
    inside = [m for m in maps if "weights.safetensors" in m]
    ranges = [tuple(int(x, 16) for x in m.split()[0].split("-")) for m in inside]
    assert any(low <= table.ctypes.data < high for low, high in ranges), "a view of the mapped file, not a copy"


def test_generation_is_greedy_and_reuses_the_cache(handmade_artifact: Path) -> None:
    model = load(handmade_artifact)
    first = model.generate(IDS[:10], max_new_tokens=12, ignore_eos=True)
    expected = list(IDS[:10])
    for _ in range(12):
        expected.append(int(handmade.reference_logits(expected)[-1].argmax()))
    assert [*IDS[:10], *first.token_ids] == expected
    assert first.finish_reason == "length"
    again = model.generate(expected, max_new_tokens=3, ignore_eos=True)
    assert again.reused_tokens == len(expected) - 1


def test_a_saved_conversation_goes_on(handmade_artifact: Path, tmp_path: Path) -> None:
    model = load(handmade_artifact)
    whole = model.generate(IDS[:10], max_new_tokens=20, ignore_eos=True).token_ids
    begun = model.generate(IDS[:10], max_new_tokens=8, ignore_eos=True).token_ids
    model.save_state(tmp_path / "talk")
    other = load(handmade_artifact)
    other.load_state(tmp_path / "talk")
    rest = other.generate([*IDS[:10], *begun], max_new_tokens=12, ignore_eos=True)
    assert begun + rest.token_ids == whole
    assert rest.reused_tokens == 17


def test_neither_torch_nor_the_compiler_is_imported(handmade_artifact: Path) -> None:
    code = (
        "import sys; from cosyn.runtime import load; m = load(sys.argv[1]);"
        "print(m.generate([3, 4], max_new_tokens=4, ignore_eos=True).token_ids);"
        "print(sorted({'torch', 'tvm', 'transformers', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(handmade_artifact)], capture_output=True, text=True, check=True
    )
    ids = [3, 4]
    for _ in range(4):
        ids.append(int(handmade.reference_logits(ids)[-1].argmax()))
    assert done.stdout.splitlines() == [str(tuple(ids[2:])), "[]"]


def test_an_unknown_library_function_is_named(executor: VMExecutor) -> None:
    with pytest.raises(ArtifactError, match=r"model\.so has no function 'nothing'"):
        executor.library_function("nothing")


def test_a_library_that_is_none_is_refused(artifact: Path) -> None:
    (artifact / "model.so").write_bytes(b"not a library")
    handmade.write_manifest(artifact, handmade.manifest())
    with pytest.raises(ArtifactError, match=r"model\.so cannot be loaded by TVM"):
        load(artifact)


def test_weights_of_another_shape_are_refused(artifact: Path) -> None:
    values = handmade.manifest()
    values["weights"] = [{"name": "table", "shape": [handmade.VOCAB, 5], "dtype": "f32"}]
    handmade.write_manifest(artifact, values)
    with pytest.raises(ArtifactError, match=r"table: expected f32\[29, 5\], found f32\[29, 4\]"):
        load(artifact)


def test_a_device_that_is_not_here_is_named(artifact: Path) -> None:
    values = handmade.manifest()
    values["target"] = {"name": "none", "kind": "cuda", "device": "hexagon"}
    handmade.write_manifest(artifact, values)
    with pytest.raises(HostError, match="hexagon"):
        load(artifact)


def test_where_the_runtime_library_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = library_path()
    assert found.name.startswith("libtvm_runtime")
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path / "elsewhere.so"))
    with pytest.raises(HostError, match=r"COSYN_TVM_RUNTIME names .*elsewhere\.so, which is not a file"):
        library_path()
    monkeypatch.setenv(LIBRARY_VARIABLE, str(found))
    assert library_path() == found


def test_threads_default_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TVM_NUM_THREADS", "3")
    assert set_threads(None) == 3
    monkeypatch.setattr("cosyn.runtime.tvm_library.usable_cores", lambda: 4)
    assert set_threads(2) == 2
    with pytest.raises(RequestError, match="5 threads were asked for; expected 1 to 4"):
        set_threads(5)
    assert os.environ["TVM_NUM_THREADS"] == "2"
    monkeypatch.setenv("TVM_NUM_THREADS", "many")
    with pytest.raises(RequestError, match="expected a number of threads, at least 1, found 'many'"):
        set_threads(None)


def test_huge_pages_change_no_logits(handmade_artifact: Path) -> None:
    artifact = open_artifact(handmade_artifact)
    logits = []
    for huge_pages in (False, True):
        executor = load_executor(artifact, huge_pages=huge_pages)
        assert isinstance(executor, VMExecutor)
        assert executor.huge_pages == (huge_pages and pages.offered())
        logits.append(Session(executor).advance({0: [1, 2, 3]})[0])
    assert np.array_equal(*logits)
