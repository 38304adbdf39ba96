"""Archetypal analysis: rows as mixtures of a few extreme ones, which are mixtures of rows themselves."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.methods._checks import is_floating
from jaxgen.numerics import simplex
from jaxgen.numerics.kernels import product, squared_distances
from jaxgen.numerics.simplex import Solver, frank_wolfe
from jaxgen.types import Array, Float, Key, Metrics, PyTree

__all__ = ["Archetypes", "ArchetypesState"]


class ArchetypesState(NamedTuple):
    """The corners of what is covered."""

    archetypes: Array  # [k, d]


@dataclasses.dataclass(frozen=True)
class Archetypes:
    """A few points, mixtures of rows, whose own mixtures are as near to all rows as they can be.

    A step is one sweep of alternating least squares over a minibatch, and has no learning rate. Where the minibatch is
    the whole table it is the classical analysis, whose residual never rises but by how far `steps` fall short. From
    smaller ones an archetype is mixed of their rows and of what it and its like were before, so that it never leaves
    the hull of the data; but it follows each minibatch as if there were no other.

    Attributes:
        count: archetypes, k.
        solver: least squares on the simplex, `simplex.frank_wolfe` or `simplex.projected_gradient`; the cost of a good
            answer of the latter grows with the rows that an archetype may be mixed of.
        steps: of the solver, for each weight that is looked for.
        concentration: of the Dirichlet law of the weights of samples: 1 is torch_uniform, less is nearer to the
            corners.
        axis_name: the axis over devices, set by `train`.

    References:
        Cutler and Breiman, Archetypal analysis (1994); Bungert's thesis, equation 2.13: the weights of an archetype
        have the sum 1 over rows, as written there, and not over archetypes.
    """

    count: int = 3
    solver: Solver = frank_wolfe
    steps: int = 200
    concentration: float = 1.0
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "Archetypes":
        """Return the method itself, which leaves nothing open.

        Raises:
            TypeError: if the data are not one table of floating-point vectors.
            ValueError: if a field has no meaning.
        """
        if len(row_specs) != 1 or not is_floating(row_specs[0]) or len(row_specs[0].shape) != 1:
            raise TypeError(
                f"Archetypes learns one table of floating-point vectors and got {row_specs}; give data.Arrays(x)."
            )
        if self.count < 1 or self.steps < 1:
            raise ValueError(f"count is {self.count} and steps {self.steps}; make both whole numbers of 1 at least.")
        if not self.concentration > 0:
            raise ValueError(f"concentration is {self.concentration}; make it positive, 1 for uniform weights.")
        return self

    def init(self, key: Key[Array, ""], x: Float[Array, "b d"]) -> ArchetypesState:
        """Return rows of a minibatch that are far from each other: each is drawn by the square of how far it is.

        Raises:
            ValueError: if there are more archetypes than rows.

        References:
            Arthur and Vassilvitskii, k-means++: the advantages of careful seeding (2007), section 2.2.
        """
        if self.count > len(x):
            raise ValueError(f"{self.count} archetypes begin at {len(x)} rows of a minibatch; use a larger batch_size.")
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        keys = jax.random.split(key, self.count)
        chosen = [x[jax.random.randint(keys[0], (), 0, len(x))]]
        near = jnp.full(len(x), jnp.inf)
        for key in keys[1:]:
            near = jnp.minimum(near, squared_distances(x, chosen[-1][None])[:, 0])
            chosen.append(x[jax.random.categorical(key, jnp.log(near))])
        return ArchetypesState(jnp.stack(chosen))

    def step(
        self, key: Key[Array, ""], state: ArchetypesState, x: Float[Array, "b d"]
    ) -> tuple[ArchetypesState, Metrics]:
        """Find the rows' weights, then each archetype in its turn.

        With all others held, the squares are least where an archetype has no constraint at one point, and under it at
        the mixture of rows nearest to that point. An archetype that no row uses goes to the row that is covered worst.

        Args:
            key: unused; a step draws nothing.
            state: of one seed.
            x: rows `[b, d]`; over devices, this one's share.

        Returns:
            The new state; and of the archetypes before, `loss`, the mean over rows of the squared distance to their
            hull, and `explained`, 1 less the share of the variance that this leaves.
        """
        weights = self.weights(state, x)  # [b, k]
        rest = x - product(weights, state.archetypes)
        squares = jnp.sum(rest**2, -1)
        # All that the archetypes need to know of the weights, from every device.
        moments, pulls = parallel.total((product(weights.T, weights), product(weights.T, rest)), self.axis_name)
        rows, all_squares = parallel.gather((x, squares), self.axis_name)
        mixed = jnp.concatenate([state.archetypes, rows])
        worst = rows[jnp.argmax(all_squares)]
        unused = len(rows) * jnp.finfo(rest.dtype).eps

        def update(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            archetypes, pulls = carry
            used = moments[j, j] > unused
            target = jnp.where(used, archetypes[j] + pulls[j] / jnp.where(used, moments[j, j], 1), worst)
            start = jax.nn.one_hot(j, len(mixed), dtype=mixed.dtype)[None]
            found = product(self.solver(target[None], mixed, steps=self.steps, start=start), mixed)[0]
            moved = found - archetypes[j]
            return archetypes.at[j].set(found), pulls - moments[:, j, None] * moved[None]

        archetypes, _ = jax.lax.fori_loop(0, self.count, update, (state.archetypes, pulls))
        loss = jnp.mean(all_squares)
        variance = jnp.mean(jnp.sum((rows - jnp.mean(rows, 0, keepdims=True)) ** 2, -1))
        explained = 1 - loss / jnp.where(variance > 0, variance, 1)
        return ArchetypesState(archetypes), {"loss": loss, "explained": explained}

    def weights(self, state: ArchetypesState, x: Float[Array, "n d"]) -> Float[Array, "n k"]:
        """Return the weights of the mixture that is nearest to each row.

        Args:
            state: of one seed.
            x: rows `[n, d]`.

        Returns:
            `[n, k]`, not negative, rows of sum 1.
        """
        return self.solver(x, state.archetypes, steps=self.steps)

    def reconstruct(self, state: ArchetypesState, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Return the point of the archetypes' hull that is nearest to each row, `[n, d]`; arguments as of `weights`."""
        return product(self.weights(state, x), state.archetypes)

    def sample(self, key: Key[Array, ""], state: ArchetypesState, n: int) -> Float[Array, "n d"]:
        """Draw mixtures of the archetypes, whose weights have a Dirichlet law.

        Args:
            key: of the draws.
            state: of one seed.
            n: how many.

        Returns:
            Draws `[n, d]`.
        """
        weights = simplex.weights(key, n, count=self.count, concentration=self.concentration)
        return product(weights, state.archetypes)

    def scores(self, state: ArchetypesState, x: Float[Array, "n d"]) -> dict[str, Array]:
        """Return `residual`, the squared distance to the archetypes' hull, `[n]`; arguments as of `weights`."""
        return {"residual": jnp.sum((x - self.reconstruct(state, x)) ** 2, -1)}
