"""Training methods: each a frozen dataclass that is its own config."""

from jaxgen.methods.classifier import Classifier
from jaxgen.methods.evl import EVL, Own, Pool

__all__ = ["EVL", "Classifier", "Own", "Pool"]
