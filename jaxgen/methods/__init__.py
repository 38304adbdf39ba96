"""Training methods: each a frozen dataclass that is its own config."""

from jaxgen.methods.classifier import Classifier
from jaxgen.methods.evl import EVL
from jaxgen.methods.gan import RelativisticGAN, every_layer, last_layer
from jaxgen.methods.mixture_density import MixtureDensity
from jaxgen.methods.schemes import Own, Pool

__all__ = ["EVL", "Classifier", "MixtureDensity", "Own", "Pool", "RelativisticGAN", "every_layer", "last_layer"]
