"""Weight stores: safetensors whole and in shards, checkpoint names, random numbers; what each refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cosyn.ir.dtype import DType
from cosyn.ir.errors import ModelError, RequestError, WeightError
from cosyn.ir.frontend import import_model
from cosyn.ir.types import TensorType
from cosyn.ir.weight_store import NamedWeights, RandomWeights, SafetensorsFile, TensorParts, open_checkpoint
from cosyn.ir.weights import MemoryWeights, OverlaidWeights, check_finite
from tests.architectures import save_folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama as a folder with one safetensors file; not to be changed."""
    folder = tmp_path_factory.mktemp("llama")
    save_folder("llama", folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(original, tmp_path / "model"))


def rewritten(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    """Replace tensors of the folder's file; None removes one."""
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in change.items():
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def shard(folder: Path) -> list[Path]:
    """Split the folder's file into two shards with an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    files = [folder / f"model-0000{i + 1}-of-00002.safetensors" for i in range(2)]
    weight_map = {}
    for i, file in enumerate(files):
        part = names[i::2]
        save_file({n: tensors[n] for n in part}, file)
        weight_map |= dict.fromkeys(part, file.name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return files


def test_file_is_mapped_and_typed(folder: Path) -> None:
    file = SafetensorsFile(folder / "model.safetensors")
    assert file.type("model.norm.weight") == TensorType((48,), DType.F32)
    expected = load_file(folder / "model.safetensors")["model.norm.weight"].numpy()
    np.testing.assert_array_equal(file.load("model.norm.weight"), expected)
    assert not file.load("model.norm.weight").flags.writeable


def test_bf16_arrives_as_bfloat16(tmp_path: Path) -> None:
    values = torch.tensor([[1.5, -3.25], [0.1, 1e30]], dtype=torch.bfloat16)
    save_file({"w": values}, tmp_path / "model.safetensors")
    array = open_checkpoint(tmp_path).load("w")
    assert array.dtype.name == "bfloat16"
    np.testing.assert_array_equal(array.astype(np.float32), values.float().numpy())


def test_shards_hold_the_same_tensors(folder: Path) -> None:
    whole = load_file(folder / "model.safetensors")
    shard(folder)
    weights = import_model(folder).weights
    for name, tensor in whole.items():
        np.testing.assert_array_equal(weights.load(name), tensor.numpy())


def test_missing_shard(folder: Path) -> None:
    shard(folder)[1].unlink()
    with pytest.raises(WeightError, match=r"1 of 2 shards are missing .*model-00002-of-00002\.safetensors"):
        import_model(folder)


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5])
def test_truncated_file(folder: Path, keep: float) -> None:
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(WeightError, match="not a whole safetensors file"):
        import_model(folder)


def test_no_weights_in_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pytorch_model\.bin; convert the weights to safetensors"):
        import_model(folder)


def test_wrong_shape(folder: Path) -> None:
    rewritten(folder, {"model.norm.weight": torch.ones(40)})
    with pytest.raises(WeightError, match=r"model\.norm\.weight has shape \[40\]; expected \[48\]"):
        import_model(folder)


def test_missing_and_extra_tensors_are_listed_together(folder: Path) -> None:
    rewritten(folder, {"model.norm.weight": None, "lm_head.weight": None, "adapter.weight": torch.ones(3)})
    with pytest.raises(WeightError) as caught:
        import_model(folder)
    assert "2 tensors are missing: model.norm.weight [48], lm_head.weight [131, 48]" in str(caught.value)
    assert "1 tensors belong to no parameter of the model: adapter.weight" in str(caught.value)


def test_tensors_that_the_model_computes_are_no_extras(folder: Path) -> None:
    rewritten(folder, {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    computed = import_model(folder).weights.load("rope.inv_freq")
    assert computed[0] == 1
    assert (computed[1:] < 1).all(), "the checkpoint's ones took the place of the model's own frequencies"


def test_wrong_dtype(folder: Path) -> None:
    rewritten(folder, {"model.norm.weight": torch.ones(48, dtype=torch.int8)})
    with pytest.raises(
        WeightError, match=r"model\.norm\.weight .* has element type I8; expected one of F32, F16, BF16"
    ):
        import_model(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite(folder: Path, dtype: torch.dtype, bad: float) -> None:
    tensor = torch.ones(48, 80, dtype=dtype)
    tensor[3, 5] = bad
    rewritten(folder, {"model.layers.1.mlp.down_proj.weight": tensor})
    weights = import_model(folder).weights
    with pytest.raises(WeightError, match=r"model\.layers\.1\.mlp\.down_proj\.weight holds 1 value .* at \[3, 5\]"):
        weights.load("model.layers.1.mlp.down_proj.weight")
    weights.load("model.norm.weight")


def test_check_finite_counts_and_names_the_first() -> None:
    array = np.ones((3, 4), np.float32)
    array[1, 2] = array[2, 0] = np.inf
    with pytest.raises(
        WeightError, match=r"weight w holds 2 values that are not finite, the first \(inf\) at \[1, 2\]"
    ):
        check_finite("w", array)


def test_unknown_key_names_the_closest() -> None:
    store = MemoryWeights({"model.norm.weight": np.ones(3, np.float32)})
    with pytest.raises(WeightError, match=r"no tensor model\.norm\.wieght; the closest name is model\.norm\.weight"):
        store.load("model.norm.wieght")


def test_experts_stored_one_by_one_are_fused(tmp_path: Path) -> None:
    reference = save_folder("mixtral", tmp_path)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert "model.layers.0.block_sparse_moe.experts.3.w1.weight" in names
    weights = import_model(tmp_path).weights
    for name, tensor in reference.state_dict().items():
        if "experts" in name:
            assert weights.type(name).shape == tuple(tensor.shape)
            np.testing.assert_array_equal(weights.load(name), tensor.numpy())


def test_parts_join_along_an_axis() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((4, 3), np.float32)
    store = NamedWeights(MemoryWeights({"a": a, "b": b}), {"ab": TensorParts((("a",), ("b",)))})
    assert store.type("ab") == TensorType((6, 3), DType.F32)
    np.testing.assert_array_equal(store.load("ab"), np.concatenate([a, b]))


def test_first_store_answers() -> None:
    first, second = MemoryWeights({"x": np.zeros(1)}), MemoryWeights({"x": np.ones(1), "y": np.ones(2)})
    store = OverlaidWeights((first, second))
    assert list(store.keys()) == ["x", "y"]
    assert store.load("x")[0] == 0
    assert store.type("y").shape == (2,)


def test_random_weights_depend_on_seed_and_name_alone() -> None:
    types = {
        "a.weight": TensorType((64, 300), DType.F16),
        "b.weight": TensorType((64, 300), DType.F16),
        "norm.weight": TensorType((3000,), DType.F32),
        "a.bias": TensorType((3000,), DType.BF16),
    }
    store = RandomWeights(types, seed=1)
    backwards = {key: RandomWeights(types, seed=1).load(key) for key in reversed(types)}
    for key, declared in types.items():
        array = store.load(key)
        assert array.dtype == declared.dtype.numpy
        np.testing.assert_array_equal(array, backwards[key])
        check_finite(key, array)
    a = store.load("a.weight").astype(np.float64)
    assert abs(a.mean()) < 1e-3
    assert abs(a.std() - 0.02) < 1e-3
    assert abs(store.load("norm.weight").mean() - 1) < 2e-3
    assert abs(store.load("a.bias").astype(np.float64).mean()) < 2e-3
    assert (a != store.load("b.weight")).mean() > 0.99
    assert (a != RandomWeights(types, seed=2).load("a.weight")).mean() > 0.99


def test_configuration_alone_has_types_but_no_values(folder: Path) -> None:
    model = import_model(folder / "config.json")
    key = "model.layers.0.self_attn.q_proj.weight"
    assert model.weights.type(key) == TensorType((48, 48), DType.F32)
    with pytest.raises(RequestError, match="or a seed for random weights"):
        model.weights.load(key)
    assert import_model(folder / "config.json", random_weights=3).weights.load(key).std() > 0
