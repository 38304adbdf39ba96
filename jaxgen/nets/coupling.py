"""Coupling layers: bijections that transform one half of the features as a function of the other half."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.nets.bijections import Moved
from jaxgen.nets.conditioners import ConvConditioner, DenseConditioner
from jaxgen.types import Array, Float

__all__ = ["AdditiveCoupling", "AffineCoupling"]


class AdditiveCoupling(nn.Module):
    """Additive coupling layer: adds a network's output for one half of the features to the other half.

    It preserves volume: its log |det J| is 0.

    Attributes:
        conditioner: factory of the network, for vectors or for images; called with the number of outputs.
        flip: if True, the first half of the last axis is transformed, else the second.

    References:
        Dinh, Krueger and Bengio, NICE (2015), section 3.2; Bungert (2021), equation 2.4.
    """

    conditioner: DenseConditioner | ConvConditioner = DenseConditioner()
    flip: bool = False

    def __call__(self, x: Float[Array, "..."], given: Float[Array, "... c"] | None = None) -> Moved:
        """Return the transformed samples, and log |det J| = 0.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """
        return self._along(x, given, lambda moving, made: (moving + made, jnp.zeros(())))

    def inverse(self, z: Float[Array, "..."], given: Float[Array, "... c"] | None = None) -> Moved:
        """Return the inverse-transformed samples, and log |det J| = 0.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """
        return self._along(z, given, lambda moving, made: (moving - made, jnp.zeros(())))

    @nn.compact
    def _along(self, x: Array, given: Array | None, move: Callable[[Array, Array], Moved]) -> Moved:
        return _moved(self.conditioner, self.flip, 1, x, given, move)


class AffineCoupling(nn.Module):
    """Affine coupling layer: scales and shifts one half of the features.

    A network computes the scales and shifts from the other half.

    Attributes:
        conditioner: factory of the network, for vectors or for images; called with the number of outputs.
        flip: if True, the first half of the last axis is transformed, else the second.
        clamp: bound on the log-scales: `clamp * tanh(raw / clamp)` lies between -clamp and clamp.

    References:
        Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP (2017), section 3.2; Bungert (2021),
        equations 2.5 and 2.6, where `s` and `t` map the unchanged half to scales and shifts of the other half.
    """

    conditioner: DenseConditioner | ConvConditioner = DenseConditioner()
    flip: bool = False
    clamp: float = 2.0

    def __call__(self, x: Float[Array, "..."], given: Float[Array, "... c"] | None = None) -> Moved:
        """Return the transformed samples, and log |det J|, `[...]`.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """

        def move(moving: Array, made: Array) -> Moved:
            log_scale, shift = self._scale_and_shift(made)
            return moving * jnp.exp(log_scale) + shift, self._over_row(log_scale)

        return self._along(x, given, move)

    def inverse(self, z: Float[Array, "..."], given: Float[Array, "... c"] | None = None) -> Moved:
        """Return the inverse-transformed samples, and log |det J| of the inverse map, `[...]`.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """

        def move(moving: Array, made: Array) -> Moved:
            log_scale, shift = self._scale_and_shift(made)
            return (moving - shift) * jnp.exp(-log_scale), -self._over_row(log_scale)

        return self._along(z, given, move)

    @nn.compact
    def _along(self, x: Array, given: Array | None, move: Callable[[Array, Array], Moved]) -> Moved:
        return _moved(self.conditioner, self.flip, 2, x, given, move)

    def _scale_and_shift(self, made: Array) -> tuple[Array, Array]:
        raw, shift = jnp.split(made, 2, -1)
        return self.clamp * jnp.tanh(raw / self.clamp), shift

    def _over_row(self, log_scale: Array) -> Array:
        return jnp.sum(log_scale, tuple(range(-self.conditioner.axes, 0)))


def _moved(
    conditioner: DenseConditioner | ConvConditioner,
    flip: bool,
    numbers: int,
    x: Array,
    given: Array | None,
    move: Callable[[Array, Array], Moved],
) -> Moved:
    """Transform one half of the features, with `numbers` parameters each from a network of the other half."""
    size = x.shape[-1]
    if size < 2:
        raise ValueError(
            f"a coupling layer needs samples of 2 or more features (got shape {x.shape[-conditioner.axes :]}); "
            "use another layer for a single feature."
        )
    half = size // 2
    first, second = x[..., :half], x[..., half:]
    kept, moving = (second, first) if flip else (first, second)
    made = conditioner(numbers * moving.shape[-1])(kept if given is None else conditioner.given(kept, given))
    moved, grown = move(moving, made)
    return jnp.concatenate([moved, kept] if flip else [kept, moved], -1), grown
