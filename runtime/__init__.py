"""Runs artifacts: needs neither the compiler nor torch, only numpy, tokenizers, jinja2 and TVM's small
runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosyn.runtime.language_model import Generation, LanguageModel, TextStream, load
    from cosyn.runtime.sampler import SamplingOptions

__all__ = ["Generation", "LanguageModel", "SamplingOptions", "TextStream", "load"]


def __getattr__(name: str) -> object:
    # The compiler takes the artifact format from here and needs nothing else of a runtime.
    if name == "SamplingOptions":
        from cosyn.runtime import sampler

        return sampler.SamplingOptions
    if name in __all__:
        from cosyn.runtime import language_model

        return getattr(language_model, name)
    raise AttributeError(f"module 'cosyn.runtime' has no attribute {name!r}")
