"""From a torch language model to the IR."""

from cosyn.ir.frontend.importing import ImportedModel, import_model

__all__ = ["ImportedModel", "import_model"]
