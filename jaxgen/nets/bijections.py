"""Invertible layers beside couplings, and their composition: each maps both ways with its logarithm of volume."""

import math
from collections.abc import Sequence
from typing import Protocol

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxgen.types import Array, Float

__all__ = ["ActNorm", "ComposedBijection", "Flatten", "Bijection", "Permutation", "SpaceToDepth", "Split"]

Moved = tuple[Float[Array, "..."], Float[Array, "..."]]
Condition = Float[Array, "... c"] | None


class Bijection(Protocol):
    """What an invertible layer does, on rows with any leading axes."""

    def __call__(self, x: Float[Array, "..."], given: Condition = None) -> Moved:
        """Return where rows go, and the logarithm of the volume's growth: for each row, or one number for all."""
        ...

    def inverse(self, z: Float[Array, "..."], given: Condition = None) -> Moved:
        """Return where rows came from, and the logarithm of the volume's growth on the way back."""
        ...


class ActNorm(nn.Module):
    """Scales and shifts every feature; it starts where the first minibatch has mean 0 and deviation 1.

    Attributes:
        axes: of a row, 1 for vectors and 3 for images; the last one is the features.

    References:
        Kingma and Dhariwal, Glow: generative flow with invertible 1 x 1 convolutions (2018), section 3.1.
    """

    axes: int = 1

    def __call__(self, x: Float[Array, "..."], given: Condition = None) -> Moved:
        """Return rows scaled, and the logarithm of the volume's growth, `[]`."""
        log_scale, centre = self._learned(x)
        return (x - _behind(centre, x)) * _behind(jnp.exp(log_scale), x), self._over_row(log_scale, x)

    def inverse(self, z: Float[Array, "..."], given: Condition = None) -> Moved:
        """Return rows unscaled, and the logarithm of the volume's growth on the way back, `[]`."""
        log_scale, centre = self._learned(z)
        return z * _behind(jnp.exp(-log_scale), z) + _behind(centre, z), -self._over_row(log_scale, z)

    @nn.compact
    def _learned(self, x: Array) -> tuple[Array, Array]:
        rows = x.reshape(-1, x.shape[-1])
        # No feature is blown up beyond what a thousandth of its unit would ask for, even if it never changes.
        log_scale = self.param("log_scale", lambda key: -jnp.log(jnp.maximum(jnp.std(rows, 0), 1e-3)))
        return log_scale, self.param("centre", lambda key: jnp.mean(rows, 0))

    def _over_row(self, log_scale: Array, x: Array) -> Array:
        return jnp.sum(log_scale) * math.prod(x.shape[-self.axes : -1])


class Permutation(nn.Module):
    """Puts features into another order, which never changes.

    Attributes:
        seed: of the order.
    """

    seed: int

    def __call__(self, x: Float[Array, "... d"], given: Condition = None) -> Moved:
        """Return rows in the other order, and 0."""
        return x[..., self._order(x)], jnp.zeros(())

    def inverse(self, z: Float[Array, "... d"], given: Condition = None) -> Moved:
        """Return rows in the order they had, and 0."""
        return z[..., np.argsort(self._order(z))], jnp.zeros(())

    def _order(self, x: Array) -> np.ndarray:
        return np.random.default_rng(self.seed).permutation(x.shape[-1])


class SpaceToDepth(nn.Module):
    """Halves both sides of images and stacks each two by two pixels into features.

    References:
        Jacobsen, Smeulders and Oyallon, i-RevNet: deep invertible networks (2018), section 3.1; Bungert (2021),
        figure 2.3.
    """

    def __call__(self, x: Float[Array, "... h w c"], given: Condition = None) -> Moved:
        """Return images `[..., h / 2, w / 2, 4 c]`, and 0.

        Raises:
            ValueError: if a side is odd.
        """
        *lead, height, width, features = x.shape
        if height % 2 or width % 2:
            raise ValueError(f"images of {height} x {width} pixels cannot be halved; give even sides.")
        x = x.reshape(*lead, height // 2, 2, width // 2, 2, features)
        return jnp.moveaxis(x, -4, -3).reshape(*lead, height // 2, width // 2, 4 * features), jnp.zeros(())

    def inverse(self, z: Float[Array, "... h w c"], given: Condition = None) -> Moved:
        """Return images `[..., 2 h, 2 w, c / 4]`, and 0."""
        *lead, height, width, features = z.shape
        z = z.reshape(*lead, height, width, 2, 2, features // 4)
        return jnp.moveaxis(z, -3, -4).reshape(*lead, 2 * height, 2 * width, features // 4), jnp.zeros(())


class Flatten(nn.Module):
    """Makes vectors of images.

    Attributes:
        shape: of an image.
    """

    shape: Sequence[int]

    def __call__(self, x: Float[Array, "..."], given: Condition = None) -> Moved:
        """Return rows `[..., d]`, and 0."""
        return x.reshape(*x.shape[: x.ndim - len(self.shape)], -1), jnp.zeros(())

    def inverse(self, z: Float[Array, "... d"], given: Condition = None) -> Moved:
        """Return images `[..., *shape]`, and 0."""
        return z.reshape(*z.shape[:-1], *self.shape), jnp.zeros(())


class Split(nn.Module):
    """Lets the first half of the features go on through other layers, and joins the rest to what they make.

    Attributes:
        onward: `[..., *half] -> [..., m]`, invertible.
        shape: of a row before it.
    """

    onward: nn.Module
    shape: Sequence[int]

    def __call__(self, x: Float[Array, "..."], given: Condition = None) -> Moved:
        """Return rows `[..., d]`, what went on first, and the logarithm of its volume's growth."""
        half = self.shape[-1] // 2
        gone, grown = self.onward(x[..., :half], given)
        rest = x[..., half:].reshape(*gone.shape[:-1], -1)
        return jnp.concatenate([gone, rest], -1), grown

    def inverse(self, z: Float[Array, "... d"], given: Condition = None) -> Moved:
        """Return rows `[..., *shape]`, and the logarithm of the volume's growth on the way back."""
        half = self.shape[-1] // 2
        through = math.prod(self.shape[:-1]) * half
        gone, grown = self.onward.inverse(z[..., :through], given)
        rest = z[..., through:].reshape(*gone.shape[:-1], self.shape[-1] - half)
        return jnp.concatenate([gone, rest], -1), grown


class ComposedBijection(nn.Module):
    """Layers one after another.

    Attributes:
        layers: invertible ones, the first of which meets the data.
    """

    layers: Sequence[nn.Module]

    def __call__(self, x: Float[Array, "..."], given: Condition = None) -> Moved:
        """Return rows after all layers, and the logarithm of the volume's growth."""
        total = jnp.zeros(())
        for layer in self.layers:
            x, grown = layer(x, given)
            total = total + grown
        return x, total

    def inverse(self, z: Float[Array, "..."], given: Condition = None) -> Moved:
        """Return rows before all layers, and the logarithm of the volume's growth on the way back."""
        total = jnp.zeros(())
        for layer in reversed(self.layers):
            z, grown = layer.inverse(z, given)
            total = total + grown
        return z, total


def _behind(feature: Array, x: Array) -> Array:
    """Give a vector over features as many leading axes as rows have."""
    return feature.reshape((1,) * (x.ndim - 1) + feature.shape)
