"""The probability simplex: its corners, the nearest point of it, and least squares whose weights lie on it."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.numerics.kernels import product
from jaxgen.types import Array, Float, Key

__all__ = ["Solver", "frank_wolfe", "project", "projected_gradient", "vertices", "weights"]


# From targets [n, d] and atoms [k, d], with `steps` and `start` by name, to weights [n, k].
Solver = Callable[..., Array]


def weights(key: Key[Array, ""], n: int, *, count: int, concentration: float) -> Float[Array, "n k"]:
    """Draw weights of mixtures, by a symmetric Dirichlet law.

    Args:
        key: of the draws.
        n: how many.
        count: k, of what is mixed.
        concentration: > 0; 1 is uniform, less is nearer to the corners.

    Returns:
        `[n, k]`, not negative, rows of sum 1.
    """
    return jax.random.dirichlet(key, jnp.full(count, concentration), (n,))


def vertices(k: int) -> Float[Array, "k d"]:
    """Return the corners of a regular simplex about 0, each at the distance 1 from it.

    Args:
        k: how many corners.

    Returns:
        Corners `[k, k - 1]`, whose mean is 0; the inner product of any two is `-1 / (k - 1)`.

    Raises:
        ValueError: if there are fewer than two.
    """
    if k < 2:
        raise ValueError(f"a simplex of {k} corners has none at the distance 1 from its centre; make it two at least.")
    # Row j of Helmert's matrix has j equal entries and one against them: a basis of the plane where sums are 0.
    j = np.arange(1, k)
    helmert = np.tril(np.ones((k - 1, k))) - np.eye(k - 1, k, 1) * j[:, None]
    return jnp.asarray(helmert.T * np.sqrt(k / (k - 1) / (j * (j + 1.0))), jnp.float32)


def project(x: Float[Array, "... k"]) -> Float[Array, "... k"]:
    """Return the point of the probability simplex that is nearest to each vector.

    Args:
        x: vectors `[..., k]`.

    Returns:
        `[..., k]`: not negative, and of sum 1.

    References:
        Held, Wolfe and Crowder, Validation of subgradient optimization (1974).
    """
    # A common offset changes nothing, and would cost precision.
    x = x - jax.lax.stop_gradient(jnp.max(x, -1, keepdims=True))
    falling = -jnp.sort(-x, -1)
    excess = jnp.cumsum(falling, -1) - 1
    ranks = jnp.broadcast_to(jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype), x.shape)
    kept = jnp.maximum(jnp.sum(falling * ranks > excess, -1, keepdims=True), 1)  # of NaN none would be
    above = x - jnp.take_along_axis(excess, kept - 1, -1) / kept
    nearest = jnp.where(above > 0, above, 0)  # not `maximum`, whose gradient of a half at 0 is that of no face
    return nearest / jnp.sum(nearest, -1, keepdims=True)  # rounding adds up over many entries


def projected_gradient(
    targets: Float[Array, "n d"], atoms: Float[Array, "k e"], *, steps: int, start: Float[Array, "n k"] | None = None
) -> Float[Array, "n k"]:
    """Return weights on the simplex whose mixtures of the atoms are nearest to the targets, by projected gradients.

    The gradients are accelerated, and begin anew where their momentum points uphill. The gap to the least square falls
    as `steps^-2` and the largest eigenvalue of the atoms' scatter, which grows with their number.

    Args:
        targets: `[n, d]`.
        atoms: `[k, d]`.
        steps: how many; all targets descend at once.
        start: weights `[n, k]` to begin with; None begins each target at its nearest atom.

    Returns:
        Weights `[n, k]`, not negative, rows of sum 1.

    Raises:
        ValueError: if widths differ, there are no atoms, or no steps.

    References:
        Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse problems (2009),
        section 4; O'Donoghue and Candes, Adaptive restart for accelerated gradient schemes (2015), section 3.2.
    """
    atoms, gradient, start = _problem(targets, atoms, steps, start)
    scatter = product(atoms, atoms.T) if len(atoms) <= atoms.shape[1] else product(atoms.T, atoms)
    # A step's size is no part of the solution; eigenvalues that are equal have no gradient.
    largest = jnp.linalg.eigvalsh(jax.lax.stop_gradient(scatter))[-1]
    size = jnp.where(largest > 0, 1 / jnp.where(largest > 0, largest, 1), 0)

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        weights, ahead, t = state
        found = project(ahead - size * gradient(ahead))
        uphill = jnp.sum((ahead - found) * (found - weights), -1, keepdims=True) > 0
        t = jnp.where(uphill, 1.0, t)
        later = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        return found, found + (t - 1) / later * (found - weights), later

    return jax.lax.fori_loop(0, steps, step, (start, start, jnp.ones_like(start[:, :1])))[0]


def frank_wolfe(
    targets: Float[Array, "n d"], atoms: Float[Array, "k e"], *, steps: int, start: Float[Array, "n k"] | None = None
) -> Float[Array, "n k"]:
    """Return weights on the simplex whose mixtures of the atoms are nearest to the targets, by Frank and Wolfe.

    Each step moves weight, as much as lowers the square the most, from the worst atom in use to the best of all. The
    square never rises, few atoms are used, and many of them cost no more steps.

    Args:
        targets: `[n, d]`.
        atoms: `[k, d]`.
        steps: how many; all targets descend at once.
        start: weights `[n, k]` to begin with; None begins each target at its nearest atom.

    Returns:
        Weights `[n, k]`, not negative, rows of sum 1.

    Raises:
        ValueError: if widths differ, there are no atoms, or no steps.

    References:
        Lacoste-Julien and Jaggi, On the global linear convergence of Frank-Wolfe optimization variants (2015),
        algorithm 2.
    """
    atoms, gradient, start = _problem(targets, atoms, steps, start)

    def step(_: Array, weights: Array) -> Array:
        slopes = gradient(weights)
        best = jnp.argmin(slopes, -1)
        worst = jnp.argmax(jnp.where(weights > 0, slopes, -jnp.inf), -1)
        at = lambda values, index: jnp.take_along_axis(values, index[:, None], -1)[:, 0]
        bend = jnp.sum((atoms[best] - atoms[worst]) ** 2, -1)
        least = (at(slopes, worst) - at(slopes, best)) / jnp.where(bend > 0, bend, 1)
        moved = jnp.where(bend > 0, jnp.clip(least, 0, at(weights, worst)), 0)
        one = functools.partial(jax.nn.one_hot, num_classes=len(atoms), dtype=weights.dtype)
        return weights + moved[:, None] * (one(best) - one(worst))

    return jax.lax.fori_loop(0, steps, step, start)


def _problem(
    targets: Array, atoms: Array, steps: int, start: Array | None
) -> tuple[Array, Callable[[Array], Array], Array]:
    """Return the atoms about their mean, the gradient of half the squares by the weights, and weights to begin with."""
    if targets.shape[1] != atoms.shape[1] or not len(atoms):
        raise ValueError(f"targets are {targets.shape} and atoms {atoms.shape}; give [n, d] and [k >= 1, d].")
    if steps < 1:
        raise ValueError(f"steps is {steps}; take one at least.")
    dtype = jnp.promote_types(jnp.result_type(targets, atoms), jnp.float32)
    targets, atoms = targets.astype(dtype), atoms.astype(dtype)
    # Weights of sum 1 do not see a common offset, which would only make the problem harder.
    centre = jnp.mean(atoms, 0, keepdims=True)
    targets, atoms = targets - centre, atoms - centre
    products = product(targets, atoms.T)  # [n, k]
    if len(atoms) <= atoms.shape[1]:
        gram = product(atoms, atoms.T)
        gradient = lambda weights: product(weights, gram) - products
    else:
        gradient = lambda weights: product(product(weights, atoms) - targets, atoms.T)
    if start is None:
        nearest = jnp.argmin(jnp.sum(atoms**2, -1)[None] / 2 - products, -1)
        start = jax.nn.one_hot(nearest, len(atoms), dtype=dtype)
    return atoms, gradient, start.astype(dtype)
