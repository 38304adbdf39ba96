"""ObservationModel models: which law a decoder's output makes of an image between 0 and 1."""

import dataclasses
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxgen import losses
from jaxgen.types import Array, Float, Key, Params

__all__ = ["Bernoulli", "DequantizedGaussian", "DiscretizedGaussian", "Gaussian", "ObservationModel"]


@runtime_checkable
class ObservationModel(Protocol):
    """What a noise model does.

    Attributes:
        within: whether rows must lie within 0 and 1.
    """

    @property
    def within(self) -> bool:
        """See above."""
        ...

    def init(self) -> Params:
        """Return what is learned of it."""
        ...

    def observed(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return rows as the law has them: themselves, or with noise added."""
        ...

    def mean(self, made: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the mean of the law that a decoder's output makes, an image between 0 and 1."""
        ...

    def log_likelihood(self, params: Params, x: Float[Array, "n ..."], made: Float[Array, "n ..."]) -> Array:
        """Return how likely rows are under the law of a decoder's output, in nats, `[n]`."""
        ...


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Each pixel is a coin whose log-odds the decoder gives; pixels between 0 and 1 are taken as they are."""

    within: ClassVar[bool] = True  # beyond, what is called a likelihood grows without bound

    def init(self) -> Params:
        """Return nothing."""
        return {}

    def observed(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return the rows."""
        return x

    def mean(self, made: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the probabilities."""
        return jax.nn.sigmoid(made)

    def log_likelihood(self, params: Params, x: Float[Array, "n ..."], made: Float[Array, "n ..."]) -> Array:
        """Return the negative cross-entropy of each row in nats, `[n]`."""
        return losses.bernoulli_log_likelihood(x, made)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Each pixel is normal about a mean between 0 and 1, a sigmoid of what the decoder gives.

    Attributes:
        log_scale: logarithm of the deviation; the papers' 0 is as wide as the pixels' whole range.
        learned: whether it is only where learning starts.
    """

    log_scale: float = 0.0
    learned: bool = False
    within: ClassVar[bool] = False

    def init(self) -> Params:
        """Return the logarithm of the deviation where it is learned."""
        return {"log_scale": jnp.asarray(self.log_scale, jnp.float32)} if self.learned else {}

    def observed(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return the rows."""
        return x

    def mean(self, made: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the means."""
        return jax.nn.sigmoid(made)

    def log_likelihood(self, params: Params, x: Float[Array, "n ..."], made: Float[Array, "n ..."]) -> Array:
        """Return the log-density of each row in nats, `[n]`."""
        return losses.gaussian_log_likelihood(x, self.mean(made), log_scale=self._scale(params))

    def _scale(self, params: Params) -> Array | float:
        return params.get("log_scale", self.log_scale)


@dataclasses.dataclass(frozen=True)
class DequantizedGaussian(Gaussian):
    """The same on images whose bytes were made numbers again by uniform noise, as the paper has its quantised Gaussian.

    References:
        Theis, van den Oord and Bethge, A note on the evaluation of generative models (2016), section 3.1.
    """

    within: ClassVar[bool] = True

    def observed(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return the rows with noise between 0 and 1/255 added."""
        return x + jax.random.uniform(key, x.shape, x.dtype) / 255


@dataclasses.dataclass(frozen=True)
class DiscretizedGaussian(Gaussian):
    """Each byte has the probability of the numbers that are rounded to it: a likelihood in bits, comparable to others.

    Black has the probability of all numbers below it and white of all above: of a deviation as wide as the pixels'
    range little more than these two would count, so the default is narrow.
    """

    log_scale: float = -2.5
    within: ClassVar[bool] = True

    def log_likelihood(self, params: Params, x: Float[Array, "n ..."], made: Float[Array, "n ..."]) -> Array:
        """Return the log-probability of each row in nats, `[n]`."""
        return losses.discretized_gaussian_log_likelihood(x, self.mean(made), log_scale=self._scale(params))
