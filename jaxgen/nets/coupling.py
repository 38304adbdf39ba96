"""Coupling layers: bijections that transform one half of the features as a function of the other half."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.nets.bijections import Moved
from jaxgen.nets.conditioners import ConvConditioner, DenseConditioner
from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float

__all__ = ["AdditiveCoupling", "AffineCoupling", "CouplingStack"]


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

    def __call__(self, x: Float[Array, "..."], condition: Float[Array, "... c"] | None = None) -> Moved:
        """Return the transformed samples, and log |det J| = 0.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """
        return self._along(x, condition, lambda moving, output: (moving + output, jnp.zeros((), moving.dtype)))

    def inverse(self, z: Float[Array, "..."], condition: Float[Array, "... c"] | None = None) -> Moved:
        """Return the inverse-transformed samples, and log |det J| = 0.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """
        return self._along(z, condition, lambda moving, output: (moving - output, jnp.zeros((), moving.dtype)))

    @nn.compact
    def _along(self, x: Array, condition: Array | None, move: Callable[[Array, Array], Moved]) -> Moved:
        return transform_half(self.conditioner, self.flip, 1, x, condition, move)


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

    def __call__(self, x: Float[Array, "..."], condition: Float[Array, "... c"] | None = None) -> Moved:
        """Return the transformed samples, and log |det J|, `[...]`.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """

        def move(moving: Array, output: Array) -> Moved:
            log_scale, shift = self._scale_and_shift(output)
            return moving * jnp.exp(log_scale) + shift, self._over_row(log_scale)

        return self._along(x, condition, move)

    def inverse(self, z: Float[Array, "..."], condition: Float[Array, "... c"] | None = None) -> Moved:
        """Return the inverse-transformed samples, and log |det J| of the inverse map, `[...]`.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """

        def move(moving: Array, output: Array) -> Moved:
            log_scale, shift = self._scale_and_shift(output)
            return (moving - shift) * jnp.exp(-log_scale), -self._over_row(log_scale)

        return self._along(z, condition, move)

    @nn.compact
    def _along(self, x: Array, condition: Array | None, move: Callable[[Array, Array], Moved]) -> Moved:
        return transform_half(self.conditioner, self.flip, 2, x, condition, move)

    def _scale_and_shift(self, output: Array) -> tuple[Array, Array]:
        raw, shift = jnp.split(output, 2, -1)
        return self.clamp * jnp.tanh(raw / self.clamp), shift

    def _over_row(self, log_scale: Array) -> Array:
        return jnp.sum(log_scale, tuple(range(-self.conditioner.axes, 0)))


class CouplingStack(nn.Module):
    """Equal couplings of vectors, with the features reordered after each.

    Their parameters are stacked along a leading axis, and one `scan` runs through them: XLA compiles one coupling,
    however many there are. The features are reversed after every other coupling, so that both halves move, and put
    into a random order, which never changes, after the ones between.

    Attributes:
        coupling: invertible, `[..., d] -> [..., d]`; it moves the second half of the features.
        depth: how many couplings.
    """

    coupling: nn.Module
    depth: int

    def __call__(self, x: Float[Array, "... d"], condition: Float[Array, "... c"] | None = None) -> Moved:
        """Return where rows `[..., d]` go, and the logarithm of the volume's growth, `[...]`."""

        def step(coupling: nn.Module, carry: Moved, order: tuple[Array, Array]) -> tuple[Moved, None]:
            moved, grown = coupling(carry[0], condition)
            return _as(carry, _reordered(moved, *order), carry[1] + grown), None

        return self._scan(step, x, condition, reverse=False)

    def inverse(self, z: Float[Array, "... d"], condition: Float[Array, "... c"] | None = None) -> Moved:
        """Return where rows came from, and the logarithm of the volume's growth on the way back, `[...]`."""

        def step(coupling: nn.Module, carry: Moved, order: tuple[Array, Array]) -> tuple[Moved, None]:
            moved, grown = coupling.inverse(_reordered(carry[0], *order[::-1]), condition)
            return _as(carry, moved, carry[1] + grown), None

        return self._scan(step, z, condition, reverse=True)

    def _scan(
        self, step: Callable[..., tuple[Moved, None]], x: Array, condition: Array | None, *, reverse: bool
    ) -> Moved:
        x, _ = _floating(x, condition)
        orders = np.stack([self._order(place, x.shape[-1]) for place in range(self.depth)])
        scan = nn.scan(
            step,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.depth,
            reverse=reverse,
        )
        start = x, jnp.zeros_like(x[..., 0])
        moved, _ = scan(self.coupling, start, (orders, np.argsort(orders, axis=1)))
        return moved

    def _order(self, place: int, features: int) -> np.ndarray:
        if place % 2 and features > 2:
            return np.random.default_rng(place).permutation(features)
        return np.arange(features)[::-1]


def _floating(x: Array, condition: Array | None) -> tuple[Array, Array | None]:
    """Samples and condition in one dtype, single precision or better."""
    return (*promoted(x), None) if condition is None else promoted(x, condition)  # type: ignore[return-value]


def _as(carry: Moved, moved: Array, grown: Array) -> Moved:
    """Cast to the dtypes of the loop's state, as parameters of another precision would widen it."""
    return moved.astype(carry[0].dtype), grown.astype(carry[1].dtype)


@jax.custom_vjp
def _reordered(x: Array, order: Array, inverse: Array) -> Array:
    """Reorder the features; the gradient is a gather, too, and not the scatter that is slow on a CPU."""
    return x[..., order]


_reordered.defvjp(
    lambda x, order, inverse: (x[..., order], inverse), lambda inverse, gradient: (gradient[..., inverse], None, None)
)


def transform_half(
    conditioner: DenseConditioner | ConvConditioner,
    flip: bool,
    numbers: int,
    x: Array,
    condition: Array | None,
    move: Callable[[Array, Array], Moved],
) -> Moved:
    """Transform one half of the features, with `numbers` parameters each from a network of the other half."""
    size = x.shape[-1]
    if size < 2:
        raise ValueError(
            f"a coupling layer needs samples of 2 or more features (got shape {x.shape[-conditioner.axes :]}); "
            "use another layer for a single feature."
        )
    x, condition = _floating(x, condition)
    half = size // 2
    first, second = x[..., :half], x[..., half:]
    kept, moving = (second, first) if flip else (first, second)
    (output,) = promoted(
        conditioner(numbers * moving.shape[-1])(kept if condition is None else conditioner.condition(kept, condition))
    )
    moved, grown = move(moving, output)
    return jnp.concatenate([moved, kept] if flip else [kept, moved], -1), grown
