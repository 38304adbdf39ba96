"""Deep archetypal analysis in the latent space of a normalizing flow."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen import nets, parallel
from jaxgen.losses import flow_nll
from jaxgen.methods._modules import at_least_single, required
from jaxgen.methods._validation import mean_over_rows
from jaxgen.methods.flow import Flow
from jaxgen.nets import torch_uniform
from jaxgen.nets.compute_dtype import output_dtype
from jaxgen.numerics import simplex
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import check_table, check_weights

__all__ = ["DeepArchetypes"]


class _Simplex(nn.Module):
    """Three linear maps between latent vectors, weights over archetypes, and logits over rows.

    Flax derives the initial parameters from the names `mixing`, `drawing` and `carrying`.
    """

    count: int
    dimensions: int

    def setup(self) -> None:
        # All three are last layers, whose output enters a softmax or the flow.
        self.mixing = nn.Dense(self.count, dtype=output_dtype(), kernel_init=torch_uniform)
        self.drawing = nn.Dense(self.count, dtype=output_dtype(), kernel_init=torch_uniform)
        self.carrying = nn.Dense(self.dimensions, dtype=output_dtype(), kernel_init=torch_uniform)

    def __call__(self, z: Array) -> tuple[Array, Array, Array]:
        """Return weights `[b, k]` over archetypes, logits `[b, k]` over rows, and decoded weights `[b, d]`."""
        weights = jax.nn.softmax(self.mixing(z))
        return weights, self.drawing(z), self.decode(weights)

    def decode(self, weights: Array) -> Array:
        """Return latent vectors `[b, d]` of weights `[b, k]` over archetypes."""
        return self.carrying(weights @ simplex.vertices(self.count))


@dataclasses.dataclass(frozen=True)
class DeepArchetypes:
    """Deep archetypal analysis: a flow whose latent vectors are mixtures of fixed archetypes.

    The archetypes V are the vertices of a regular simplex. A linear map and a softmax over archetypes give each row's
    weights A. Another linear map and a softmax over rows give each archetype's weights B. So rows of A sum to 1 over
    archetypes, and rows of B over rows. A third linear map takes A V to latent vectors, which the flow decodes.

    The flow does not depend on the units of columns, but the mean squared error of the reconstruction does. Scale
    columns to a standard deviation near 1 first, for example by `sklearn.preprocessing.StandardScaler`.

    Attributes:
        num_archetypes: number of archetypes, k; the simplex has k - 1 dimensions.
        flow: a flow without classes; its network, levels and noise are used, but none of its training settings. Vectors
            without a network get `nets.dense_flow`.
        likelihood_weight: weight of the flow's negative log-likelihood per dimension.
        archetype_weight: weight of the mean over archetypes of the squared distance between V and B A V.
        reconstruction_weight: weight of the mean squared error of rows, over all their dimensions.
        concentration: of the Dirichlet distribution of the weights in `sample`; 1 is uniform, and smaller values put
            samples nearer to the archetypes.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `optim.Cosine`.
        axis_name: the axis over devices, set by `train`.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), section 2.3 and equation 2.13; its code normalizes B over
        archetypes. Keller, Samarin, Torres, Wieser and Roth, Learning extremal representations with deep archetypal
        analysis (2020), section 3.
    """

    num_archetypes: int = 10
    flow: Flow = dataclasses.field(default_factory=Flow)
    likelihood_weight: float = 0.1
    archetype_weight: float = 10.0
    reconstruction_weight: float = 80.0
    concentration: float = 1.0
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "DeepArchetypes":
        """Return the method with its flow filled in.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if the flow has classes or does not fit the rows, or a number is out of range.
        """
        if self.flow.classes or self.num_archetypes < 2 or not self.concentration > 0:
            raise ValueError(
                "`num_archetypes` must be at least 2, `concentration` positive and the flow's `classes` 0 (got "
                f"{self.num_archetypes}, {self.concentration} and {self.flow.classes})."
            )
        check_table(self, row_specs)
        check_weights(
            likelihood_weight=self.likelihood_weight,
            archetype_weight=self.archetype_weight,
            reconstruction_weight=self.reconstruction_weight,
        )
        flow, shape = self.flow, row_specs[0].shape
        if flow.network is None and len(shape) == 1:
            # Deep archetypes were measured with affine couplings alone.
            flow = dataclasses.replace(flow, network=nets.dense_flow(*shape))
        return dataclasses.replace(self, flow=flow.resolve(*row_specs))

    def check(self, table: np.ndarray) -> None:
        """Check the whole table as `Flow.check` does."""
        self.flow.check(table)

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."]) -> TrainState:
        """Return the flow and the linear maps with fresh parameters."""
        key_flow, key_maps = jax.random.split(key)
        flow = self.flow.init(key_flow, x)
        maps = self._maps.init(key_maps, jnp.zeros((1, self._maps.dimensions), jnp.float32))
        return self._descent.init({"flow": flow.params, "maps": maps})

    def step(self, key: Key[Array, ""], state: TrainState, x: Float[Array, "b ..."]) -> tuple[TrainState, Metrics]:
        """Take one gradient step on a minibatch."""
        return self._descent.step(key, state, x)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, x: Float[Array, "b ..."]
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the weighted sum of the likelihood, archetype and reconstruction terms.

        Args:
            key: of the flow's noise.
            params: of the flow and the three linear maps.
            model_state: returned unchanged.
            x: rows `[b, ...]`; with several devices, this device's share. Archetypes are mixtures of all devices' rows.

        Returns:
            The loss; the metrics `nll`, in nats per dimension, `archetypes` and `reconstruction`; and the model state.
        """
        x = self.flow.dequantize(key, at_least_single(x))
        z, log_det = self.flow.forward(params["flow"], x)
        weights, logits, latents = self._maps.apply(params["maps"], z)
        all_weights, logits = parallel.gather((weights, logits), self.axis_name)
        vertices = simplex.vertices(self.num_archetypes)
        over_rows = jax.nn.softmax(logits, 0).T  # [k, b], each archetype's weights over rows
        distance = jnp.mean(jnp.sum((over_rows @ all_weights @ vertices - vertices) ** 2, -1))
        decoded = self.flow.backward(params["flow"], latents)
        nll = jnp.mean(flow_nll(z, log_det)) / z.shape[-1]
        error = jnp.mean((decoded - x) ** 2)
        value = self.likelihood_weight * nll + self.archetype_weight * distance + self.reconstruction_weight * error
        return value, ({"nll": nll, "archetypes": distance, "reconstruction": error}, model_state)

    def validation_loss(self, key: Key[Array, ""], state: TrainState, x: Float[Array, "n ..."]) -> Float[Array, ""]:
        """Return the weighted sum of the likelihood and reconstruction terms of validation rows.

        The archetype term is left out, since it depends on which rows share a minibatch.

        Args:
            key: of the uniform noise on rows with levels.
            state: of one seed.
            x: rows `[n, ...]`.
        """
        params, flow = self._descent.params(state), dataclasses.replace(self.flow, noise=0.0)

        def loss(key: Key[Array, ""], x: Array) -> Array:
            x = flow.dequantize(key, x)
            z, log_det = flow.forward(params["flow"], x)
            decoded = flow.backward(params["flow"], self._maps.apply(params["maps"], z)[2])
            error = jnp.mean((decoded - x) ** 2, tuple(range(1, x.ndim)))
            return self.likelihood_weight * flow_nll(z, log_det) / z.shape[-1] + self.reconstruction_weight * error

        return mean_over_rows(loss, key, x)

    def weights(self, state: TrainState, x: Float[Array, "n ..."]) -> Float[Array, "n k"]:
        """Return the weights `[n, k]` over archetypes of rows `[n, ...]`; each row sums to 1."""
        params = self._descent.params(state)
        return self._maps.apply(params["maps"], self.flow.forward(params["flow"], self.flow.to_continuous(x))[0])[0]

    def mixture(self, state: TrainState, weights: Float[Array, "n k"]) -> Float[Array, "n ..."]:
        """Return rows `[n, ...]` of weights `[n, k]` over archetypes; one-hot weights give the archetypes."""
        params = self._descent.params(state)
        x = self.flow.backward(params["flow"], self._maps.apply(params["maps"], weights, method="decode"))
        return self.flow.from_continuous(x)

    def sample(self, key: Key[Array, ""], state: TrainState, n: int) -> Float[Array, "n ..."]:
        """Draw mixtures of the archetypes with Dirichlet weights.

        Args:
            key: of the draws.
            state: of one seed.
            n: number of samples.

        Returns:
            Samples `[n, ...]`, on the flow's levels where it has any.
        """
        weights = simplex.dirichlet_weights(key, n, count=self.num_archetypes, concentration=self.concentration)
        return self.flow.round_to_levels(self.mixture(state, weights))

    def scores(self, state: TrainState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Return out-of-distribution scores of rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `reconstruction`, the mean squared error of the mixture with a row's weights, and `nll`, the flow's negative
            log-density in nats, `[n]` each.
        """
        error = (self.mixture(state, self.weights(state, x)) - x) ** 2
        nll = flow_nll(*self.flow.forward(self._descent.params(state)["flow"], self.flow.to_continuous(x)))
        return {"reconstruction": jnp.mean(error, tuple(range(1, x.ndim))), "nll": nll}

    @property
    def _maps(self) -> _Simplex:
        return _Simplex(self.num_archetypes, required(self, self.flow.dimensions))

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(self.loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name)
