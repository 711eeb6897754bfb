"""Weight stores over files and random numbers."""

from cosyn.ir.weight_store.checkpoint import open_checkpoint
from cosyn.ir.weight_store.named import NamedWeights, TensorParts
from cosyn.ir.weight_store.random_weights import RandomWeights
from cosyn.ir.weight_store.safetensors_file import SafetensorsFile

__all__ = ["NamedWeights", "RandomWeights", "SafetensorsFile", "TensorParts", "open_checkpoint"]
