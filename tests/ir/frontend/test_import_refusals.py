"""What `import_model` refuses, and with which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cosyn.ir.errors import CosynError, ModelError, RequestError, UnsupportedOps
from cosyn.ir.frontend import import_model
from tests.architectures import CONFIGS, MAX_SEQ


def written(folder: Path, config: dict[str, Any]) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return file


def tiny(folder: Path, name: str, **changes: Any) -> Path:
    return written(folder, CONFIGS[name]().to_dict() | changes)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a model folder nor a config") as caught:
        import_model(tmp_path / "absent")
    assert caught.value.exit_code == 2


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a model folder: it has no config\.json"):
        import_model(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds a list; expected an object"),
        ("{}", "has no model_type"),
        ('{"model_type": "lama"}', r"no model of type 'lama'; did you mean llama\?"),
        ('{"model_type": "bert"}', "attention that sees later tokens"),
        ('{"model_type": "llama", "torch_dtype": "int8"}', "weights of type 'int8'; expected one of float32"),
        ('{"model_type": "llama", "hidden_size": "wide"}', "is not valid|cannot make"),
    ],
)
def test_config_that_is_none(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CosynError, match=message):
        import_model(tmp_path / "config.json")


def test_sequence_longer_than_dynamic_scaling_allows(tmp_path: Path) -> None:
    file = tiny(tmp_path, "llama_dynamic")
    with pytest.raises(RequestError, match=f"beyond {MAX_SEQ} tokens.*found {MAX_SEQ + 1}"):
        import_model(file, max_seq=MAX_SEQ + 1)
    assert import_model(file).max_seq == MAX_SEQ


def test_too_short_a_sequence(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="max_seq must be at least 1 token, found 0"):
        import_model(tiny(tmp_path, "llama"), max_seq=0)


def test_rounded_alibi(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOps, match="ALiBi rounded to bf16"):
        import_model(tiny(tmp_path, "falcon", alibi=True))


def test_attention_within_chunks(tmp_path: Path) -> None:
    sizes = {"hidden_size": 48, "intermediate_size": 80, "intermediate_size_mlp": 80, "num_local_experts": 2}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 31}
    layers = {"num_hidden_layers": 1, "attention_chunk_size": 64}
    file = written(tmp_path, {"model_type": "llama4_text"} | sizes | heads | layers)
    with pytest.raises(UnsupportedOps, match="attention within chunks"):
        import_model(file)


def test_model_that_computes_with_its_mask(tmp_path: Path) -> None:
    sizes = {"n_embd": 48, "n_head": 6, "n_layer": 1, "rotary_dim": 4, "n_positions": 64, "vocab_size": 31}
    with pytest.raises(ModelError, match=r"computes with its attention mask .* an entry in OWN_ATTENTION"):
        import_model(written(tmp_path, {"model_type": "gptj"} | sizes))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tests.absent:factory", "cannot import tests.absent"),
        ("tests.plain_decoder:absent", "has no absent"),
        (f"{__name__}:not_a_module", "returned a int; expected a torch.nn.Module"),
        (f"{__name__}:Shapeless", r"must return logits \[1, seq, vocabulary\], found a tensor of shape"),
    ],
)
def test_factories(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_model(spec)


def not_a_module() -> int:
    return 1


class Shapeless(nn.Module):
    """Returns a number in place of logits."""

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        return token_ids.float().mean()


class Unsupported(nn.Module):
    """Two layers with an operation each that the IR lacks."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.first, self.second = Sorting(), Complex()

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(self.table(token_ids)))


class Sorting(nn.Module):
    """Sorts the elements of a row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sort(-1).values


class Complex(nn.Module):
    """Rounds through another function."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.i0(x)


def test_unsupported_operations_are_all_listed() -> None:
    with pytest.raises(UnsupportedOps) as caught:
        import_model(f"{__name__}:Unsupported")
    found = [(op.op, op.layer) for op in caught.value.ops]
    assert ("aten.sort", "first") in found
    assert caught.value.ops[0].source.startswith("test_import_refusals.py:")
    assert "Rewrite them with supported operations" in str(caught.value)


class Averaging(nn.Module):
    """Mixes tokens by an average over all of them: not causal."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        x = self.table(token_ids)
        return torch.softmax(x @ x.transpose(1, 2), -1) @ x


def test_tokens_mixed_outside_of_attention() -> None:
    with pytest.raises(UnsupportedOps, match="mixes tokens outside of an attention"):
        import_model(f"{__name__}:Averaging")


class SeesAll(nn.Module):
    """Attention without a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        x = self.table(token_ids)[:, None]
        return nn.functional.scaled_dot_product_attention(x, x, x)[:, 0]


def test_attention_that_sees_later_tokens() -> None:
    with pytest.raises(UnsupportedOps, match="sees later tokens; expected is_causal=True"):
        import_model(f"{__name__}:SeesAll")
