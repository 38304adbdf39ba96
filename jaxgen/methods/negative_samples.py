"""Where negative samples come from."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float, Key

__all__ = ["Auxiliary", "ModelSamples", "Negatives", "NoisyData", "Uniform"]

Generate = Callable[[], Array]


@runtime_checkable
class Negatives(Protocol):
    """What a source does.

    Attributes:
        tables: how many tables it needs beside the data's.
        adversarial: weight of what the decoder pays for samples that the encoder tells from data.
        within: whether it would cut rows beyond 0 and 1, so that the data must lie there.
    """

    @property
    def tables(self) -> int:
        """See above."""
        ...

    @property
    def adversarial(self) -> float:
        """See above."""
        ...

    @property
    def within(self) -> bool:
        """See above."""
        ...

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return negatives.

        Args:
            key: of the draw.
            x: rows of the data, `[n, ...]`.
            generate: makes as many rows with the model.
            *others: rows of further tables.

        Returns:
            As many rows.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Auxiliary:
    """Rows of a second table, such as other images: `data.Zip((images, others))`."""

    tables: ClassVar[int] = 1
    adversarial: ClassVar[float] = 0.0
    within: ClassVar[bool] = False

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return the rows of the second table."""
        return others[0]


@dataclasses.dataclass(frozen=True)
class NoisyData:
    """The data with normal noise added, kept between 0 and 1.

    Attributes:
        scale: deviation of the noise.
    """

    scale: float = 0.25
    tables: ClassVar[int] = 0
    adversarial: ClassVar[float] = 0.0
    within: ClassVar[bool] = True

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return noisy rows."""
        return jnp.clip(x + self.scale * jax.random.normal(key, x.shape, x.dtype), 0, 1)


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Bytes drawn evenly, as fractions of 255: of rows mostly between 0 and 1 they fill the range."""

    tables: ClassVar[int] = 0
    adversarial: ClassVar[float] = 0.0
    within: ClassVar[bool] = False

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return noise."""
        return jax.random.randint(key, x.shape, 0, 256).astype(x.dtype) / 255


@dataclasses.dataclass(frozen=True)
class ModelSamples:
    """What the model makes of noise from the prior.

    Attributes:
        adversarial: weight of KL(q(z|G(z)) || p), which the decoder pays; 1 is the paper's adversarial scheme, and 0
            are mere samples.
    """

    adversarial: float = 1.0
    tables: ClassVar[int] = 0
    within: ClassVar[bool] = False

    def draw(self, key: Key[Array, ""], x: Float[Array, "n ..."], generate: Generate, *others: Array) -> Array:
        """Return samples."""
        return generate()
