"""Observation models: the distribution of a row or an image conditional on a decoder's output."""

import dataclasses
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxgen import losses
from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float, Key, Params

__all__ = [
    "Bernoulli",
    "DequantizedGaussian",
    "DiscretizedGaussian",
    "Gaussian",
    "ObservationModel",
    "UnboundedGaussian",
]


@runtime_checkable
class ObservationModel(Protocol):
    """Protocol of an observation model, p(x|z).

    Attributes:
        unit_interval: whether rows must be in [0, 1].
    """

    @property
    def unit_interval(self) -> bool:
        """Whether rows must be in [0, 1]."""
        ...

    def init(self) -> Params:
        """Return the initial parameters; {} if there are none."""
        ...

    def preprocess(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return rows as the model sees them: unchanged, or dequantized with noise."""
        ...

    def mean(self, output: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the mean row for a decoder's output of the same shape; in [0, 1] for images."""
        ...

    def log_likelihood(self, params: Params, x: Float[Array, "n ..."], output: Float[Array, "n ..."]) -> Array:
        """Return the log-likelihood of rows conditional on the decoder's output, in nats, `[n]`."""
        ...


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Independent Bernoulli pixels, whose logits are the decoder's output.

    Values between 0 and 1 enter the cross-entropy unchanged.
    """

    unit_interval: ClassVar[bool] = True  # outside of [0, 1] the cross-entropy is unbounded

    def init(self) -> Params:
        """Return {}: there are no parameters."""
        return {}

    def preprocess(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return the rows unchanged."""
        return x

    def mean(self, output: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the probabilities."""
        return jax.nn.sigmoid(output)

    def log_likelihood(self, params: Params, x: Float[Array, "n ..."], output: Float[Array, "n ..."]) -> Array:
        """Return the negative cross-entropy of each row in nats, `[n]`."""
        return losses.bernoulli_log_likelihood(x, output)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Independent Gaussian pixels with one standard deviation; means are sigmoids of the decoder's output.

    Means lie in [0, 1], so scale rows to that range, for example by `sklearn.preprocessing.MinMaxScaler`. Rows outside
    it have a density, but cannot be reconstructed.

    Attributes:
        log_scale: logarithm of the standard deviation. The papers' 0 is as wide as the pixels' whole range.
        learn_scale: whether the standard deviation is a parameter, with `log_scale` as initial value.
    """

    log_scale: float = 0.0
    learn_scale: bool = False
    unit_interval: ClassVar[bool] = False

    def init(self) -> Params:
        """Return the log standard deviation if it is learned."""
        return {"log_scale": jnp.asarray(self.log_scale, jnp.float32)} if self.learn_scale else {}

    def preprocess(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return the rows unchanged."""
        return x

    def mean(self, output: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the means, in single precision at least."""
        (output,) = promoted(output)
        return jax.nn.sigmoid(output)

    def log_likelihood(self, params: Params, x: Float[Array, "n ..."], output: Float[Array, "n ..."]) -> Array:
        """Return the log-density of each row in nats, `[n]`."""
        return losses.gaussian_log_likelihood(x, self.mean(output), log_scale=self._scale(params))

    def _scale(self, params: Params) -> Array | float:
        return params.get("log_scale", self.log_scale)


@dataclasses.dataclass(frozen=True)
class UnboundedGaussian(Gaussian):
    """Independent Gaussian columns with one standard deviation; their means are the decoder's output, of any size.

    It is for the columns of a table. All have the same standard deviation, so scale them to a similar one first, for
    example by `sklearn.preprocessing.StandardScaler`.

    Attributes:
        log_scale: logarithm of the standard deviation, in units of the columns.
        learn_scale: whether the standard deviation is a parameter, with `log_scale` as initial value.
    """

    learn_scale: bool = True

    def mean(self, output: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the output, in single precision at least."""
        return promoted(output)[0]


@dataclasses.dataclass(frozen=True)
class DequantizedGaussian(Gaussian):
    """Gaussian pixels on images dequantized with uniform noise; the quantized Gaussian of the paper.

    References:
        Theis, van den Oord and Bethge, A note on the evaluation of generative models (2016), section 3.1.
    """

    unit_interval: ClassVar[bool] = True

    def preprocess(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return the rows with uniform noise in [0, 1/255) added."""
        (x,) = promoted(x)
        return x + jax.random.uniform(key, x.shape, x.dtype) / 255


@dataclasses.dataclass(frozen=True)
class DiscretizedGaussian(Gaussian):
    """Gaussian pixels rounded to bytes, whose likelihood in bits is comparable with other models.

    Each byte has the probability of all values that round to it. Black has that of all values below it too, and white
    that of all values above. With a standard deviation as wide as the pixels' range, most probability would be on these
    two, so the default is narrow.
    """

    log_scale: float = -2.5
    unit_interval: ClassVar[bool] = True

    def log_likelihood(self, params: Params, x: Float[Array, "n ..."], output: Float[Array, "n ..."]) -> Array:
        """Return the log-probability of each row in nats, `[n]`."""
        return losses.discretized_gaussian_log_likelihood(x, self.mean(output), log_scale=self._scale(params))
