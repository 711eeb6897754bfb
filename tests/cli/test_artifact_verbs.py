"""The verbs that take an artifact, on the model of the examples in float32."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

PYDOC_LLAMA = Path(__file__).parents[2] / "examples" / "models" / "pydoc-llama"
REFERENCE = json.loads((PYDOC_LLAMA / "reference.json").read_text(encoding="utf-8"))
CASE = REFERENCE["cases"][0]


def run(cosyn, artifact, *words):
    return cosyn("run", artifact, "--temperature", "0", "--max-new-tokens", "16", *words)


def test_greedy_tokens_are_those_of_hugging_face(cosyn, artifact) -> None:
    done = cosyn("run", artifact, "--prompt", CASE["prompt"], "--max-new-tokens", "64", "--temperature", "0", "--json")
    found = done.object
    assert found["output_ids"] == CASE["output_ids"]
    assert found["token_ids"] == CASE["output_ids"][len(CASE["prompt_ids"]) :]
    assert found["prompt_tokens"] == len(CASE["prompt_ids"])
    assert found["prefill_seconds"] > 0
    assert found["decode_tokens_per_second"] > 0
    assert done.code == 0


def test_text_streams_to_stdout_and_speed_to_stderr(cosyn, artifact) -> None:
    done = run(cosyn, artifact, "--prompt", CASE["prompt"])
    assert done.out.startswith(CASE["prompt"])
    assert len(done.out) > len(CASE["prompt"]) + 10
    assert "tokens at" in done.err
    assert "ended by length" in done.err


def test_quiet_leaves_only_the_text(cosyn, artifact) -> None:
    assert run(cosyn, artifact, "--prompt", CASE["prompt"], "--quiet").err == ""


def test_a_seed_repeats_and_temperature_varies(cosyn, artifact) -> None:
    words = (
        "run",
        artifact,
        "--prompt",
        "A class",
        "-n",
        "24",
        "--temperature",
        "1",
        "--top-p",
        "0.95",
        "--json",
    )
    first, again, other = (cosyn(*words, "--seed", s).object["token_ids"] for s in (7, 7, 8))
    assert first == again
    assert first != other


def test_a_stop_string_ends_the_text_before_it(cosyn, artifact) -> None:
    whole = run(cosyn, artifact, "--prompt", CASE["prompt"], "--json").object["text"]
    word = whole.split()[3]
    found = run(cosyn, artifact, "--prompt", CASE["prompt"], "--stop", word, "--json").object
    assert found["text"] == whole[: whole.index(word)]
    assert found["finish_reason"] == "stop"


def test_the_prompt_from_a_file(cosyn, artifact, tmp_path) -> None:
    (tmp_path / "prompt.txt").write_text(CASE["prompt"], encoding="utf-8")
    found = run(cosyn, artifact, "--prompt-file", tmp_path / "prompt.txt", "--json").object
    assert found["prompt_token_ids"] == CASE["prompt_ids"]


def test_eval_equals_the_perplexity_of_hugging_face(cosyn, artifact) -> None:
    words = (
        "eval",
        artifact,
        "--text",
        PYDOC_LLAMA / "held_out.txt",
        "--max-tokens",
        REFERENCE["ppl"]["tokens"],
    )
    found = cosyn(*words, "--json").object
    assert found["tokens"] == REFERENCE["ppl"]["tokens"]
    assert found["perplexity"] == pytest.approx(REFERENCE["ppl"]["ppl"], rel=1e-3)


def test_bench_reports_speed_and_share_of_the_roofline(cosyn, artifact) -> None:
    found = cosyn("bench", artifact, "--prompt-tokens", 8, "--new-tokens", 4, "--repeats", 1, "--json").object
    for key in (
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "bandwidth_gbps",
        "roofline_fraction",
    ):
        assert found[key] > 0, key
    # Float32 weights, read once per token: the embedding table is tied to the head, so all of them.
    assert found["decode_bytes_per_token"] > 4 * 3_000_000


def test_verify_finds_no_divergence(cosyn, artifact) -> None:
    done = cosyn("verify", artifact, "--prompt-tokens", 9, "--json")
    assert done.code == 0
    assert done.object["mismatches"] == 0
    assert done.object["checked"] > 100
    assert done.object["first_divergence"] is None


def test_verify_names_the_first_layer_that_diverges(cosyn, artifact, tmp_path) -> None:
    """Against a model whose layer 2 was changed after compiling."""
    from safetensors.numpy import load_file, save_file

    model = Path(shutil.copytree(PYDOC_LLAMA, tmp_path / "model"))
    tensors = load_file(model / "model.safetensors")
    tensors["model.layers.2.mlp.down_proj.weight"] *= 1.5
    save_file(tensors, model / "model.safetensors")
    done = cosyn("verify", artifact, "--model", model, "--prompt-tokens", 4, "--json")
    assert done.code == 1
    assert done.object["mismatches"] >= 2
    assert done.object["first_divergence"]["layer"] == "model.layers.2.mlp.down_proj"
    assert "model.layers.2.mlp.down_proj" in cosyn("verify", artifact, "--model", model).out


def test_inspect_an_artifact(cosyn, artifact) -> None:
    found = cosyn("inspect", artifact, "--ir", "--costs", "--groups", "--memory", "--json").object
    assert found["states"] == 5
    assert found["arena_bytes"] <= 1.05 * found["arena_lower_bound_bytes"]
    assert {c["op"] for c in found["costs"]} >= {"linear", "attend", "rms_norm"}
    # Nine in each layer; the last norm and the logits.
    assert len(found["groups"]) >= found["kernels"] == 5 * 9 + 2
    assert "attend" in found["ir"]
    assert found["buffers"]


def test_inspect_tells_how_many_weights_each_matrix_keeps(cosyn, tiny_model) -> None:
    done = cosyn("inspect", tiny_model, "--recipe", "w8a8_mixed75", "--weights", "--json")
    matrices = done.object["matrices"]
    sizes = [math.prod(m["shape"]) for m in matrices]
    share = sum(size * m["kept"] for size, m in zip(sizes, matrices, strict=True)) / (16 * sum(sizes))
    assert {m["kept"] for m in matrices} >= {8, 16}
    assert 0.6 < share <= 0.75
    assert all((".8of16" in m["format"]) == (m["kept"] == 8) for m in matrices if m["kept"] in (8, 16))
    table = cosyn("inspect", tiny_model, "--recipe", "w8a8_mixed75", "--weights").out
    assert f"kept: {share:.1%} of {sum(sizes):,} weights" in table


def test_inspect_a_config_alone(cosyn, tiny_model) -> None:
    found = cosyn("inspect", tiny_model / "config.json", "--recipe", "w4a16_g32", "--json").object
    assert found["states"] == 2
    assert found["weight_bytes"] > 0


@pytest.mark.parametrize(
    ("words", "error", "code"),
    [
        (["run", "--prompt", ""], "the prompt is empty", 2),
        (["run", "--prompt", "word " * 600], "the prompt is too long", 2),
        (["run", "--chat", "--prompt", "hello"], "this model has no chat template", 2),
        (["run", "--prompt", "x", "--stop", ""], "a stop string must not be empty", 2),
        (["bench", "--prompt-tokens", "4000"], "exceeds the context of 512", 2),
        (["verify", "--prompt-tokens", "512"], "exceed the artifact's context of 512", 2),
        (["verify", "--model", "nowhere"], "the model that this artifact was made from is not at nowhere", 2),
        (["eval", "--text", "nowhere.txt"], "nowhere.txt: no such file or folder", 2),
    ],
)  # fmt: skip
def test_requests_that_an_artifact_cannot_meet(cosyn, artifact, words, error: str, code: int) -> None:
    verb, *options = words
    done = cosyn(verb, artifact, *options)
    assert done.code == code
    assert f"error: {error}" in done.err or error in done.err
    assert "Traceback" not in done.err


def test_eval_refuses_bytes_that_are_no_text(cosyn, artifact, tmp_path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    done = cosyn("eval", artifact, "--text", tmp_path / "bytes")
    assert done.code == 2
    assert "is not UTF-8 text" in done.err


def test_token_ids_as_the_prompt(cosyn, artifact) -> None:
    ids = ",".join(str(t) for t in CASE["prompt_ids"])
    found = cosyn("run", artifact, "--prompt-ids", ids, "-n", "64", "--temperature", "0", "--json").object
    assert found["output_ids"] == CASE["output_ids"]


@pytest.mark.parametrize("ids", ["", "1,x", "1,-2", "1,1024"])
def test_wrong_token_ids(cosyn, artifact, ids: str) -> None:
    done = cosyn("run", artifact, "--prompt-ids", ids)
    assert done.code == 2
    assert "expected token ids from 0 to 1023" in done.err


def test_token_ids_beside_a_prompt(cosyn, artifact) -> None:
    done = cosyn("run", artifact, "--prompt-ids", "1", "--prompt", "x")
    assert done.code == 2
    assert "--prompt-ids beside another prompt" in done.err
