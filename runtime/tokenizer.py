"""Text to token ids and back, and text that appears token by token."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import tokenizers

from cosyn.runtime.errors import ArtifactError, RequestError

_INCOMPLETE = "\ufffd"
_CONTEXT_TOKENS = 16


class Tokenizer:
    """A model's tokenizer.json, with what tokenizer_config.json says of its special tokens."""

    def __init__(self, path: Path, config: Mapping[str, object]) -> None:
        """Read tokenizer.json; ArtifactError where the tokenizers library cannot."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception
            raise ArtifactError(f"{path.name} cannot be read: {error}", "compile the artifact again") from error
        # A prompt is never cut or padded behind the caller's back.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.config = config
        self.special_tokens = _special_tokens(config)
        bos = self.special_tokens.get("bos_token")
        self._bos = self._tokenizer.token_to_id(bos) if config.get("add_bos_token") is True and bos else None

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`; with `special` also those that the model expects around it, such as <bos>.

        RequestError for half of a surrogate pair, which is what bytes that are not UTF-8 arrive as.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"the text is not Unicode: {error.reason} at character {error.start}"
            raise RequestError(message, "convert it to UTF-8") from error
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        if special and self._bos is not None and ids[:1] != [self._bos]:
            return [self._bos, *ids]
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of the ids, special tokens left out."""
        text: str = self._tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text

    def detokenizer(self, context: Sequence[int] = ()) -> Detokenizer:
        """Text of the tokens that follow `context`, piece by piece."""
        return Detokenizer(self.decode, context)


class Detokenizer:
    """Turns tokens into text as they come; only characters that later tokens cannot change are shown.

    What a token adds depends on its neighbours: sentencepiece tokenizers drop the space before a first word,
    and a character may be spread over several tokens. So the text of a token is the difference that it makes
    after the tokens before it. Concatenated pieces are the text of all tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._context = list(context[-_CONTEXT_TOKENS:])
        self._pending: list[int] = []
        self._shown = 0

    def push(self, token: int) -> str:
        """Add a token; returns the text that has become certain."""
        self._pending.append(token)
        text = self._pending_text()
        certain = text.rstrip(_INCOMPLETE)
        piece = certain[self._shown :]
        if certain == text:
            self._settle(text)
        else:
            self._shown = max(self._shown, len(certain))
        return piece

    def flush(self) -> str:
        """What is left once no more tokens come; bytes that are no text appear as U+FFFD."""
        text = self._pending_text()
        piece = text[self._shown :]
        self._settle(text)
        return piece

    def _pending_text(self) -> str:
        before = self._decode(self._context)
        text = self._decode(self._context + self._pending)
        if text.startswith(before):
            return text[len(before) :]
        # Byte tokens after byte tokens: the decoder judges their run as one, and this one made it invalid.
        return self._decode(self._pending)

    def _settle(self, text: str) -> None:
        if text:
            self._context = self._pending[-_CONTEXT_TOKENS:]
        self._pending = []
        self._shown = 0


def read_config(path: Path | None) -> Mapping[str, object]:
    """A JSON object from a file of the artifact, empty where there is no such file."""
    if path is None:
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ArtifactError(f"{path.name}: expected an object, found {type(value).__name__}")
    return value


def _special_tokens(config: Mapping[str, object]) -> dict[str, str]:
    """Names such as `bos_token` and the text of the token, which the file holds plainly or in an object."""
    tokens = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"):
        match config.get(name):
            case str(text) | {"content": str(text)}:
                tokens[name] = text
            case _:
                pass
    return tokens
