"""Mistyped command lines: what is said, what is suggested, and exit code 2."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["complie", "x"], "unknown verb 'complie'; verbs: compile, run,", "did you mean 'compile'?"),
        (["quux"], "unknown verb 'quux'", ""),
        (["compile"], "missing argument 'MODEL'", "see: cosyn compile --help"),
        (["run", "out", "--promt", "x"], "no such option: --promt", "did you mean --prompt or"),
        (["compile", "x", "--max-seq", "0"], "invalid value for '--max-seq'", "see: cosyn compile --help"),
        (["compile", "x", "--max-seq", "long"], "invalid value for '--max-seq'", "see: cosyn compile --help"),
        (["compile", "x", "--target", "cuda:h20"], "unknown target 'cuda:h20'; targets: cpu, cpu_aarch64",
         "did you mean 'cuda:h200'?"),
        (["targets", "gpu9"], "unknown target 'gpu9'; targets: cpu, cpu_aarch64", ""),
        (["compile", "x", "--sinks", "4"], "--sinks without --window", "sinks are what a window keeps"),
        (["run", "out"], "no prompt", "give --prompt TEXT, --prompt-file FILE, --prompt-ids IDS, or --chat"),
        (["run", "out", "--chat", "--json"], "--json answers once", "give --prompt TEXT"),
        (["run", "out", "--prompt", "x", "--system", "y"], "--system without --chat", "a conversation"),
        (["run", "out", "--prompt", "x", "--top-p", "1.5"], "invalid value for '--top-p'", "--help"),
        (["run", "out", "--prompt", "a", "--prompt-file", "b"], "--prompt and --prompt-file", "give one"),
        (["eval", "out"], "missing option '--text'", "see: cosyn eval --help"),
    ],
)  # fmt: skip
def test_wrong_requests(cosyn, words, error: str, hint: str) -> None:
    done = cosyn(*words)
    assert done.code == 2
    assert done.out == "" or "--json" in words
    first, *rest = done.err.splitlines()
    assert first.startswith(f"error: {error}")
    assert hint in "\n".join(rest)
    assert "Traceback" not in done.err


def test_unknown_recipe_lists_choices_and_the_closest(cosyn, tmp_path) -> None:
    done = cosyn("compile", tmp_path, "--recipe", "w4a16_g31")
    assert done.code == 2
    assert "unknown recipe 'w4a16_g31'" in done.err
    assert "did you mean w4a16_g3" in done.err
    assert "w8a16_g128" in done.err


def test_json_failures_are_one_object(cosyn) -> None:
    done = cosyn("targets", "cuda:h20", "--json")
    assert done.object == {
        "error": "unknown target 'cuda:h20'; targets: cpu, cpu_aarch64, cpu_aarch64_i8mm, cpu_avx2, "
        "cpu_avx_vnni, cuda_a100, cuda_h200, opencl_generic",
        "hint": "did you mean 'cuda:h200'? your own YAML file is a path ending in .yaml",
        "exit_code": 2,
    }


def test_usage_failures_in_json(cosyn) -> None:
    assert cosyn("compile", "--json").object["exit_code"] == 2
