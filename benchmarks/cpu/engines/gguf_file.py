"""Writes a random Llama as a GGUF file in bf16."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from benchmarks.cpu.engines.gguf_layout import gguf_name, in_pairs
from benchmarks.cpu.shapes import MAX_SEQ, Shape, read_random_model


def write_gguf(shape: Shape, model: Path, path: Path) -> None:
    """The model of the Hugging Face folder `model`, with a vocabulary of made-up words."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(MAX_SEQ)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([b"<unk>", b"<s>", b"</s>", *(b"w%d" % i for i in range(3, shape.vocab_size))])
    writer.add_token_scores([0.0] * shape.vocab_size)
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (shape.vocab_size - len(kinds)))
    for name, values in read_random_model(shape, model):
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), (values.astype(np.uint32) << 16).view(np.float32))
        else:
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(gguf_name(name), in_pairs(shape, name, values).view(np.uint8), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
