"""Chat templates: a conversation becomes a prompt as the model's authors wrote it down, in Jinja.

Templates are untrusted input and run in Jinja's sandbox, with the functions that Hugging Face offers them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn, TypeAlias

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cosyn.runtime.errors import RequestError

Message: TypeAlias = Mapping[str, object]
"""`role` (such as `user`, `assistant`, `system`) and `content`, and whatever else the template knows."""

# A template is a program: what it does with a message it did not expect may be any of these.
_TEMPLATE_FAULTS = (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError)


class ChatTemplate:
    """A compiled template, and the special tokens that it may name."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """RequestError where the source is not a template."""
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise RequestError(f"chat template, line {error.lineno}: {error.message}") from error
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True, **variables: object) -> str:
        """The prompt for a conversation; RequestError where the template refuses it."""
        if not messages:
            raise RequestError("the conversation has no messages")
        # Many templates write "None" for a null that they would have skipped had the key been absent.
        plain = [{key: value for key, value in m.items() if value is not None} for m in messages]
        context = {
            **self._special_tokens,
            "tools": None,
            "documents": None,
            **variables,
            "messages": plain,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._template.render(context)
        except _TEMPLATE_FAULTS as error:
            raise RequestError(f"the chat template refuses the conversation: {error}") from error


def template_source(config: Mapping[str, object], separate_file: str | None, name: str = "default") -> str | None:
    """The template in chat_template.jinja, else in tokenizer_config.json (text, or named templates).

    None if absent.
    """
    if separate_file is not None:
        return separate_file
    match config.get("chat_template"):
        case str(text):
            return text
        case [*named]:
            templates = {t["name"]: t["template"] for t in named if isinstance(t, dict)}
            return templates.get(name)
        case _:
            return None


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    return environment


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}` marks what the assistant said, for training; here its contents pass through."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's interface)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which a model was never shown.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
