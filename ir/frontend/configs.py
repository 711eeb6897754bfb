"""Reads model configurations: Hugging Face's config.json, and the same values in a wrapper of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cosyn.ir.dtype import DType
from cosyn.ir.errors import ModelError

_DTYPES = {"float32": DType.F32, "float16": DType.F16, "bfloat16": DType.BF16}
_WRAPPER_KEYS = ("context_window_size", "prefill_chunk_size", "sliding_window_size", "attention_sink_size",
                 "tensor_parallel_shards", "max_batch_size", "quantization")  # fmt: skip


def read_config(path: Path) -> dict[str, Any]:
    """The configuration in a file, in Hugging Face's form; ModelError where it is not one."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds a {type(config).__name__}; expected an object with model_type")
    if "model_type" not in config and "model_config" in config:
        config = dict(config["model_config"])
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"{path} has no model_type; expected the config.json of a language model")
    return config


def transformers_config(config: dict[str, Any]) -> Any:
    """The transformers configuration object; ModelError for an architecture that transformers lacks."""
    from transformers import CONFIG_MAPPING, AutoConfig

    model_type = config["model_type"]
    values = {k: v for k, v in config.items() if k not in _WRAPPER_KEYS and k not in ("model_type", "auto_map")}
    if model_type not in CONFIG_MAPPING:
        from difflib import get_close_matches

        close = get_close_matches(model_type, list(CONFIG_MAPPING), n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise ModelError(
            f"transformers has no model of type {model_type!r}{hint} "
            "Give a module that makes the model instead: package.module:factory"
        )
    try:
        return AutoConfig.for_model(model_type, **values)
    except Exception as error:
        raise ModelError(f"the configuration of this {model_type} model is not valid: {error}") from error


def config_dtype(config: dict[str, Any]) -> DType:
    """The element type that a configuration says its weights have; f32 where it says nothing."""
    name = str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch.")
    if name not in _DTYPES:
        raise ModelError(f"the configuration asks for weights of type {name!r}; expected one of {', '.join(_DTYPES)}")
    return _DTYPES[name]
