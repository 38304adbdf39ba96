"""Archetypes of a flow's latent vectors that are the corners of a regular simplex."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen import parallel
from jaxgen.losses import flow_nll
from jaxgen.methods._checks import check_weights
from jaxgen.methods._modules import filled
from jaxgen.methods.flow import Flow
from jaxgen.nets import torch_uniform
from jaxgen.numerics import simplex
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["DeepArchetypes"]


class _Simplex(nn.Module):
    """Three linear maps: of latent vectors to logits over archetypes and to logits over rows, and of mixtures back."""

    count: int
    dimensions: int

    def setup(self) -> None:
        self.mixing = nn.Dense(self.count, kernel_init=torch_uniform)
        self.drawing = nn.Dense(self.count, kernel_init=torch_uniform)
        self.carrying = nn.Dense(self.dimensions, kernel_init=torch_uniform)

    def __call__(self, z: Array) -> tuple[Array, Array, Array]:
        """Return weights `[b, k]` over archetypes, logits `[b, k]` over rows, and what is made of the weights."""
        weights = jax.nn.softmax(self.mixing(z))
        return weights, self.drawing(z), self.carried(weights)

    def carried(self, weights: Array) -> Array:
        """Return the latent vectors `[b, d]` of mixtures."""
        return self.carrying(weights @ simplex.vertices(self.count))


@dataclasses.dataclass(frozen=True)
class DeepArchetypes:
    """A flow whose latent vectors are mixtures of fixed archetypes, and whose archetypes are mixtures of its rows.

    The archetypes V are the corners of a regular simplex. A linear map and a softmax over them give each row's weights
    A, a linear map and a softmax over the rows give each archetype's weights B; so rows of A sum to 1 over archetypes,
    and rows of B over rows. What a third linear map makes of A V, the flow carries back to the data.

    Attributes:
        count: archetypes, k; the simplex has k - 1 dimensions.
        flow: of the data, without classes; its network, levels and noise are used, and nothing of its training.
        likelihood: weight of the flow's negative log-likelihood, for each dimension.
        archetype: weight of the mean over archetypes of the squared distance between V and B A V.
        reconstruction: weight of the mean squared error of rows, over all their numbers.
        concentration: of the Dirichlet law of the weights of samples: 1 is torch_uniform, less is nearer to the
            corners.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        axis_name: the axis over devices, set by `train`.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), section 2.3 and equation 2.13; its code normalises B over
        archetypes. Keller, Samarin, Torres, Wieser and Roth, Learning extremal representations with deep archetypal
        analysis (2020), section 3.
    """

    count: int = 10
    flow: Flow = dataclasses.field(default_factory=Flow)
    likelihood: float = 0.1
    archetype: float = 10.0
    reconstruction: float = 80.0
    concentration: float = 1.0
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "DeepArchetypes":
        """Fill in the flow where it was left open.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if the flow has classes, does not fit the rows, or there are fewer than two archetypes.
        """
        if self.flow.classes or self.count < 2 or not self.concentration > 0:
            raise ValueError(
                f"count is {self.count}, concentration {self.concentration} and the flow's classes "
                f"{self.flow.classes}; make them 2 at the least, positive, and 0."
            )
        check_weights(likelihood=self.likelihood, archetype=self.archetype, reconstruction=self.reconstruction)
        return dataclasses.replace(self, flow=self.flow.resolve(*row_specs))

    def check(self, table: np.ndarray) -> None:
        """Check the whole table as the flow does."""
        self.flow.check(table)

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."]) -> TrainState:
        """Return freshly drawn networks."""
        key_flow, key_maps = jax.random.split(key)
        flow = self.flow.init(key_flow, x)
        maps = self._maps.init(key_maps, jnp.zeros((1, self._maps.dimensions)))
        return self._descent.init({"flow": flow.params, "maps": maps})

    def step(self, key: Key[Array, ""], state: TrainState, x: Float[Array, "b ..."]) -> tuple[TrainState, Metrics]:
        """Descend once on one minibatch."""
        return self._descent.step(key, state, x)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, x: Float[Array, "b ..."]
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the weighted sum of likelihood, archetypes and reconstruction.

        Args:
            key: of the flow's noise.
            params: of the flow and the three maps.
            model_state: passed on.
            x: rows `[b, ...]`; over devices, this one's share: archetypes are mixtures of all devices' rows.

        Returns:
            The loss; `nll`, in nats for each dimension, `archetypes` and `reconstruction`; and the variables.
        """
        x = self.flow.noisy(key, x)
        z, log_det = self.flow.forward(params["flow"], x)
        weights, logits, carried = self._maps.apply(params["maps"], z)
        everyone, logits = parallel.gather((weights, logits), self.axis_name)
        corners = simplex.vertices(self.count)
        over_rows = jax.nn.softmax(logits, 0).T  # [k, b], each archetype's weights over rows
        away = jnp.mean(jnp.sum((over_rows @ everyone @ corners - corners) ** 2, -1))
        back = self.flow.backward(params["flow"], carried)
        nll = jnp.mean(flow_nll(z, log_det)) / z.shape[-1]
        error = jnp.mean((back - x) ** 2)
        value = self.likelihood * nll + self.archetype * away + self.reconstruction * error
        return value, ({"nll": nll, "archetypes": away, "reconstruction": error}, model_state)

    def weights(self, state: TrainState, x: Float[Array, "n ..."]) -> Float[Array, "n k"]:
        """Return the weights `[n, k]` over archetypes of rows `[n, ...]`, which sum to 1."""
        params = self._descent.params(state)
        return self._maps.apply(params["maps"], self.flow.forward(params["flow"], self.flow.continuous(x))[0])[0]

    def mixture(self, state: TrainState, weights: Float[Array, "n k"]) -> Float[Array, "n ..."]:
        """Return the rows `[n, ...]` of weights `[n, k]` over archetypes; those of an archetype are a corner's."""
        params = self._descent.params(state)
        x = self.flow.backward(params["flow"], self._maps.apply(params["maps"], weights, method="carried"))
        return self.flow.restored(x)

    def sample(self, key: Key[Array, ""], state: TrainState, n: int) -> Float[Array, "n ..."]:
        """Draw mixtures of the archetypes, whose weights have a Dirichlet law, `[n, ...]`."""
        weights = simplex.weights(key, n, count=self.count, concentration=self.concentration)
        return self.flow.on_levels(self.mixture(state, weights))

    def scores(self, state: TrainState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Score rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `reconstruction`, the mean squared error of what a row's weights give back, and `nll`, the flow's negative
            log-density in nats, `[n]` each.
        """
        error = (self.mixture(state, self.weights(state, x)) - x) ** 2
        nll = flow_nll(*self.flow.forward(self._descent.params(state)["flow"], self.flow.continuous(x)))
        return {"reconstruction": jnp.mean(error, tuple(range(1, x.ndim))), "nll": nll}

    @property
    def _maps(self) -> _Simplex:
        return _Simplex(self.count, filled(self, self.flow.dimensions))

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(self.loss, self.optimizer(self.learning_rate), self.axis_name)
