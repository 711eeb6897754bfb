"""llama.cpp, through the C interface that llama-cpp-python carries: what its own llama-bench calls.

A prompt is one `llama_decode`; so is each decoded token, without a sampler. Weights are repacked as llama.cpp
chooses, keys and values are f16. Flash attention is on, its default, but where a context is decoded from: there it is
whatever a trial finds faster.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import gguf
import llama_cpp as c

from benchmarks.cpu.engines.gguf_file import write_gguf
from benchmarks.cpu.engines.serve import DECODED_BEFORE, Loaded, random_tokens, seconds, serve
from benchmarks.cpu.measurement import Test
from benchmarks.cpu.shapes import MAX_SEQ, Shape, write_random_model

_FILE_TYPES = {
    "Q8_0": c.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_0": c.LLAMA_FTYPE_MOSTLY_Q4_0, "Q4_K_M": c.LLAMA_FTYPE_MOSTLY_Q4_K_M,
}  # fmt: skip
_F16_BYTES = 2
_NO_FLASH, _FLASH = 0, 1
"""llama.cpp's numbers of flash attention off and on."""
_TRIAL_CONTEXT, _TRIAL_TOKENS = 512, 8


class LlamaCpp:
    """One model, and one context for each kind of test, so that what one has cached stays."""

    def prepare(self, shape: Shape, bits: str, folder: Path) -> None:
        """A GGUF file of the random model: BF16, or quantized by llama.cpp."""
        path = _path(folder, bits)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        if bits == "BF16":
            write_gguf(shape, write_random_model(shape, folder / "hf"), unfinished)
        else:
            self.prepare(shape, "BF16", folder)
            parameters = c.llama_model_quantize_default_params()
            parameters.ftype = _FILE_TYPES[bits]
            source, target = str(_path(folder, "BF16")).encode(), str(unfinished).encode()
            if c.llama_model_quantize(source, target, ctypes.byref(parameters)):
                raise RuntimeError(f"llama.cpp did not quantize to {bits}")
        unfinished.rename(path)

    def load(self, shape: Shape, bits: str, folder: Path, threads: int) -> Loaded:
        c.llama_backend_init()
        path = _path(folder, bits)
        self._model = c.llama_model_load_from_file(str(path).encode(), c.llama_model_default_params())
        if not self._model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        self._threads = threads
        self._tokens = (c.llama_token * MAX_SEQ)(*random_tokens(shape, MAX_SEQ))
        self._contexts: dict[str, object] = {}
        self._chosen: int | None = None
        return Loaded(c.__version__, _weight_bytes(path, shape), _F16_BYTES * shape.kv_values_per_position)

    def measure(self, test: Test) -> float:
        name = f"{test.kind} {test.tokens} {test.context}"
        warm = name in self._contexts
        if not warm:
            self._contexts[name] = self._new_context(self._faster_attention() if test.context else _FLASH)
        context = self._contexts[name]

        def prompt() -> None:
            self._forget(context, 0)
            self._decode(context, 0, test.tokens)

        def decode(count: int = test.tokens) -> None:
            for i in range(count):
                self._decode(context, test.context + i, 1)

        if test.kind == "prefill":
            if not warm:
                prompt()
            return seconds(prompt)
        if not warm:
            if test.context:
                self._decode(context, 0, test.context)
            decode(DECODED_BEFORE)
        self._forget(context, test.context)
        return seconds(decode)

    def _faster_attention(self) -> int:
        """Whether flash attention is on or off where decoding after a context is faster."""
        if self._chosen is None:
            self._chosen = min((_FLASH, _NO_FLASH), key=self._trial)
        return self._chosen

    def _trial(self, attention: int) -> float:
        context = self._new_context(attention)
        self._decode(context, 0, _TRIAL_CONTEXT)

        def decode() -> None:
            for i in range(_TRIAL_TOKENS):
                self._decode(context, _TRIAL_CONTEXT + i, 1)

        decode()
        self._forget(context, _TRIAL_CONTEXT)
        taken = seconds(decode)
        c.llama_free(context)
        return taken

    def _new_context(self, attention: int) -> object:
        parameters = c.llama_context_default_params()
        parameters.n_ctx = MAX_SEQ
        parameters.n_threads = parameters.n_threads_batch = self._threads
        parameters.flash_attn_type = attention
        return c.llama_init_from_model(self._model, parameters)

    def _forget(self, context: object, length: int) -> None:
        """Drop what the cache holds from position `length` on."""
        c.llama_memory_seq_rm(c.llama_get_memory(context), 0, length, -1)

    def _decode(self, context: object, first: int, count: int) -> None:
        """Process `count` tokens from position `first`, and wait until they are done."""
        start = ctypes.cast(
            ctypes.byref(self._tokens, first * ctypes.sizeof(c.llama_token)), ctypes.POINTER(c.llama_token)
        )
        if c.llama_decode(context, c.llama_batch_get_one(start, count)):
            raise RuntimeError("llama_decode failed")
        c.llama_synchronize(context)


def _path(folder: Path, bits: str) -> Path:
    return folder / "gguf" / f"{bits}.gguf"


def _weight_bytes(path: Path, shape: Shape) -> int:
    """All tensors but the embedding table, which is read for one row; a tied one is also the head."""
    tensors = gguf.GGUFReader(path).tensors
    total = sum(int(t.n_bytes) for t in tensors if t.name != "token_embd.weight")
    (table,) = (int(t.n_bytes) for t in tensors if t.name == "token_embd.weight")
    return total + (table if shape.tie_word_embeddings else 0) + table // shape.vocab_size


if __name__ == "__main__":
    serve(LlamaCpp())
