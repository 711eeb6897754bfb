"""The bit-exact reference: a graph executed in the accelerator's arithmetic."""

from cosyn.accelerator_model.reference.attention import CacheContent
from cosyn.accelerator_model.reference.model import Observer, ReferenceModel
from cosyn.accelerator_model.reference.random_weights import RandomWeights
from cosyn.accelerator_model.reference.weights import MatrixSource, QuantizedWeights

__all__ = ["CacheContent", "MatrixSource", "Observer", "QuantizedWeights", "RandomWeights", "ReferenceModel"]
