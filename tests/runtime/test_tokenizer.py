"""Streaming detokenisation: the pieces are the text, and no piece ends inside a character."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from small_tokenizers import TEXT, byte_level, sentencepiece
from tokenizers import Tokenizer as Library

from cosyn.runtime.errors import ArtifactError
from cosyn.runtime.tokenizer import Tokenizer, read_config


def opened(library: Library, folder: Path, **config: object) -> Tokenizer:
    library.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder / "tokenizer.json", config)


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_pieces_make_the_text_and_none_is_incomplete(make: type, tmp_path: Path) -> None:
    tokenizer = opened(make(), tmp_path)
    ids = tokenizer.encode(TEXT)
    stream = tokenizer.detokenizer()
    pieces = [stream.push(t) for t in ids]
    assert "".join(pieces) == TEXT
    assert not any("\ufffd" in p for p in pieces)
    assert stream.flush() == ""
    assert sum(map(bool, pieces)) > len(ids) / 3, "text appears as it is written"


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_a_continuation_joins_its_prompt(make: type, tmp_path: Path) -> None:
    tokenizer = opened(make(), tmp_path)
    ids = tokenizer.encode(TEXT)
    for cut in range(1, len(ids)):
        before = tokenizer.decode(ids[:cut])
        if "\ufffd" not in before:
            stream = tokenizer.detokenizer(ids[:cut])
            assert before + "".join(map(stream.push, ids[cut:])) == TEXT


def test_space_of_a_first_word_is_dropped_only_without_context(tmp_path: Path) -> None:
    tokenizer = opened(sentencepiece(), tmp_path)
    time = tokenizer.encode("time")
    assert tokenizer.detokenizer().push(time[0]) == "time"
    assert tokenizer.detokenizer(tokenizer.encode("a")).push(time[0]) == " time"


def test_arbitrary_bytes_stream_to_the_decoders_text(tmp_path: Path) -> None:
    """A byte-level decoder is a concatenation: whatever the tokens, the pieces are its text."""
    library = byte_level()
    tokenizer = opened(library, tmp_path)
    generator = random.Random(0)
    for _ in range(200):
        ids = [generator.randrange(library.get_vocab_size()) for _ in range(30)]
        stream = tokenizer.detokenizer()
        assert "".join(map(stream.push, ids)) + stream.flush() == tokenizer.decode(ids)


def test_byte_tokens_that_are_no_text_do_not_stop_what_follows(tmp_path: Path) -> None:
    library = sentencepiece()
    tokenizer = opened(library, tmp_path)
    euro = [library.token_to_id(f"<0x{b:02X}>") for b in "€".encode()]
    broken = library.token_to_id("<0xFF>")
    time = library.token_to_id("▁time")
    stream = tokenizer.detokenizer(tokenizer.encode("a"))
    pieces = [stream.push(t) for t in [*euro, broken, time, *euro, *euro, time]]
    assert pieces == ["", "", "€", "", "\ufffd time", "", "", "€", "", "", "€", " time"]


def test_an_unfinished_character_appears_at_the_end(tmp_path: Path) -> None:
    library = byte_level()
    tokenizer = opened(library, tmp_path)
    first = tokenizer.encode("你")[0]
    stream = tokenizer.detokenizer()
    assert stream.push(first) == ""
    assert stream.flush() == "\ufffd"


def test_special_tokens_have_no_text(tmp_path: Path) -> None:
    tokenizer = opened(sentencepiece(), tmp_path)
    stream = tokenizer.detokenizer()
    ids = [1, *tokenizer.encode("a time"), 2]
    assert "".join(map(stream.push, ids)) + stream.flush() == "a time"


def test_bos_is_added_where_the_config_asks_for_it(tmp_path: Path) -> None:
    bos = {"content": "<s>", "lstrip": False}
    tokenizer = opened(sentencepiece(), tmp_path, add_bos_token=True, bos_token=bos)
    assert tokenizer.encode("a")[0] == 1
    assert tokenizer.encode("a", special=False)[0] != 1
    assert tokenizer.special_tokens == {"bos_token": "<s>"}


def test_bos_that_the_tokenizer_adds_itself_is_not_added_twice(shared_dir: Path) -> None:
    folder = shared_dir / "models" / "stories260K"
    tokenizer = Tokenizer(folder / "tokenizer.json", read_config(folder / "tokenizer_config.json"))
    for case in json.loads((folder / "reference.json").read_text())["cases"]:
        assert tokenizer.encode(case["prompt"]) == case["prompt_ids"]
        stream = tokenizer.detokenizer(case["prompt_ids"])
        new = case["output_ids"][len(case["prompt_ids"]) :]
        assert case["prompt"] + "".join(map(stream.push, new)) + stream.flush() == case["text"]


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": 1}')
    with pytest.raises(ArtifactError, match=r"tokenizer\.json cannot be read"):
        Tokenizer(tmp_path / "tokenizer.json", {})
