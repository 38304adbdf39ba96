"""Mixture density networks: a network that makes the parameters of a mixture of Gaussians."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses
from jaxgen.methods._conditioning import check_condition, split_condition, split_condition_specs
from jaxgen.nets import MLP, output_shape
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["MixtureDensity"]


@dataclasses.dataclass(frozen=True)
class MixtureDensity:
    """Maximum likelihood of a mixture of Gaussians with full covariances, given an input or none.

    Of rows `[d]` it learns one mixture; of pairs of rows, an input `[k]` and an outcome `[d]`, a mixture for each
    input. It begins at components as wide as the first minibatch, about points of it.

    Attributes:
        network: `input [..., k] -> [..., components * (1 + d + d (d + 1) / 2)]`, added to what all inputs share; None
            is a dense network of two hidden layers of 128. Without inputs there is none.
        components: Gaussians.
        min_scale: least standard deviation of a coordinate given those before it, in the data's units: the likelihood
            of a Gaussian that closes upon a single point would have no bound.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        ema_decay: decay of an exponential average of the weights, which is then used; None keeps none.
        axis_name: the axis over devices, set by `train`.

    References:
        Bishop, Mixture density networks (1994); Guttenberg, Generating the support with extreme value losses (2019),
        section IV.
    """

    network: nn.Module | None = None
    components: int = 10
    min_scale: float = 1e-3
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    ema_decay: float | None = 0.999
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "MixtureDensity":
        """Fill in the network where there are inputs and it was left open.

        Raises:
            TypeError: if the data are not one table of floating-point vectors, or of pairs of them.
            ValueError: if the outcomes are no vectors, or the network makes another number of parameters.
        """
        given, shape = split_condition_specs("MixtureDensity", row_specs)
        if len(shape) != 1:
            raise ValueError(f"MixtureDensity learns vectors; rows are {shape}: flatten them.")
        if not given and self.network is not None:
            raise ValueError("there is no input for a network to see; leave network=None, or give pairs of rows.")
        if not given:
            return self
        wanted = self.components * _numbers(shape[0])
        network = self.network or MLP((128, 128, wanted))
        makes = output_shape(network, jax.ShapeDtypeStruct((2, given), jnp.float32))
        if makes != (2, wanted):
            raise ValueError(
                f"the network makes rows of {makes[1:]} numbers; {self.components} components in {shape[0]} "
                f"dimensions need {wanted}."
            )
        return dataclasses.replace(self, network=network)

    def init(self, key: Key[Array, ""], rows: PyTree) -> TrainState:
        """Return components about points of a minibatch, and a freshly drawn network.

        Components that begin alike would stay alike: about a row that equals an earlier one a component begins a
        hundredth of the width away.

        Raises:
            ValueError: if there are more components than rows.
        """
        given, outcome = split_condition(rows)
        if self.components > len(outcome):
            raise ValueError(
                f"{self.components} components begin about {len(outcome)} rows of a minibatch; use a larger batch_size."
            )
        d = outcome.shape[1]
        deviation = jnp.std(outcome, 0) + self.min_scale
        width = jnp.log(deviation)
        about = outcome[: self.components]
        alike = jnp.all(about[:, None] == about[None], -1)
        again = jnp.any(jnp.tril(alike, -1), 1, keepdims=True)
        away = jax.random.normal(jax.random.fold_in(key, 1), about.shape, about.dtype)
        about = jnp.where(again, about + 0.01 * deviation[None] * away, about)
        rest = jnp.zeros((self.components, _numbers(d) - 1 - 2 * d))
        wide = jnp.broadcast_to(width, (self.components, d))
        shared = jnp.concatenate([jnp.zeros((self.components, 1)), about, wide, rest], -1).reshape(-1)
        network = {} if self.network is None else self.network.init(key, given[:1])
        return self._descent.init({"shared": shared, "network": network})

    def step(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> tuple[TrainState, Metrics]:
        """Descend once on the negative log-likelihood of one minibatch."""
        return self._descent.step(key, state, rows)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, rows: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the mean negative log-likelihood in nats.

        Args:
            key: unused; the loss draws nothing.
            params: what the components share, and the network's.
            model_state: passed on.
            rows: outcomes `[b, d]`, or a pair of inputs `[b, k]` and outcomes.

        Returns:
            The loss; no further metrics; and the variables.
        """
        given, outcome = split_condition(rows)
        mixture = self._mixture(params, given, outcome.shape[1])
        return -jnp.mean(losses.mixture_log_density(outcome, mixture)), ({}, model_state)

    def mixture(self, state: TrainState, given: Float[Array, "b k"]) -> losses.GaussianMixture:
        """Return the mixture for each input.

        Args:
            state: of one seed.
            given: inputs `[b, k]`, k = 0 where nothing is given.

        Returns:
            The mixtures, leaves `[b, components, ...]`.

        Raises:
            ValueError: if there are inputs and the model was made for none, or the other way round.
        """
        check_condition(
            given, (given.shape[1] > 0) == (self.network is not None), without="sample", within="sample_given"
        )
        params = self._descent.params(state)
        each = params["shared"].size // self.components
        d = next(d for d in range(1, each) if _numbers(d) == each)
        return self._mixture(params, given, d)

    def log_prob(self, state: TrainState, rows: PyTree) -> Float[Array, " b"]:
        """Return the log-density of each row in nats, `[b]`: of an outcome, or of a pair's outcome given its input."""
        given, outcome = split_condition(rows)
        return losses.mixture_log_density(outcome, self.mixture(state, given))

    def sample(self, key: Key[Array, ""], state: TrainState, n: int) -> Float[Array, "n d"]:
        """Draw from a mixture that depends on no input.

        Args:
            key: of the draws.
            state: of one seed.
            n: how many.

        Returns:
            Draws `[n, d]`.

        Raises:
            ValueError: if the model was made for inputs.
        """
        return self.sample_given(key, state, jnp.zeros((1, 0)), n)[0]

    def sample_given(
        self, key: Key[Array, ""], state: TrainState, given: Float[Array, "b k"], n: int
    ) -> Float[Array, "b n d"]:
        """Draw from the mixture for each input.

        Args:
            key: of the draws.
            state: of one seed.
            given: inputs `[b, k]`.
            n: draws for each.

        Returns:
            Draws `[b, n, d]`.

        Raises:
            ValueError: if there are inputs and the model was made for none, or the other way round.
        """
        logits, means, factors = self.mixture(state, given)
        key_component, key_normal = jax.random.split(key)
        component = jax.random.categorical(key_component, logits[:, None], shape=(len(given), n))
        normal = jax.random.normal(key_normal, (len(given), n, means.shape[-1]))
        pick = jax.vmap(lambda leaf, index: leaf[index])
        # y = factor (x - mean) is standard normal, so x solves a triangular system.
        solve = lambda factor, y: jax.scipy.linalg.solve_triangular(factor, y, lower=True)
        return pick(means, component) + jax.vmap(jax.vmap(solve))(pick(factors, component), normal)

    def _mixture(self, params: Params, given: Array, d: int) -> losses.GaussianMixture:
        raw = jnp.broadcast_to(params["shared"], (given.shape[0], params["shared"].size))
        if self.network is not None:
            raw = raw + self.network.apply(params["network"], given)
        raw = raw.reshape(given.shape[0], self.components, -1)
        logits, means, widths, rest = jnp.split(raw, [1, 1 + d, 1 + 2 * d], -1)
        diagonal = 1 / (self.min_scale + jnp.exp(widths))
        factors = jnp.zeros((*raw.shape[:2], d, d)).at[..., *jnp.diag_indices(d)].set(diagonal)
        return losses.GaussianMixture(logits[..., 0], means, factors.at[..., *jnp.tril_indices(d, -1)].set(rest))

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(self.loss, self.optimizer(self.learning_rate), self.axis_name, self.ema_decay)


def _numbers(d: int) -> int:
    """How many numbers make a component: a logit, a mean, a diagonal, and what lies below it."""
    return 1 + d + d * (d + 1) // 2
