"""Archetypal analysis: each row as a mixture of archetypes, which are mixtures of rows."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.methods._validation import mean_over_rows
from jaxgen.numerics import simplex
from jaxgen.numerics.kernels import product, squared_distances
from jaxgen.numerics.precision import promoted
from jaxgen.numerics.simplex import Solver, frank_wolfe
from jaxgen.types import Array, Float, Key, Metrics, PyTree
from jaxgen.validation import is_floating

__all__ = ["Archetypes", "ArchetypesState"]


class ArchetypesState(NamedTuple):
    """State of archetypal analysis: the archetypes."""

    archetypes: Array  # [k, d]


@dataclasses.dataclass(frozen=True)
class Archetypes:
    """Archetypal analysis by alternating least squares.

    A step is one sweep of alternating least squares over a minibatch, and has no learning rate. If the minibatch is the
    whole table, this is the classical analysis: the residual rises only by the solver's error after `steps` iterations.

    With smaller minibatches, an archetype is a mixture of the minibatch's rows and of the previous archetypes, so it
    stays in the convex hull of the data. Each step fits its own minibatch alone, without memory of earlier ones.

    Another origin, or another unit that all columns share, moves and scales the archetypes alike. The columns are
    weighted by their squared scales, so columns in different units should be standardized first.

    Attributes:
        num_archetypes: number of archetypes, k.
        solver: least squares on the simplex, `simplex.frank_wolfe` or `simplex.projected_gradient`. For an accurate
            solution, the cost of the latter grows with the number of rows that an archetype may be a mixture of.
        steps: iterations of the solver for each vector of weights.
        concentration: of the Dirichlet distribution of the weights in `sample`; 1 is uniform, and smaller values put
            samples nearer to the archetypes.
        axis_name: the axis over devices, set by `train`.

    References:
        Cutler and Breiman, Archetypal analysis (1994); Bungert's thesis, equation 2.13: the weights of an archetype
        sum to 1 over rows, as written there, and not over archetypes.
    """

    num_archetypes: int = 3
    solver: Solver = frank_wolfe
    steps: int = 200
    concentration: float = 1.0
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "Archetypes":
        """Return the method itself, as it has no field to fill in.

        Raises:
            TypeError: if the data are not one table of floating-point vectors.
            ValueError: if a field is out of range.
        """
        if len(row_specs) != 1 or not is_floating(row_specs[0]) or len(row_specs[0].shape) != 1:
            raise TypeError(
                f"Archetypes learns one table of floating-point vectors (got {row_specs}); use data.Arrays(x), and "
                "convert integers with x.astype('float32')."
            )
        if self.num_archetypes < 1 or self.steps < 1:
            raise ValueError(
                f"`num_archetypes` and `steps` must be at least 1 (got {self.num_archetypes} and {self.steps})."
            )
        if not self.concentration > 0:
            raise ValueError(f"`concentration` must be positive (got {self.concentration}); 1 gives uniform weights.")
        return self

    def init(self, key: Key[Array, ""], x: Float[Array, "b d"]) -> ArchetypesState:
        """Return initial archetypes by k-means++ seeding: rows drawn in proportion to their squared distance.

        Raises:
            ValueError: if there are more archetypes than rows.

        References:
            Arthur and Vassilvitskii, k-means++: the advantages of careful seeding (2007), section 2.2.
        """
        if self.num_archetypes > len(x):
            raise ValueError(
                f"`num_archetypes` must be at most the number of rows in a minibatch (got {self.num_archetypes} and "
                f"{len(x)}); use a larger batch_size."
            )
        (x,) = promoted(x)
        z = _units(x)[0]
        keys = jax.random.split(key, self.num_archetypes)
        chosen = [jax.random.randint(keys[0], (), 0, len(x))]
        distances = jnp.full(len(x), jnp.inf, x.dtype)
        for key in keys[1:]:
            distances = jnp.minimum(distances, squared_distances(z, z[chosen[-1]][None])[:, 0])
            chosen.append(jax.random.categorical(key, jnp.log(distances)))
        return ArchetypesState(x[jnp.stack(chosen)])

    def step(
        self, key: Key[Array, ""], state: ArchetypesState, x: Float[Array, "b d"]
    ) -> tuple[ArchetypesState, Metrics]:
        """Update the weights of all rows, then each archetype in turn.

        With everything else fixed, the squared error is least if an archetype is at one point, its target. The solver
        finds the mixture of rows nearest to that point. If no row uses an archetype, its target is the row with the
        largest residual.

        Args:
            key: unused; a step draws nothing.
            state: of one seed.
            x: rows `[b, d]`; with several devices, this device's share.

        Returns:
            The new state, and metrics of the previous archetypes: `loss`, the mean over rows of the squared distance to
            their convex hull, and `explained`, the explained share of the variance.
        """
        (x,) = promoted(x)
        rows = parallel.gather_constant(x, self.axis_name)
        rows, center, scale = _units(rows)
        x, archetypes = (x - center) / scale, (state.archetypes - center) / scale
        weights = self.solver(x, archetypes, steps=self.steps)  # [b, k]
        residual = x - product(weights, archetypes)
        # These sums over all devices are sufficient for the update, so the weights need not be gathered.
        moments, products = parallel.total((product(weights.T, weights), product(weights.T, residual)), self.axis_name)
        all_squares = parallel.gather_constant(jnp.sum(residual**2, -1), self.axis_name)
        candidates = jnp.concatenate([archetypes, rows])
        worst = rows[jnp.argmax(all_squares)]
        threshold = len(rows) * jnp.finfo(residual.dtype).eps

        def update(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            archetypes, products = carry
            used = moments[j, j] > threshold
            target = jnp.where(used, archetypes[j] + products[j] / jnp.where(used, moments[j, j], 1), worst)
            start = jax.nn.one_hot(j, len(candidates), dtype=candidates.dtype)[None]
            mixture = product(self.solver(target[None], candidates, steps=self.steps, start=start), candidates)[0]
            change = mixture - archetypes[j]
            return archetypes.at[j].set(mixture), products - moments[:, j, None] * change[None]

        archetypes, _ = jax.lax.fori_loop(0, self.num_archetypes, update, (archetypes, products))
        loss = jnp.mean(all_squares)
        variance = jnp.mean(jnp.sum((rows - jnp.mean(rows, 0, keepdims=True)) ** 2, -1))
        explained = 1 - loss / jnp.where(variance > 0, variance, 1)
        return ArchetypesState(center + scale * archetypes), {"loss": loss * scale**2, "explained": explained}

    def validation_loss(self, key: Key[Array, ""], state: ArchetypesState, x: Float[Array, "n d"]) -> Float[Array, ""]:
        """Return the mean squared distance of validation rows `[n, d]` to the archetypes' hull; the key is unused."""
        return mean_over_rows(lambda _, x: self.scores(state, x)["residual"], key, x)

    def weights(self, state: ArchetypesState, x: Float[Array, "n d"]) -> Float[Array, "n k"]:
        """Return the weights of the mixture of archetypes nearest to each row.

        Args:
            state: of one seed.
            x: rows `[n, d]`.

        Returns:
            Weights `[n, k]`, not negative; each row sums to 1.
        """
        archetypes, center, scale = _units(state.archetypes)
        return self.solver((x - center) / scale, archetypes, steps=self.steps)

    def reconstruct(self, state: ArchetypesState, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Return the nearest point of the archetypes' convex hull, `[n, d]`; arguments as in `weights`."""
        return product(self.weights(state, x), state.archetypes)

    def sample(self, key: Key[Array, ""], state: ArchetypesState, n: int) -> Float[Array, "n d"]:
        """Draw mixtures of the archetypes with Dirichlet weights.

        Args:
            key: of the draws.
            state: of one seed.
            n: number of samples.

        Returns:
            Samples `[n, d]`.
        """
        weights = simplex.dirichlet_weights(key, n, count=self.num_archetypes, concentration=self.concentration)
        return product(weights, state.archetypes)

    def scores(self, state: ArchetypesState, x: Float[Array, "n d"]) -> dict[str, Array]:
        """Return `residual`, the squared distance to the archetypes' hull, `[n]`; arguments as in `weights`."""
        return {"residual": jnp.sum((x - self.reconstruct(state, x)) ** 2, -1)}


def _units(rows: Float[Array, "n d"]) -> tuple[Float[Array, "n d"], Float[Array, "1 d"], Float[Array, ""]]:
    """Return rows about their mean in units of their largest number, the mean `[1, d]` and the unit `[]`.

    The squares of tiny numbers would be 0. The unit is a power of two, by which a division is exact.
    """
    center = rows[:1] + jnp.mean(rows - rows[:1], 0, keepdims=True)
    largest = jnp.max(jnp.abs(rows - center))
    scale = jnp.ldexp(jnp.ones_like(largest), jnp.frexp(jnp.where(largest > 0, largest, 1.0))[1])
    return (rows - center) / scale, center, scale
