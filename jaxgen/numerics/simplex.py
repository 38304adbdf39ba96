"""Probability simplex: vertices, Dirichlet samples, projection, and least squares with weights on the simplex."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.numerics.kernels import product
from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float, Key

__all__ = ["Solver", "frank_wolfe", "project_to_simplex", "projected_gradient", "vertices", "dirichlet_weights"]

# `solver(targets [n, d], atoms [k, d], *, steps, start) -> weights [n, k]`.
Solver = Callable[..., Array]


def dirichlet_weights(key: Key[Array, ""], n: int, *, count: int, concentration: float) -> Float[Array, "n k"]:
    """Draw mixture weights from a symmetric Dirichlet distribution.

    Args:
        key: random key.
        n: number of weight vectors.
        count: k, the number of mixture components.
        concentration: > 0; 1 is uniform on the simplex, smaller values are closer to its vertices.

    Returns:
        Weights `[n, k]`, >= 0; each row sums to 1.
    """
    return jax.random.dirichlet(key, jnp.full(count, concentration, jnp.float32), (n,))


def vertices(k: int) -> Float[Array, "k d"]:
    """Vertices of a regular simplex centered at 0, each at distance 1 from it.

    Args:
        k: number of vertices.

    Returns:
        Vertices `[k, k - 1]` with mean 0; the inner product of any two is `-1 / (k - 1)`.

    Raises:
        ValueError: if `k` is less than 2.
    """
    if k < 2:
        raise ValueError(f"a regular simplex must have at least 2 vertices (got {k}); increase the number.")
    # Row j of Helmert's matrix has j ones and then -j: an orthogonal basis of the vectors with sum 0.
    j = np.arange(1, k)
    helmert = np.tril(np.ones((k - 1, k))) - np.eye(k - 1, k, 1) * j[:, None]
    return jnp.asarray(helmert.T * np.sqrt(k / (k - 1) / (j * (j + 1.0))), jnp.float32)


def project_to_simplex(x: Float[Array, "... k"]) -> Float[Array, "... k"]:
    """Euclidean projection of vectors onto the probability simplex.

    Args:
        x: vectors `[..., k]`.

    Returns:
        Projections `[..., k]`, >= 0; each sums to 1.

    References:
        Held, Wolfe and Crowder, Validation of subgradient optimization (1974).
    """
    # The projection does not depend on a common offset, which would cost precision.
    x = x - jax.lax.stop_gradient(jnp.max(x, -1, keepdims=True))
    falling = -jnp.sort(-x, -1)
    excess = jnp.cumsum(falling, -1) - 1
    ranks = jnp.broadcast_to(jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype), x.shape)
    kept = jnp.maximum(jnp.sum(falling * ranks > excess, -1, keepdims=True), 1)  # at least 1, also for NaN
    above = x - jnp.take_along_axis(excess, kept - 1, -1) / kept
    nearest = jnp.where(above > 0, above, 0)  # the gradient of `maximum` at 0 is 1/2, which matches no face
    return nearest / jnp.sum(nearest, -1, keepdims=True)  # corrects the rounding error over many entries


def projected_gradient(
    targets: Float[Array, "n d"], atoms: Float[Array, "k e"], *, steps: int, start: Float[Array, "n k"] | None = None
) -> Float[Array, "n k"]:
    """Simplex-constrained least squares by accelerated projected gradient descent (FISTA with restarts).

    It minimizes `|targets - weights @ atoms|^2` over weights on the simplex, separately for each target. The momentum
    is reset when it points uphill. The gap to the minimum is proportional to `steps^-2` and to the largest eigenvalue
    of the atoms' scatter matrix, which grows with the number of atoms.

    Arguments, weights and errors are those of `frank_wolfe`.

    References:
        Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear inverse problems (2009),
        section 4; O'Donoghue and Candes, Adaptive restart for accelerated gradient schemes (2015), section 3.2.
    """
    atoms, gradient, start = _problem(targets, atoms, steps, start)
    scatter = product(atoms, atoms.T) if len(atoms) <= atoms.shape[1] else product(atoms.T, atoms)
    # The solution does not depend on the step size; the gradient of repeated eigenvalues is undefined.
    largest = jnp.linalg.eigvalsh(jax.lax.stop_gradient(scatter))[-1]
    size = jnp.where(largest > 0, 1 / jnp.where(largest > 0, largest, 1), 0)

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        weights, ahead, t = state
        new = project_to_simplex(ahead - size * gradient(ahead))
        uphill = jnp.sum((ahead - new) * (new - weights), -1, keepdims=True) > 0
        t = jnp.where(uphill, 1.0, t)
        next_t = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        return new, new + (t - 1) / next_t * (new - weights), next_t

    return jax.lax.fori_loop(0, steps, step, (start, start, jnp.ones_like(start[:, :1])))[0]


def frank_wolfe(
    targets: Float[Array, "n d"], atoms: Float[Array, "k e"], *, steps: int, start: Float[Array, "n k"] | None = None
) -> Float[Array, "n k"]:
    """Simplex-constrained least squares by pairwise Frank-Wolfe steps.

    It minimizes `|targets - weights @ atoms|^2` over weights on the simplex, separately for each target. Each step
    moves weight from the worst atom in use to the best atom, with exact line search. The objective never increases and
    few atoms get weight. More atoms do not require more steps.

    Args:
        targets: `[n, d]`.
        atoms: `[k, d]`.
        steps: number of iterations, >= 1.
        start: initial weights `[n, k]`; None starts each target at its nearest atom.

    Returns:
        Weights `[n, k]`, >= 0; each row sums to 1.

    Raises:
        ValueError: if the widths differ, there are no atoms, or `steps` is less than 1.

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
        curvature = jnp.sum((atoms[best] - atoms[worst]) ** 2, -1)
        optimal = (at(slopes, worst) - at(slopes, best)) / jnp.where(curvature > 0, curvature, 1)
        moved = jnp.where(curvature > 0, jnp.clip(optimal, 0, at(weights, worst)), 0)
        one_hot = functools.partial(jax.nn.one_hot, num_classes=len(atoms), dtype=weights.dtype)
        return weights + moved[:, None] * (one_hot(best) - one_hot(worst))

    return jax.lax.fori_loop(0, steps, step, start)


def _problem(
    targets: Array, atoms: Array, steps: int, start: Array | None
) -> tuple[Array, Callable[[Array], Array], Array]:
    """Centered atoms, the gradient of half the squared error with respect to the weights, and initial weights."""
    if targets.shape[1] != atoms.shape[1] or not len(atoms):
        raise ValueError(
            f"`targets` and `atoms` must have shapes [n, d] and [k, d] with k >= 1 (got {targets.shape} and "
            f"{atoms.shape}); give both the same width, and at least one atom."
        )
    if steps < 1:
        raise ValueError(f"`steps` must be at least 1 (got {steps}); more steps come closer to the minimum.")
    targets, atoms = promoted(targets, atoms)
    # Weights that sum to 1 cancel a common offset, which would only worsen the conditioning.
    center = jnp.mean(atoms, 0, keepdims=True)
    targets, atoms = targets - center, atoms - center
    products = product(targets, atoms.T)  # [n, k]
    if len(atoms) <= atoms.shape[1]:
        gram = product(atoms, atoms.T)
        gradient = lambda weights: product(weights, gram) - products
    else:
        gradient = lambda weights: product(product(weights, atoms) - targets, atoms.T)
    if start is None:
        nearest = jnp.argmin(jnp.sum(atoms**2, -1)[None] / 2 - products, -1)
        start = jax.nn.one_hot(nearest, len(atoms), dtype=atoms.dtype)
    return atoms, gradient, start.astype(atoms.dtype)
