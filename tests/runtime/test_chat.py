"""Chat templates against Hugging Face's rendering."""

from __future__ import annotations

import pytest

from cosyn.runtime.chat import ChatTemplate, template_source
from cosyn.runtime.errors import RequestError

utilities = pytest.importorskip("transformers.utils.chat_template_utils")

LLAMA2 = """{% if messages[0]['role'] == 'system' %}
{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}
{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}
{% for message in loop_messages %}
  {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
    {{ raise_exception('roles must alternate user/assistant') }}
  {% endif %}
  {% if loop.index0 == 0 and system_message != false %}
    {% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
  {% else %}{% set content = message['content'] %}{% endif %}
  {% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
  {% elif message['role'] == 'assistant' %}{{ ' ' + content + ' ' + eos_token }}{% endif %}
{% endfor %}"""
CHATML = """{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""
EVERYTHING = """{%- set ns = namespace(n=0) %}{% for m in messages %}
{% if m.role == 'system' %}{% continue %}{% endif %}
{% generation %}{{ m.content | trim }}{% endgeneration %}
{%- set ns.n = ns.n + 1 %}{% if ns.n == 2 %}{% break %}{% endif %}
{% endfor %}{{ {'é<': [1, ns.n], 'tools': tools} | tojson }}{{ strftime_now('%Y')[:2] }}
{{ 'x' if messages[0].name is defined }}"""

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TALK = [
    {"role": "system", "content": "Be brief.", "name": None},
    {"role": "user", "content": " Hi <b>there</b> "},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]


@pytest.mark.parametrize("source", [LLAMA2, CHATML, EVERYTHING])
@pytest.mark.parametrize("prompted", [True, False])
def test_prompt_is_that_of_hugging_face(source: str, prompted: bool) -> None:
    mine = ChatTemplate(source, SPECIAL).render(TALK, add_generation_prompt=prompted)
    plain = [{k: v for k, v in m.items() if v is not None} for m in TALK]
    theirs, _ = utilities.render_jinja_template(
        conversations=[plain], chat_template=source, add_generation_prompt=prompted, **SPECIAL
    )
    assert mine == theirs[0]


def test_a_refusal_of_the_template_is_passed_on() -> None:
    with pytest.raises(RequestError, match="roles must alternate user/assistant"):
        ChatTemplate(LLAMA2, SPECIAL).render([{"role": "assistant", "content": "me first"}])


def test_a_message_that_a_template_cannot_handle_is_refused() -> None:
    with pytest.raises(RequestError, match="refuses the conversation"):
        ChatTemplate(LLAMA2, SPECIAL).render([{"role": "user", "content": 3}])


def test_templates_run_in_a_sandbox() -> None:
    template = ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}", {})
    with pytest.raises(RequestError, match="unsafe"):
        template.render(TALK)


def test_a_broken_template_is_named_by_line() -> None:
    with pytest.raises(RequestError, match="chat template, line 2:"):
        ChatTemplate("fine\n{% if %}", {})


def test_an_empty_conversation_is_refused() -> None:
    with pytest.raises(RequestError, match="no messages"):
        ChatTemplate(CHATML, {}).render([])


def test_where_a_template_comes_from() -> None:
    named = {"chat_template": [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]}
    assert template_source({"chat_template": "plain"}, None) == "plain"
    assert template_source({"chat_template": "plain"}, "of its own file") == "of its own file"
    assert template_source(named, None) == "A"
    assert template_source(named, None, "tool_use") == "B"
    assert template_source({}, None) is None
