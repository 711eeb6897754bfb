"""Text in, text out, over an executor in numpy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import handmade
import pytest
from fake_executor import FakeExecutor
from small_tokenizers import byte_level, sentencepiece

from cosyn.runtime import LanguageModel, SamplingOptions, load
from cosyn.runtime.chat import ChatTemplate
from cosyn.runtime.errors import RequestError
from cosyn.runtime.fields import Fields
from cosyn.runtime.manifest import parse_manifest
from cosyn.runtime.tokenizer import Tokenizer

CHATML = "{% for m in messages %}<{{ m.role }}>{{ m.content }}|{% endfor %}<assistant>"


def make(tmp_path: Path, *, eos: tuple[int, ...] = (), context: int | None = None, size: int = 64) -> LanguageModel:
    library = byte_level()
    library.save(str(tmp_path / "tokenizer.json"))
    manifest = parse_manifest(Fields({**handmade.manifest(), "files": {}}, "manifest.json"), "f" * 64)
    manifest = replace(manifest, model=replace(manifest.model, eos_token_ids=eos))
    return LanguageModel(
        FakeExecutor(vocab_size=library.get_vocab_size(), max_seq=size),
        manifest,
        Tokenizer(tmp_path / "tokenizer.json", {}),
        ChatTemplate(CHATML, {}),
        context=context,
    )


def test_a_generation_says_what_happened(tmp_path: Path) -> None:
    model = make(tmp_path)
    out = model.generate("Once upon", max_new_tokens=12)
    assert out.prompt_tokens == len(model.encode("Once upon"))
    assert len(out.token_ids) == 12
    assert out.finish_reason == "length"
    assert model.tokenizer is not None
    assert out.text == model.tokenizer.decode([*out.prompt_ids, *out.token_ids])[len("Once upon") :]
    assert out.prefill_seconds > 0
    assert out.decode_tokens_per_second > 0
    assert model.generate("Once upon", max_new_tokens=1).decode_tokens_per_second == 0


def test_a_stream_is_the_text_in_pieces(tmp_path: Path) -> None:
    model = make(tmp_path)
    expected = model.generate("Once", max_new_tokens=20, temperature=1.0, seed=4)
    stream = model.stream("Once", max_new_tokens=20, temperature=1.0, seed=4)
    with pytest.raises(RequestError, match="the text is not finished"):
        _ = stream.result
    pieces = list(stream)
    assert "".join(pieces) == expected.text == stream.result.text
    assert stream.result.token_ids == expected.token_ids
    assert stream.result.seed == 4
    assert len(pieces) > 5


def test_the_same_sampling_options_in_either_form(tmp_path: Path) -> None:
    model = make(tmp_path)
    options = SamplingOptions(temperature=0.7, top_k=20, seed=1)
    one = model.generate("a", max_new_tokens=8, sampling=options)
    two = model.generate("a", max_new_tokens=8, temperature=0.7, top_k=20, seed=1)
    three = model.generate("a", max_new_tokens=8, sampling=replace(options, seed=9), seed=1)
    assert one.token_ids == two.token_ids == three.token_ids


def test_an_end_token_ends_the_text_and_has_none(tmp_path: Path) -> None:
    greedy = make(tmp_path).generate("Once", max_new_tokens=10).token_ids
    model = make(tmp_path, eos=(greedy[4],))
    out = model.generate("Once", max_new_tokens=10)
    assert out.finish_reason == "eos"
    assert out.token_ids == greedy[:5]
    assert model.tokenizer is not None
    assert out.text == model.tokenizer.decode(greedy[:4])
    assert model.generate("Once", max_new_tokens=10, ignore_eos=True).token_ids == greedy


def test_a_stop_string_ends_the_text_before_it(tmp_path: Path) -> None:
    model = make(tmp_path)
    text = model.generate("Once", max_new_tokens=30, temperature=1.0, seed=2).text
    stop = text[5:8]
    stream = model.stream("Once", max_new_tokens=30, temperature=1.0, seed=2, stop=["never", stop])
    assert "".join(stream) == text[: text.index(stop)] == stream.result.text
    assert stream.result.finish_reason == "stop"
    assert len(stream.result.token_ids) < 30


def test_a_text_ends_where_the_context_does(tmp_path: Path) -> None:
    model = make(tmp_path, context=10)
    out = model.generate([1] * 6, max_new_tokens=99)
    # 4 positions are left, and the last token needs none.
    assert len(out.token_ids) == 5
    assert out.finish_reason == "length"
    assert len(model.generate([1] * 10, max_new_tokens=99).token_ids) == 1


def test_a_batch_writes_what_each_prompt_alone_would(tmp_path: Path) -> None:
    model = make(tmp_path)
    prompts = ["Once upon a time", "a", [3, 4, 5]]
    for options in (SamplingOptions(), SamplingOptions(temperature=1.0, seed=10)):
        batch = model.generate_batch(prompts, max_new_tokens=9, sampling=options)
        for i, (prompt, out) in enumerate(zip(prompts, batch, strict=True)):
            seed = None if options.seed is None else options.seed + i
            alone = model.generate(prompt, max_new_tokens=9, sampling=replace(options, seed=seed))
            assert (alone.text, alone.token_ids) == (out.text, out.token_ids)


def test_sequences_of_a_batch_end_one_by_one(tmp_path: Path) -> None:
    greedy = make(tmp_path).generate([7], max_new_tokens=10).token_ids
    model = make(tmp_path, eos=(greedy[3],))
    out = model.generate_batch([[7], [8]], max_new_tokens=10)
    assert [o.finish_reason for o in out] == ["eos", "length"]
    assert [len(o.token_ids) for o in out] == [4, 10]


def test_a_conversation_reuses_what_was_said(tmp_path: Path) -> None:
    model = make(tmp_path)
    executor = model.executor
    assert isinstance(executor, FakeExecutor)
    talk = [{"role": "user", "content": "Once"}]
    first = model.generate(talk, max_new_tokens=5)
    talk += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "u"}]
    before = executor.tokens_processed
    second = model.generate(talk, max_new_tokens=1)
    assert second.reused_tokens >= first.prompt_tokens
    assert executor.tokens_processed - before == second.prompt_tokens - second.reused_tokens
    assert make(tmp_path).generate(talk, max_new_tokens=1).token_ids == second.token_ids


def test_a_continuation_of_a_plain_prompt_keeps_its_space(tmp_path: Path) -> None:
    library = sentencepiece()
    library.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path / "tokenizer.json", {})
    time = tokenizer.encode("time")[0]

    class Always(FakeExecutor):
        def step(self, *arguments):  # type: ignore[no-untyped-def]  # as the base
            logits = super().step(*arguments)
            logits[:, time] = 99
            return logits

    manifest = parse_manifest(Fields({**handmade.manifest(), "files": {}}, "manifest.json"), "f" * 64)
    template = ChatTemplate(CHATML, {})
    model = LanguageModel(Always(vocab_size=library.get_vocab_size()), manifest, tokenizer, template)
    assert model.generate("a", max_new_tokens=2).text == " time time"
    assert model.generate([{"role": "u", "content": "a"}], max_new_tokens=2).text == "time time"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt is empty"),
        ([], "the prompt is empty"),
        ([1] * 65, "the prompt is too long: 65 tokens exceed the context of 64 tokens"),
        ("word " * 100, "the prompt is too long"),
    ],
)
def test_wrong_prompts_are_refused(prompt: str | list[int], message: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        make(tmp_path).generate(prompt)
    assert caught.value.exit_code == 2


def test_other_wrong_requests_are_refused(tmp_path: Path) -> None:
    model = make(tmp_path)
    with pytest.raises(RequestError, match="max_new_tokens must be at least 1, found 0"):
        model.generate("a", max_new_tokens=0)
    with pytest.raises(RequestError, match="there are no prompts"):
        model.generate_batch([])
    with pytest.raises(RequestError, match="temperature must be at least 0"):
        model.generate("a", temperature=-1)
    with pytest.raises(RequestError, match="a context of 65 tokens was asked for; this artifact has 1 to 64"):
        make(tmp_path, context=65)
    model.chat_template = None
    with pytest.raises(RequestError, match="this model has no chat template"):
        model.generate([{"role": "user", "content": "hi"}])
    model.tokenizer = None
    with pytest.raises(RequestError, match="this artifact has no tokenizer"):
        model.generate("hi")
    assert model.generate([1, 2], max_new_tokens=3).text == ""


def test_a_loaded_artifact_has_its_tokenizer_template_and_sampling(artifact: Path) -> None:
    sentencepiece().save(str(artifact / "tokenizer.json"))
    (artifact / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "chat_template": "from config"}))
    (artifact / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0].content }}")
    (artifact / "generation_config.json").write_text(json.dumps({"do_sample": True, "temperature": 0.5}))
    handmade.write_manifest(artifact, handmade.manifest())
    model = load(artifact, context=20)
    assert model.default_sampling == SamplingOptions(temperature=0.5, top_k=50)
    assert model.session.capacity == 20
    assert model.encode([{"role": "user", "content": "a"}])[0] == 1
    own = load(artifact, chat_template="{{ 'time' }}")
    assert own.encode([{"role": "user", "content": "a"}]) == own.encode_text("time")
