"""Training methods: each a frozen dataclass that is its own config."""

from jaxgen.methods.classifier import Classifier
from jaxgen.methods.evl import EVL, Own, Pool
from jaxgen.methods.gan import RelativisticGAN, every_layer, last_layer
from jaxgen.methods.mixture_density import MixtureDensity

__all__ = ["EVL", "Classifier", "MixtureDensity", "Own", "Pool", "RelativisticGAN", "every_layer", "last_layer"]
