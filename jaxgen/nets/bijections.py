"""Bijective layers other than couplings, and their composition.

Every layer maps forward and back, and returns the log absolute determinant of its Jacobian with each result. Both are
in single precision or better: in half precision the inverse would not return the samples.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.numerics.column_scale import location_and_scale
from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float

__all__ = ["ActNorm", "Bijection", "Border", "ComposedBijection", "Flatten", "Permutation", "SpaceToDepth", "Split"]

Moved = tuple[Float[Array, "..."], Float[Array, "..."]]
Condition = Float[Array, "... c"] | None


class Bijection(Protocol):
    """Invertible layer with a tractable Jacobian determinant; samples may have any leading axes."""

    def __call__(self, x: Float[Array, "..."], condition: Condition = None) -> Moved:
        """Return the transformed samples and log |det J|, per sample or one scalar for all."""
        ...

    def inverse(self, z: Float[Array, "..."], condition: Condition = None) -> Moved:
        """Return the inverse-transformed samples and log |det J| of the inverse map."""
        ...


class ActNorm(nn.Module):
    """Activation normalization: a learned scale and shift for every feature.

    The initial values give each feature of the first minibatch mean 0 and standard deviation 1. The scale is learned as
    its logarithm and the shift in units of the output, so training does not depend on the units of the features. A
    feature that is constant in the first minibatch keeps its units.

    Attributes:
        axes: number of axes of one sample, 1 for vectors and 3 for images; the last axis is the features.

    References:
        Kingma and Dhariwal, Glow: generative flow with invertible 1 x 1 convolutions (2018), section 3.1.
    """

    axes: int = 1

    def __call__(self, x: Float[Array, "..."], condition: Condition = None) -> Moved:
        """Return the normalized samples and log |det J|, a scalar `[]`."""
        (x,) = promoted(x)
        location, log_scale, shift = self._learned(x)
        z = (x - _behind(location, x)) * _behind(jnp.exp(log_scale), x) + _behind(shift, x)
        return z, self._over_row(log_scale, x)

    def inverse(self, z: Float[Array, "..."], condition: Condition = None) -> Moved:
        """Return the samples before normalization and log |det J| of the inverse map, a scalar `[]`."""
        (z,) = promoted(z)
        location, log_scale, shift = self._learned(z)
        x = (z - _behind(shift, z)) * _behind(jnp.exp(-log_scale), z) + _behind(location, z)
        return x, -self._over_row(log_scale, z)

    @nn.compact
    def _learned(self, x: Array) -> tuple[Array, Array, Array]:
        rows = x.reshape(-1, x.shape[-1])
        # The location is in units of the data, in which a step of an optimizer may be far too large: it stays fixed.
        location = jax.lax.stop_gradient(self.param("location", lambda key: location_and_scale(rows)[0]))
        log_scale = self.param("log_scale", lambda key: -jnp.log(location_and_scale(rows)[1]))
        return location, log_scale, self.param("shift", lambda key: jnp.zeros(rows.shape[1:], rows.dtype))

    def _over_row(self, log_scale: Array, x: Array) -> Array:
        return jnp.sum(log_scale) * math.prod(x.shape[-self.axes : -1])


class Permutation(nn.Module):
    """Fixed random permutation of the features.

    Attributes:
        seed: random seed of the permutation.
    """

    seed: int

    def __call__(self, x: Float[Array, "... d"], condition: Condition = None) -> Moved:
        """Return the samples with permuted features, and log |det J| = 0."""
        (x,) = promoted(x)
        return x[..., self._order(x)], jnp.zeros((), x.dtype)

    def inverse(self, z: Float[Array, "... d"], condition: Condition = None) -> Moved:
        """Return the samples with the features in their original order, and log |det J| = 0."""
        (z,) = promoted(z)
        return z[..., np.argsort(self._order(z))], jnp.zeros((), z.dtype)

    def _order(self, x: Array) -> np.ndarray:
        return np.random.default_rng(self.seed).permutation(x.shape[-1])


class SpaceToDepth(nn.Module):
    """Space-to-depth: halve height and width, and stack each 2 x 2 block of pixels into the features.

    References:
        Jacobsen, Smeulders and Oyallon, i-RevNet: deep invertible networks (2018), section 3.1; Bungert (2021),
        figure 2.3.
    """

    def __call__(self, x: Float[Array, "... h w c"], condition: Condition = None) -> Moved:
        """Return images `[..., h / 2, w / 2, 4 c]`, and log |det J| = 0.

        Raises:
            ValueError: if height or width is odd.
        """
        *lead, height, width, features = x.shape
        if height % 2 or width % 2:
            raise ValueError(f"image height and width must be even (got {height} x {width}); crop or pad the images.")
        x = promoted(x)[0].reshape(*lead, height // 2, 2, width // 2, 2, features)
        return jnp.moveaxis(x, -4, -3).reshape(*lead, height // 2, width // 2, 4 * features), jnp.zeros((), x.dtype)

    def inverse(self, z: Float[Array, "... h w c"], condition: Condition = None) -> Moved:
        """Return images `[..., 2 h, 2 w, c / 4]`, and log |det J| = 0."""
        *lead, height, width, features = z.shape
        z = promoted(z)[0].reshape(*lead, height, width, 2, 2, features // 4)
        return jnp.moveaxis(z, -3, -4).reshape(*lead, 2 * height, 2 * width, features // 4), jnp.zeros((), z.dtype)


class Flatten(nn.Module):
    """Reshape images to vectors.

    Attributes:
        shape: height, width and channels of one image.
    """

    shape: Sequence[int]

    def __call__(self, x: Float[Array, "..."], condition: Condition = None) -> Moved:
        """Return vectors `[..., d]`, and log |det J| = 0."""
        (x,) = promoted(x)
        return x.reshape(*x.shape[: x.ndim - len(self.shape)], -1), jnp.zeros((), x.dtype)

    def inverse(self, z: Float[Array, "... d"], condition: Condition = None) -> Moved:
        """Return images `[..., *shape]`, and log |det J| = 0."""
        (z,) = promoted(z)
        return z.reshape(*z.shape[:-1], *self.shape), jnp.zeros((), z.dtype)


class Split(nn.Module):
    """Multi-scale split: transform the first half of the features, keep the second half.

    Attributes:
        onward: bijection of the first half, `[..., *half] -> [..., m]`.
        shape: shape of one input sample; the last axis is split.
    """

    onward: nn.Module
    shape: Sequence[int]

    def __call__(self, x: Float[Array, "..."], condition: Condition = None) -> Moved:
        """Return vectors `[..., d]`, the transformed half first, and log |det J| of its transformation."""
        half = self.shape[-1] // 2
        (x,) = promoted(x)
        gone, grown = self.onward(x[..., :half], condition)
        rest = x[..., half:].reshape(*gone.shape[:-1], -1)
        return jnp.concatenate([gone, rest], -1), grown

    def inverse(self, z: Float[Array, "... d"], condition: Condition = None) -> Moved:
        """Return samples `[..., *shape]`, and log |det J| of the inverse map."""
        half = self.shape[-1] // 2
        through = math.prod(self.shape[:-1]) * half
        (z,) = promoted(z)
        gone, grown = self.onward.inverse(z[..., :through], condition)
        rest = z[..., through:].reshape(*gone.shape[:-1], self.shape[-1] - half)
        return jnp.concatenate([gone, rest], -1), grown


class Border(nn.Module):
    """Transform the block at the top left of an image, and keep the border at its right and bottom.

    Attributes:
        onward: bijection of the block, `[..., *block] -> [..., m]`.
        block: height, width and channels of the block.
        shape: height, width and channels of one image.
    """

    onward: nn.Module
    block: Sequence[int]
    shape: Sequence[int]

    def __call__(self, x: Float[Array, "... h w c"], condition: Condition = None) -> Moved:
        """Return vectors `[..., d]`, the transformed block first, and log |det J| of its transformation."""
        height, width, _ = self.block
        (x,) = promoted(x)
        gone, grown = self.onward(x[..., :height, :width, :], condition)
        flat = lambda part: part.reshape(*gone.shape[:-1], -1)
        right, bottom = x[..., :height, width:, :], x[..., height:, :, :]
        return jnp.concatenate([gone, flat(right), flat(bottom)], -1), grown

    def inverse(self, z: Float[Array, "... d"], condition: Condition = None) -> Moved:
        """Return images `[..., *shape]`, and log |det J| of the inverse map."""
        (height, width, channels), (rows, columns, _) = self.block, self.shape
        inside = math.prod(self.block)
        end = inside + height * (columns - width) * channels
        (z,) = promoted(z)
        gone, grown = self.onward.inverse(z[..., :inside], condition)
        right = z[..., inside:end].reshape(*gone.shape[:-3], height, columns - width, channels)
        bottom = z[..., end:].reshape(*gone.shape[:-3], rows - height, columns, channels)
        return jnp.concatenate([jnp.concatenate([gone, right], -2), bottom], -3), grown


class ComposedBijection(nn.Module):
    """Composition of bijections.

    Attributes:
        layers: bijections in the order of the forward map; the first one is applied to the data.
    """

    layers: Sequence[nn.Module]

    def __call__(self, x: Float[Array, "..."], condition: Condition = None) -> Moved:
        """Return the samples after all layers, and the sum of their log |det J|."""
        (x,) = promoted(x)
        total = jnp.zeros((), x.dtype)
        for layer in self.layers:
            x, grown = layer(x, condition)
            total = total + grown
        return x, total

    def inverse(self, z: Float[Array, "..."], condition: Condition = None) -> Moved:
        """Return the samples before all layers, and log |det J| of the inverse map."""
        (z,) = promoted(z)
        total = jnp.zeros((), z.dtype)
        for layer in reversed(self.layers):
            z, grown = layer.inverse(z, condition)
            total = total + grown
        return z, total


def _behind(feature: Array, x: Array) -> Array:
    """Add leading axes of length 1 to a vector over features, so that it broadcasts against `x`."""
    return feature.reshape((1,) * (x.ndim - 1) + feature.shape)
