"""The public face of a loaded artifact: text in, text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, Unpack

from cosyn.runtime.chat import ChatTemplate, Message, template_source
from cosyn.runtime.continuation import Continuation, FinishReason, Writer
from cosyn.runtime.errors import RequestError
from cosyn.runtime.executor import Executor, FloatArray
from cosyn.runtime.loader import Artifact, load_executor, open_artifact
from cosyn.runtime.manifest import Manifest
from cosyn.runtime.sampler import Sampler, SamplingKeywords, SamplingOptions
from cosyn.runtime.saved_state import load_state, save_state
from cosyn.runtime.session import Session
from cosyn.runtime.stop import StopMatcher
from cosyn.runtime.tokenizer import Tokenizer, read_config

Prompt: TypeAlias = str | Sequence[int] | Sequence[Message]
"""A text to continue, token ids, or a conversation (messages with `role` and `content`)."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What was written.

    `text` and `token_ids` are the continuation alone; an end token counts, but has no text.
    """

    text: str
    token_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    reused_tokens: int
    """Leading tokens of the prompt that were still in the KV cache."""
    prefill_seconds: float
    decode_seconds: float
    finish_reason: FinishReason
    seed: int
    """What makes a drawn text come out again."""

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt."""
        return len(self.prompt_ids)

    @property
    def decode_tokens_per_second(self) -> float:
        """Speed after the first token; 0 where no other followed."""
        steps = len(self.token_ids) - 1
        return steps / self.decode_seconds if steps > 0 else 0.0


class TextStream(Iterator[str]):
    """Pieces of text as they are written; `result` is there once the stream has ended."""

    def __init__(self, pieces: Iterator[str], run: _Run) -> None:
        self._pieces = pieces
        self._run = run

    def __next__(self) -> str:
        return next(self._pieces)

    @property
    def result(self) -> Generation:
        """The whole generation; RequestError before the stream has ended."""
        return self._run.result(0)


class LanguageModel:
    """A loaded artifact with one conversation whose KV cache is kept from call to call.

    Not for use by two threads at a time.
    """

    def __init__(
        self,
        executor: Executor,
        manifest: Manifest,
        tokenizer: Tokenizer | None = None,
        chat_template: ChatTemplate | None = None,
        *,
        default_sampling: SamplingOptions | None = None,
        context: int | None = None,
    ) -> None:
        """`context`: positions of the KV cache, by default all that the artifact allows."""
        self.executor = executor
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.chat_template = chat_template
        self.default_sampling = default_sampling or SamplingOptions()
        self.session = Session(executor, capacity=context)
        self._batch: Session | None = None

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 256,
        sampling: SamplingOptions | None = None,
        stop: Sequence[str] = (),
        ignore_eos: bool = False,
        **options: Unpack[SamplingKeywords],
    ) -> Generation:
        """Write on after a prompt, with `sampling` or single options such as `temperature=0.8`.

        Ends at an end token (unless `ignore_eos`), before a stop string, after `max_new_tokens`, or where the
        context is full. RequestError for a prompt that is empty or does not fit.
        """
        stream = self.stream(
            prompt,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            stop=stop,
            ignore_eos=ignore_eos,
            **options,
        )
        for _ in stream:
            pass
        return stream.result

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 256,
        sampling: SamplingOptions | None = None,
        stop: Sequence[str] = (),
        ignore_eos: bool = False,
        **options: Unpack[SamplingKeywords],
    ) -> TextStream:
        """Like `generate`, as an iterator over the text's pieces."""
        chosen = replace(sampling or self.default_sampling, **options)
        run = _Run(self, self.session, [prompt], max_new_tokens, chosen, stop, ignore_eos)
        return TextStream((text for _, text in run.write() if text), run)

    def generate_batch(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 256,
        sampling: SamplingOptions | None = None,
        stop: Sequence[str] = (),
        ignore_eos: bool = False,
        **options: Unpack[SamplingKeywords],
    ) -> list[Generation]:
        """Write on after several prompts at once, in a cache of their own; prompt i draws with `seed` + i."""
        if not prompts:
            raise RequestError("there are no prompts")
        if self._batch is None or self._batch.slots != len(prompts):
            self._batch = Session(self.executor, slots=len(prompts), capacity=self.session.capacity)
        chosen = replace(sampling or self.default_sampling, **options)
        run = _Run(self, self._batch, prompts, max_new_tokens, chosen, stop, ignore_eos)
        for _ in run.write():
            pass
        return [run.result(slot) for slot in range(len(prompts))]

    def logits(self, token_ids: Sequence[int]) -> FloatArray:
        """Logits `[len(token_ids), vocab_size]` of a whole sequence, which replaces the conversation."""
        self.session.clear()
        return self.session.all_logits(token_ids)

    def encode(self, prompt: Prompt) -> list[int]:
        """The token ids that a prompt becomes. RequestError where there is nothing to encode it with."""
        if not prompt:
            raise RequestError("the prompt is empty", "give at least one character")
        if isinstance(prompt, str):
            return self._tokenizer().encode(prompt)
        ids = [t for t in prompt if isinstance(t, int)]
        if len(ids) == len(prompt):
            return ids
        messages = [m for m in prompt if isinstance(m, Mapping)]
        if self.chat_template is None:
            raise RequestError("this model has no chat template", "give a plain prompt, or a template of your own")
        # The template writes special tokens itself.
        return self._tokenizer().encode(self.chat_template.render(messages), special=False)

    def encode_text(self, text: str) -> list[int]:
        """Token ids of a piece of text, without special tokens around it."""
        return self._tokenizer().encode(text, special=False)

    def save_state(self, path: Path | str) -> None:
        """Write the conversation's KV cache to a file, from which `load_state` goes on with equal tokens."""
        save_state(self.session, Path(path), self.manifest.seal)

    def load_state(self, path: Path | str) -> None:
        """Go on where `save_state` left off.

        RequestError, ArtifactError; the conversation then stays as it was.
        """
        self.session = load_state(self.executor, Path(path), self.manifest.seal)

    def _tokenizer(self) -> Tokenizer:
        if self.tokenizer is None:
            hint = "compile a folder with a tokenizer.json, or give token ids: --prompt-ids 1,2,3"
            raise RequestError("this artifact has no tokenizer", hint)
        return self.tokenizer


class _Run:
    """One call of generate, over one prompt or a batch."""

    def __init__(
        self,
        model: LanguageModel,
        session: Session,
        prompts: Sequence[Prompt],
        max_new_tokens: int,
        sampling: SamplingOptions,
        stop: Sequence[str],
        ignore_eos: bool,
    ) -> None:
        if max_new_tokens < 1:
            raise RequestError(f"max_new_tokens must be at least 1, found {max_new_tokens}")
        self._prompts = [model.encode(p) for p in prompts]
        self._pending = {slot: session.begin(slot, ids) for slot, ids in enumerate(self._prompts)}
        eos = () if ignore_eos else model.manifest.model.eos_token_ids
        self._continuations: dict[int, Continuation] = {}
        for slot, ids in enumerate(self._prompts):
            seed = None if sampling.seed is None else sampling.seed + slot
            detokenizer = None
            if model.tokenizer is not None:
                # After a conversation a fresh text begins; after a plain prompt the same text goes on.
                plain = isinstance(prompts[slot], str)
                detokenizer = model.tokenizer.detokenizer(ids if plain else ())
            self._continuations[slot] = Continuation(
                Sampler(replace(sampling, seed=seed), ids),
                detokenizer,
                StopMatcher(stop),
                eos,
                # The last token is chosen but not processed, so it needs no position.
                min(max_new_tokens, session.capacity - len(ids) + 1),
            )
        self._writer = Writer(session, self._continuations)

    def write(self) -> Iterator[tuple[int, str]]:
        return self._writer.write(self._pending)

    def result(self, slot: int) -> Generation:
        continuation = self._continuations[slot]
        if continuation.finish_reason is None:
            raise RequestError("the text is not finished", "read the stream to its end first")
        prompt = self._prompts[slot]
        return Generation(
            text=continuation.text,
            token_ids=tuple(continuation.token_ids),
            prompt_ids=tuple(prompt),
            reused_tokens=len(prompt) - len(self._pending[slot]),
            prefill_seconds=self._writer.prefill_seconds,
            decode_seconds=self._writer.decode_seconds,
            finish_reason=continuation.finish_reason,
            seed=continuation.sampler.seed,
        )


def load(
    folder: Path | str,
    *,
    threads: int | None = None,
    huge_pages: bool | None = None,
    context: int | None = None,
    chat_template: str | None = None,
    connect: Callable[[Artifact], Executor] | None = None,
) -> LanguageModel:
    """Check and load an artifact.

    `connect` makes the executor of a checked artifact, where this machine alone cannot run it: an accelerator's.
    `threads`: for kernels, by default one for each physical core. `huge_pages`: copy the weights into huge pages, or
    map the file and share it; by default a copy where it takes at most half of the free memory. `context`: positions
    of the KV cache, by default all that the artifact allows. `chat_template`: Jinja source, instead of the model's own.
    Raises ArtifactError, HostError, RequestError.
    """
    artifact = open_artifact(folder)
    if connect is not None:
        executor = connect(artifact)
    else:
        executor = load_executor(artifact, threads=threads, huge_pages=huge_pages)
    tokenizer, template = _text_side(artifact, chat_template)
    config = read_config(artifact.file("generation_config.json"))
    return LanguageModel(
        executor,
        artifact.manifest,
        tokenizer,
        template,
        default_sampling=SamplingOptions.from_generation_config(config),
        context=context,
    )


def _text_side(artifact: Artifact, override: str | None) -> tuple[Tokenizer | None, ChatTemplate | None]:
    path = artifact.file("tokenizer.json")
    config = read_config(artifact.file("tokenizer_config.json"))
    tokenizer = Tokenizer(path, config) if path else None
    separate = artifact.file("chat_template.jinja")
    source = override or template_source(config, separate.read_text("utf-8") if separate else None)
    special = tokenizer.special_tokens if tokenizer else {}
    return tokenizer, ChatTemplate(source, special) if source else None
