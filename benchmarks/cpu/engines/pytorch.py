"""PyTorch: the Llama of transformers, eager or through torch.compile, with a static cache of keys and values.

`bits` names the element type and the way: `bf16 eager`, `bf16 compiled`, `f32 eager`. Compiled code is made for each
length, with the weights frozen into it where that is set; what inductor made is kept in the shape's folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import torch
from transformers import LlamaForCausalLM, StaticCache
from transformers.utils import logging

from benchmarks.cpu.engines.serve import DECODED_BEFORE, Loaded, random_tokens, seconds, serve
from benchmarks.cpu.measurement import Test
from benchmarks.cpu.shapes import MAX_SEQ, Shape, write_random_model

_DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}


class PyTorch:
    """One model, and a cache for each context."""

    def prepare(self, shape: Shape, bits: str, folder: Path) -> None:
        """The checkpoint, which transformers reads as it is."""
        write_random_model(shape, folder / "hf")

    @torch.inference_mode()
    def load(self, shape: Shape, bits: str, folder: Path, threads: int) -> Loaded:
        dtype, way = bits.split()
        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str((folder / "inductor").resolve())
        self._model: Any = LlamaForCausalLM.from_pretrained(
            folder / "hf", dtype=_DTYPES[dtype], attn_implementation="sdpa"
        )
        self._model.eval()
        self._step: Any = self._forward
        if way == "compiled":
            import torch._inductor.config as inductor

            inductor.freezing = True
            torch._dynamo.config.cache_size_limit = 64
            self._step = torch.compile(self._forward, dynamic=False)
        self._tokens = torch.tensor([random_tokens(shape, MAX_SEQ)])
        self._caches: dict[int, StaticCache] = {}
        self._warm: set[str] = set()
        head = 0 if shape.tie_word_embeddings else shape.vocab_size * shape.hidden_size
        size = _DTYPES[dtype].itemsize
        values = sum(p.numel() for p in self._model.parameters()) - head + shape.hidden_size
        return Loaded(torch.__version__, size * values, size * shape.kv_values_per_position)

    @torch.inference_mode()
    def measure(self, test: Test) -> float:
        cache = self._cache(test)
        name = f"{test.kind} {test.tokens} {test.context}"
        warm = name in self._warm
        self._warm.add(name)

        def prompt() -> None:
            _rewind(cache, 0)
            self._run(cache, 0, test.tokens)

        def decode(count: int = test.tokens) -> None:
            for i in range(count):
                self._run(cache, test.context + i, 1)

        if test.kind == "prefill":
            if not warm:
                prompt()
            return seconds(prompt)
        if not warm:
            _rewind(cache, 0)
            if test.context:
                self._forward(self._tokens[:, : test.context], cache, torch.arange(test.context))
            decode(DECODED_BEFORE)
        _rewind(cache, test.context)
        return seconds(decode)

    def _cache(self, test: Test) -> StaticCache:
        """A cache of just the length that the test needs: attention reads all of it."""
        if test.length not in self._caches:
            cache = self._caches[test.length] = StaticCache(config=self._model.config, max_cache_len=test.length)
            # Its tensors come into being in the first step, which must not be a compiled one.
            self._forward(self._tokens[:, :1], cache, torch.arange(1))
        return self._caches[test.length]

    def _run(self, cache: StaticCache, first: int, count: int) -> None:
        self._step(self._tokens[:, first : first + count], cache, torch.arange(first, first + count))

    def _forward(self, tokens: torch.Tensor, cache: StaticCache, positions: torch.Tensor) -> torch.Tensor:
        """Logits of the last token."""
        result = self._model(
            tokens, past_key_values=cache, use_cache=True, position_ids=positions[None], logits_to_keep=1
        )
        return cast(torch.Tensor, result.logits)


def _rewind(cache: StaticCache, length: int) -> None:
    """Let the cache continue after `length` tokens."""
    for layer in cache.layers:
        cast(Any, layer).cumulative_length.fill_(length)


if __name__ == "__main__":
    serve(PyTorch())
