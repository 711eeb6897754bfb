"""OpenVINO GenAI: its `LLMPipeline`, timed by the clock that its performance metrics carry.

A prompt is the time to the first token, decoding the time between the first token and the last. The pipeline picks the
greatest logit itself. Its cache of prompt prefixes would skip a prompt that it has seen, so prompts differ from run to
run; a context that decoding starts from is meant to be found there.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import openvino_genai as genai

from benchmarks.cpu.engines.serve import DECODED_BEFORE, Loaded, random_tokens, serve
from benchmarks.cpu.measurement import Test
from benchmarks.cpu.shapes import Shape, write_random_model

_MODEL = "openvino_model.xml"
_GROUP = 128


class OpenVino:
    """One pipeline."""

    def prepare(self, shape: Shape, bits: str, folder: Path) -> None:
        """The random model as optimum exports it in fp16, or with its weights compressed by nncf."""
        path = _path(folder, bits)
        if (path / "tokenizer_config.json").exists():
            return
        if bits == "fp16":
            _export(write_random_model(shape, folder / "hf"), path)
        else:
            self.prepare(shape, "fp16", folder)
            _compress(_path(folder, "fp16"), path, bits)
        # Last, so that it marks a folder as complete.
        _write_tokenizer(shape, path)

    def load(self, shape: Shape, bits: str, folder: Path, threads: int) -> Loaded:
        path = _path(folder, bits)
        options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self._pipeline = genai.LLMPipeline(str(path), "CPU", **options)
        self._shape = shape
        self._seeds = itertools.count(1)
        self._warm: set[str] = set()
        # The pipeline stores keys and values as u8 unless it is asked for accuracy.
        return Loaded(ov.__version__.split("-")[0], _weight_bytes(path, shape), shape.kv_values_per_position)

    def measure(self, test: Test) -> float:
        name = f"{test.kind} {test.tokens} {test.context}"
        if name not in self._warm:
            self._run(test, DECODED_BEFORE)
            self._warm.add(name)
        return self._run(test, test.tokens)

    def _run(self, test: Test, decoded: int) -> float:
        if test.kind == "prefill":
            result = self._generate(random_tokens(self._shape, test.tokens, next(self._seeds)), 1)
            return float(result.perf_metrics.get_ttft().mean) / 1e3
        # With an empty context decoding starts from one token, as it must from something.
        result = self._generate(random_tokens(self._shape, max(test.context, 1)), 1 + decoded)
        times = result.perf_metrics.raw_metrics.m_new_token_times
        if len(times) != 1 + decoded:
            raise RuntimeError(f"asked for {1 + decoded} tokens, got {len(times)}")
        return float(times[-1] - times[0]) / 1e3

    def _generate(self, tokens: list[int], count: int) -> genai.EncodedResults:
        config = genai.GenerationConfig(max_new_tokens=count, ignore_eos=True, do_sample=False)
        ids = np.asarray([tokens], np.int64)
        return self._pipeline.generate(genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids))), config)


def _path(folder: Path, bits: str) -> Path:
    return folder / "openvino" / bits


def _export(source: Path, path: Path) -> None:
    from optimum.exporters.openvino import main_export

    main_export(str(source), str(path), task="text-generation-with-past", ov_config=_half(), convert_tokenizer=False)


def _half() -> object:
    from optimum.intel import OVConfig

    return OVConfig(dtype="fp16")


def _compress(source: Path, path: Path, bits: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "generation_config.json"):
        if (source / name).exists():
            (path / name).write_bytes((source / name).read_bytes())
    model = ov.Core().read_model(source / _MODEL)
    if bits == "int8":
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    else:
        # A row that does not divide into groups gets smaller ones.
        fallback = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
        mode = nncf.CompressWeightsMode.INT4_SYM
        model = nncf.compress_weights(model, mode=mode, group_size=_GROUP, ratio=1.0, advanced_parameters=fallback)
    ov.save_model(model, path / _MODEL, compress_to_fp16=False)


def _write_tokenizer(shape: Shape, path: Path) -> None:
    """Words w0 w1 …: the pipeline does not start without a tokenizer, though it is never asked."""
    from openvino_tokenizers import convert_tokenizer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, shape.vocab_size)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", bos_token="<s>", unk_token="<unk>")
    encoder, decoder = convert_tokenizer(fast, with_detokenizer=True)
    ov.save_model(encoder, path / "openvino_tokenizer.xml")
    ov.save_model(decoder, path / "openvino_detokenizer.xml")
    fast.save_pretrained(path)


def _weight_bytes(path: Path, shape: Shape) -> int:
    """All constants of the model but the embedding table, of which one row is read; a tied one is also the head."""
    total = table = 0
    for node in ov.Core().read_model(path / _MODEL).get_ops():
        if node.get_type_name() == "Constant":
            size = (node.get_output_element_type(0).bitwidth * int(np.prod(node.get_output_shape(0))) + 7) // 8
            total += size
            # Of a compressed table also its scales and zero points.
            table += size if "embed_tokens" in node.get_friendly_name() else 0
    return total - (0 if shape.tie_word_embeddings else table) + table // shape.vocab_size


if __name__ == "__main__":
    serve(OpenVino())
