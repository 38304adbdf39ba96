"""Sources of negative samples for variational autoencoders."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float, Key

__all__ = ["Auxiliary", "ModelSamples", "NegativeSource", "NoisyData", "Uniform"]

Generate = Callable[[], Array]


@runtime_checkable
class NegativeSource(Protocol):
    """Protocol of a source of negative samples.

    Attributes:
        num_tables: number of tables it needs in addition to the data's.
        adversarial: weight of the decoder's loss on the KL divergence from the prior of the encoder's posterior of
            generated samples.
        unit_interval: whether it clips to [0, 1], so that data must be in that range.
    """

    @property
    def num_tables(self) -> int:
        """Number of tables it needs in addition to the data's."""
        ...

    @property
    def adversarial(self) -> float:
        """Weight of the decoder's adversarial loss."""
        ...

    @property
    def unit_interval(self) -> bool:
        """Whether data must be in [0, 1]."""
        ...

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return negative samples, equally many as there are rows.

        Args:
            key: of the draws.
            x: rows of the data, `[n, ...]`.
            generate: returns n samples of the model, `[n, ...]`.
            *others: rows of further tables, `[n, ...]`.

        Returns:
            Negative samples `[n, ...]`.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Auxiliary:
    """Negative samples from a second table, such as other images: `data.Zip((images, others))`."""

    num_tables: ClassVar[int] = 1
    adversarial: ClassVar[float] = 0.0
    unit_interval: ClassVar[bool] = False

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return the rows of the second table."""
        return others[0]


@dataclasses.dataclass(frozen=True)
class NoisyData:
    """Negative samples that are data with added normal noise, clipped to [0, 1].

    Attributes:
        scale: standard deviation of the noise.
    """

    scale: float = 0.25
    num_tables: ClassVar[int] = 0
    adversarial: ClassVar[float] = 0.0
    unit_interval: ClassVar[bool] = True

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return noisy rows."""
        (x,) = promoted(x)
        return jnp.clip(x + self.scale * jax.random.normal(key, x.shape, x.dtype), 0, 1)


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Negative samples of uniformly distributed bytes, divided by 255.

    They fill the range of data that lie mostly in [0, 1].
    """

    num_tables: ClassVar[int] = 0
    adversarial: ClassVar[float] = 0.0
    unit_interval: ClassVar[bool] = False

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return uniform noise."""
        (x,) = promoted(x)
        return jax.random.randint(key, x.shape, 0, 256).astype(x.dtype) / 255


@dataclasses.dataclass(frozen=True)
class ModelSamples:
    """Negative samples that the model generates from the prior.

    Attributes:
        adversarial: weight of KL(q(z|G(z)) || p) in the decoder's loss; 1 is the paper's adversarial scheme, and 0 uses
            samples without it.
    """

    adversarial: float = 1.0
    num_tables: ClassVar[int] = 0
    unit_interval: ClassVar[bool] = False

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return samples of the model."""
        return generate()
