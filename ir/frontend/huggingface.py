"""Builds Hugging Face models without weight memory, and finds their parameters in a checkpoint."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from cosyn.ir.dtype import DType
from cosyn.ir.errors import ModelError, UnsupportedOp, UnsupportedOps, WeightError
from cosyn.ir.types import TensorType
from cosyn.ir.weight_store import NamedWeights, TensorParts
from cosyn.ir.weights import WeightStore

# Tensors of older checkpoints that are not parameters any more: tables and masks that the model computes.
_COMPUTED = re.compile(r"(^|\.)(inv_freq|cos_cached|sin_cached|(attn|attention)\.(bias|masked_bias))$")
_SHOWN = 6


def build_model(config: Any) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """The model in f32 with parameters on the meta device, and the values of its buffers.

    Buffers are made for real, then moved to the meta device too; parameters never take memory.
    """
    from transformers import AutoModelForCausalLM

    try:
        with _parameters_on_meta():
            model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, attn_implementation="eager", dtype=torch.float32
            )
    except Exception as error:  # whatever the model's own code raises for values that it cannot work with
        # The first line alone: where the architecture is no causal language model, a list of all others follows.
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"transformers cannot make a language model of this {config.model_type} config "
            f"({type(error).__name__}): {reason}"
        ) from error
    return model, detach_buffers(model)


def detach_buffers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The model's buffers that have values, by name; meta tensors take their place in the model."""
    values: dict[str, torch.Tensor] = {}
    for prefix, module in model.named_modules():
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and not buffer.is_meta:
                values[f"{prefix}.{name}" if prefix else name] = buffer
                module._buffers[name] = buffer.to("meta")
    return values


@contextlib.contextmanager
def _parameters_on_meta() -> Iterator[None]:
    register = torch.nn.Module.register_parameter

    def on_meta(self: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        if parameter is not None and not parameter.is_meta:
            parameter = torch.nn.Parameter(parameter.data.to("meta"), parameter.requires_grad)
        register(self, name, parameter)

    torch.nn.Module.register_parameter = on_meta  # type: ignore[method-assign, assignment]  # put back below
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register  # type: ignore[method-assign]


def tied_names(model: torch.nn.Module) -> dict[str, str]:
    """Every parameter name → the first name of the same tensor: the head's → the embedding's, where tied."""
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


def parameter_types(model: torch.nn.Module, dtype: DType) -> dict[str, TensorType]:
    """Shape of each parameter, as stored in `dtype`."""
    return {name: TensorType(tuple(p.shape), dtype) for name, p in model.named_parameters()}


def named_weights(model: Any, checkpoint: WeightStore) -> NamedWeights:
    """The checkpoint under the parameters' names; WeightError lists what is missing, extra or misshapen."""
    tied = tied_names(model)
    expected = {name: tuple(p.shape) for name, p in model.named_parameters()}
    parts, extra = _match(model, checkpoint, set(tied))
    found: dict[str, TensorParts] = {}
    for name, recipe in parts.items():
        found.setdefault(tied[name], recipe)
    store = NamedWeights(checkpoint, found)
    problems = _absent(expected, found) + _unexpected(model, extra) + _misshapen(expected, store)
    if problems:
        raise WeightError("the weights do not fit the model:\n" + "\n".join(f"  {p}" for p in problems))
    return store


def _absent(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, TensorParts]) -> list[str]:
    names = [f"{n} {list(s)}" for n, s in expected.items() if n not in found]
    return [f"{len(names)} tensors are missing: {_few(names)}"] if names else []


def _unexpected(model: Any, names: list[str]) -> list[str]:
    ignored = [re.compile(p) for p in (getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ())]
    buffers = {n for n, _ in model.named_buffers()}
    prefix = f"{model.base_model_prefix}."
    names = [
        n for n in names
        if not _COMPUTED.search(n) and not any(p.search(n) for p in ignored)
        and n not in buffers and prefix + n not in buffers
    ]  # fmt: skip
    return [f"{len(names)} tensors belong to no parameter of the model: {_few(names)}"] if names else []


def _misshapen(expected: Mapping[str, tuple[int, ...]], store: NamedWeights) -> list[str]:
    problems = []
    for name in store.keys():  # noqa: SIM118 - not a dict
        found = store.type(name)
        if found.shape != expected[name]:
            problems.append(f"{name} has shape {list(map(int, found.shape))}; expected {list(expected[name])}")
    return problems


def _few(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _match(model: Any, checkpoint: WeightStore, known: set[str]) -> tuple[dict[str, TensorParts], list[str]]:
    """Parameter → its parts in the checkpoint, by transformers' table of renamings; and names left over."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        dot_natural_key,
        rename_source_key,
    )

    transforms = get_model_conversion_mapping(model)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    by_pattern = {pattern: c for c in converters for pattern in c.source_patterns}
    state = dict.fromkeys(known, True)
    direct: dict[str, TensorParts] = {}
    collected: dict[str, dict[str, list[str]]] = {}
    extra: list[str] = []
    for key in sorted(checkpoint.keys(), key=dot_natural_key):
        name, pattern = rename_source_key(key, renamings, converters, model.base_model_prefix, state)
        if name not in known:
            name, pattern = rename_source_key(key, [], [], model.base_model_prefix, state)
        if name not in known:
            extra.append(key)
        elif pattern is None:
            direct[name] = TensorParts(((key,),))
        else:
            collected.setdefault(name, {}).setdefault(pattern, []).append(key)
    for name, groups in collected.items():
        converter = by_pattern[next(iter(groups))]
        ordered = tuple(tuple(groups[p]) for p in converter.source_patterns if p in groups)
        direct[name] = _parts(name, converter, ordered)
    return direct, extra


def _parts(name: str, converter: Any, groups: tuple[tuple[str, ...], ...]) -> TensorParts:
    kinds = [type(op).__name__ for op in converter.operations]
    if kinds == ["MergeModulelist"] and converter.operations[0].dim == 0:
        return TensorParts(groups, stacked=True)
    if kinds == ["MergeModulelist", "Concatenate"] and converter.operations[0].dim == 0:
        return TensorParts(groups, stacked=True, axis=converter.operations[1].dim)
    if kinds == ["Concatenate"]:
        return TensorParts(groups, axis=converter.operations[0].dim)
    raise UnsupportedOps([UnsupportedOp(" + ".join(kinds), name, reason="a conversion of checkpoint tensors")])
