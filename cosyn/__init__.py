"""cosyn: lowers a language model once, and compiles it for the chip you have or the chip you are designing.

`cosyn.compile` makes an artifact from a model, `cosyn.load` opens one. Importing this package imports neither
torch nor the compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosyn.api import compile, load

__version__ = "0.1.0"
__all__ = ["__version__", "compile", "load"]


def __getattr__(name: str) -> object:
    if name in ("compile", "load"):
        from cosyn import api

        return getattr(api, name)
    raise AttributeError(f"module 'cosyn' has no attribute {name!r}")
