"""`import_model`: a model folder, a config, or a module factory becomes a graph and its weights."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cosyn.ir import hub
from cosyn.ir.dtype import DType
from cosyn.ir.errors import ModelError, RequestError
from cosyn.ir.frontend import adapters, huggingface
from cosyn.ir.frontend.configs import config_dtype, read_config, transformers_config
from cosyn.ir.frontend.exported import export
from cosyn.ir.frontend.importer import build_graph
from cosyn.ir.frontend.masks import masks_as_meaning
from cosyn.ir.graph import Graph
from cosyn.ir.types import TensorType
from cosyn.ir.weight_store import RandomWeights, open_checkpoint
from cosyn.ir.weights import AbsentWeights, Array, MemoryWeights, OverlaidWeights, WeightStore, check_finite

DEFAULT_MAX_SEQ = 2048  # for models that put no limit on the length of a sequence
_SHORTEST_TRACED = 32  # torch.export takes a dimension of a few tokens for a constant


@dataclass(frozen=True)
class ImportedModel:
    """A lowered model.

    `graph`: inputs token_ids and positions i32[seq], output logits f32[seq, vocab_size]. `weights`: its
    tensors; AbsentWeights, which have types alone, for a configuration without a seed. `config`: the
    configuration as read ({} for a module). `folder`: where tokenizer files are, if anywhere. `max_seq`: positions
    that the graph serves; `trained_positions`: those that the configuration says the model has learned, if it does.
    `random_seed`: set where the weights are random.
    """

    graph: Graph
    weights: WeightStore
    config: Mapping[str, Any]
    folder: Path | None
    name: str
    architecture: str
    vocab_size: int
    n_layers: int
    hidden_size: int
    max_seq: int
    trained_positions: int | None = None
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = field(default=())
    random_seed: int | None = None


def import_model(spec: str | Path, *, random_weights: int | None = None, max_seq: int | None = None) -> ImportedModel:
    """Lower the model that `spec` names.

    `spec` is a Hugging Face folder or hub name, a config.json alone, or `package.module:factory` for a function
    that returns an nn.Module. `random_weights` is the seed of random weights in place of stored ones. `max_seq`
    bounds the positions (default: what the model was made for). Raises ModelError for what is no language
    model, WeightError for a damaged or unfitting checkpoint, UnsupportedOps with all that cannot be lowered.
    """
    text = str(spec)
    path = Path(spec)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(f"{path} is not a model folder: it has no config.json")
        return _from_config(path / "config.json", path, random_weights, max_seq)
    if path.is_file():
        return _from_config(path, None, random_weights, max_seq)
    if ":" in text and not text.endswith(".json"):
        return _from_factory(text, random_weights, max_seq)
    if hub.is_hub_name(text):
        return import_model(hub.hub_folder(text), random_weights=random_weights, max_seq=max_seq)
    raise ModelError(
        f"{text} is neither a model folder nor a config.json (no such file or folder), nor package.module:factory"
    )


def _from_config(file: Path, folder: Path | None, seed: int | None, max_seq: int | None) -> ImportedModel:
    raw = read_config(file)
    config = transformers_config(raw)
    model, buffers = huggingface.build_model(config)
    limit = _limit(raw, config, model)
    length = _length(max_seq, limit)
    traced = max(length, min(limit, _SHORTEST_TRACED))
    adapters.prepare(model, traced)
    buffers |= huggingface.detach_buffers(model)  # those that the adapters added
    weights: WeightStore
    if folder is not None and seed is None:
        weights = huggingface.named_weights(model, open_checkpoint(folder))
        types = {key: weights.type(key) for key in weights.keys()}  # noqa: SIM118 - not a dict
    else:
        types = huggingface.parameter_types(model, config_dtype(raw))
        deviation = float(getattr(config, "initializer_range", None) or 0.02)
        weights = AbsentWeights(types) if seed is None else RandomWeights(types, seed, deviation)
    name = file.resolve().parent.name if file.stem == "config" else file.stem
    with masks_as_meaning(model):
        exported = export(
            model, max_seq=traced, position_argument=_position_argument(model), extra={"use_cache": False}
        )
    graph, constants = build_graph(exported, name, types, buffers, traced, huggingface.tied_names(model))
    eos = config.eos_token_id
    return ImportedModel(
        graph=graph,
        weights=_with_constants(weights, constants),
        config=raw,
        folder=folder,
        name=name,
        architecture=type(model).__name__,
        vocab_size=int(graph.types[graph.outputs[0]].shape[-1]),
        n_layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        max_seq=length,
        trained_positions=None if _stated_limit(raw, config) is None else limit,
        bos_token_id=config.bos_token_id,
        eos_token_ids=tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,),
        random_seed=seed,
    )


def _limit(raw: Mapping[str, Any], config: Any, model: torch.nn.Module) -> int:
    """Positions that the model was made for."""
    limit = _stated_limit(raw, config) or DEFAULT_MAX_SEQ
    table = adapters.longest_fixed_table(model)
    return limit if table is None else min(limit, table)


def _stated_limit(raw: Mapping[str, Any], config: Any) -> int | None:
    """Positions that the configuration states."""
    limit = raw.get("context_window_size") or getattr(config, "max_position_embeddings", None)
    return int(limit) if limit else None


def _length(max_seq: int | None, limit: int) -> int:
    if max_seq is None:
        return limit
    if max_seq < 1:
        raise RequestError(f"max_seq must be at least 1 token, found {max_seq}")
    return max_seq


def _position_argument(model: torch.nn.Module) -> str | None:
    """The keyword by which a model takes positions, if it does."""
    names = list(inspect.signature(model.forward).parameters)[1:]
    return next((n for n in names if n in ("position_ids", "positions", "pos")), None)


def _with_constants(weights: WeightStore, constants: Mapping[str, Array]) -> WeightStore:
    return OverlaidWeights((weights, MemoryWeights(constants))) if constants else weights


def _from_factory(spec: str, seed: int | None, max_seq: int | None) -> ImportedModel:
    model = _make(spec)
    adapters.register()
    buffers = dict(model.named_buffers())
    tied = huggingface.tied_names(model)
    parameters = dict(model.named_parameters())
    on_meta = [name for name, p in parameters.items() if p.is_meta]
    if on_meta and seed is None:
        raise RequestError(
            f"{spec} made {len(on_meta)} parameters without values ({on_meta[0]}, …); expected a seed for random ones"
        )
    types = {name: TensorType(tuple(p.shape), _dtype(name, p)) for name, p in parameters.items()}
    weights: WeightStore
    if seed is None:
        weights = MemoryWeights({name: check_finite(name, _array(p)) for name, p in parameters.items()})
    else:
        weights = RandomWeights(types, seed)
    own = next(
        (int(v) for n in ("max_seq", "max_seq_len", "block_size") if isinstance(v := getattr(model, n, None), int)),
        None,
    )
    limit = own or DEFAULT_MAX_SEQ
    length = _length(max_seq, limit)
    traced = max(length, min(limit, _SHORTEST_TRACED))
    exported = export(model.float(), max_seq=traced, position_argument=_position_argument(model))
    name = spec.rpartition(":")[2]
    graph, constants = build_graph(exported, name, types, buffers, traced, tied)
    layers = sum(node.op == "attention" for node in graph.nodes)
    embedded = next((n for n in graph.nodes if n.op == "embedding"), None)
    return ImportedModel(
        graph=graph,
        weights=_with_constants(weights, constants),
        config={},
        folder=None,
        name=name,
        architecture=type(model).__name__,
        vocab_size=int(graph.types[graph.outputs[0]].shape[-1]),
        n_layers=layers,
        hidden_size=int(embedded.type.shape[-1]) if embedded else 0,
        max_seq=length,
        random_seed=seed,
    )


def _make(spec: str) -> torch.nn.Module:
    module_name, _, attribute = spec.rpartition(":")
    if not module_name or not attribute:
        raise ModelError(f"{spec} names no factory; expected package.module:factory")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's own module raises
        raise ModelError(f"cannot import {module_name} for {spec} ({type(error).__name__}): {error}") from error
    if not hasattr(module, attribute):
        raise ModelError(f"module {module_name} has no {attribute}; expected a function that makes the model")
    factory: Callable[[], object] = getattr(module, attribute)
    if not callable(factory):
        raise ModelError(f"{spec} is a {type(factory).__name__}; expected a function that makes the model")
    try:
        model = factory()
    except Exception as error:  # whatever the user's own factory raises
        raise ModelError(f"{spec} failed to make a model ({type(error).__name__}): {error}") from error
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{spec} returned a {type(model).__name__}; expected a torch.nn.Module")
    return model.eval()


_DTYPES = {torch.float32: DType.F32, torch.float16: DType.F16, torch.bfloat16: DType.BF16}


def _dtype(name: str, parameter: torch.Tensor) -> DType:
    if parameter.dtype not in _DTYPES:
        raise ModelError(f"parameter {name} has element type {parameter.dtype}; expected float32, float16 or bfloat16")
    return _DTYPES[parameter.dtype]


def _array(parameter: torch.Tensor) -> Array:
    """The values as numpy holds them, sharing memory; bf16 through its bits."""
    import ml_dtypes

    data = parameter.detach().contiguous()
    if data.dtype is torch.bfloat16:
        return data.view(torch.int16).numpy().view(np.dtype(ml_dtypes.bfloat16))
    return data.numpy()
