"""Mixture density networks: Gaussian mixtures whose parameters are the output of a network."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses
from jaxgen.methods._conditioning import check_condition, split_condition, split_condition_specs, standardized
from jaxgen.methods._modules import normal
from jaxgen.methods._validation import mean_over_rows
from jaxgen.nets import MLP, output_shape
from jaxgen.numerics.column_scale import location_and_scale
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import check_positive, check_whole, rows_remedy

__all__ = ["MixtureDensity"]


@dataclasses.dataclass(frozen=True)
class MixtureDensity:
    """Gaussian mixture with full covariances, trained by maximum likelihood, optionally conditional.

    From rows `[d]` it learns one mixture; from pairs of a condition `[k]` and an outcome `[d]`, a mixture for each
    condition. Initial components are as wide as the first minibatch, with means at rows of it.

    Columns are standardized by the first minibatch, so that their units do not matter. Densities, mixtures and samples
    are in the data's units.

    Attributes:
        network: `condition [..., k] -> [..., components * (1 + d + d (d + 1) / 2)]`, added to parameters that all
            conditions share. None is a dense network of two hidden layers of 128, or no network without conditions.
        components: number of Gaussians.
        min_scale: minimum standard deviation of a coordinate given those before it, in units of the standardized
            column. Without it the likelihood is unbounded, as a Gaussian can shrink to a single point.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `optim.Cosine`.
        ema_decay: decay of an exponential moving average of the weights, which is used after training; None for none.
        standardize: whether to standardize conditions and outcomes; False learns from the columns as given.
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
    standardize: bool = True
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "MixtureDensity":
        """Return the method with its network filled in if there are conditions.

        Raises:
            TypeError: if the data are not one table of floating-point rows, or of pairs of a vector and such a row.
            ValueError: if the outcomes are not vectors, there is a network but no condition, or the network returns
                another number of parameters.
        """
        condition_dim, shape = split_condition_specs("MixtureDensity", row_specs)
        check_whole(1, components=self.components)
        check_positive(min_scale=self.min_scale)
        if len(shape) != 1:
            raise ValueError(
                f"MixtureDensity learns vectors (got rows of shape {shape}); {rows_remedy(shape, 'flatten them')}."
            )
        if not condition_dim and self.network is not None:
            raise ValueError("`network` must be None without conditions; use network=None, or data.Arrays((x, y)).")
        if not condition_dim:
            return self
        size = self.components * _num_parameters(shape[0])
        network = self.network or MLP((128, 128, size))
        output = output_shape(network, jax.ShapeDtypeStruct((2, condition_dim), jnp.float32))
        if output != (2, size):
            raise ValueError(
                f"the network must return {size} parameters for {self.components} components in {shape[0]} dimensions "
                f"(got shape {output[1:]}); change its last layer."
            )
        return dataclasses.replace(self, network=network)

    def init(self, key: Key[Array, ""], rows: PyTree) -> TrainState:
        """Return initial components with means at rows of a minibatch, and a network with fresh parameters.

        Equal components would get equal gradients and stay equal. If a row repeats an earlier one, the mean of its
        component is therefore shifted by normal noise of a hundredth of the standard deviation.

        Raises:
            ValueError: if there are more components than rows.
        """
        condition, outcome = split_condition(rows)
        if self.components > len(outcome):
            raise ValueError(
                f"`components` must be at most the number of rows in a minibatch (got {self.components} and "
                f"{len(outcome)}); use a larger batch_size."
            )
        d, units = outcome.shape[1], {}
        if self.standardize:
            units["outcome"] = location_and_scale(outcome)
            if self.network is not None:
                units["condition"] = location_and_scale(condition)
        condition, outcome = standardized(units, "condition", condition), standardized(units, "outcome", outcome)
        std = jnp.std(outcome, 0) + self.min_scale
        means = outcome[: self.components]
        equal = jnp.all(means[:, None] == means[None], -1)
        repeated = jnp.any(jnp.tril(equal, -1), 1, keepdims=True)
        noise = jax.random.normal(jax.random.fold_in(key, 1), means.shape, means.dtype)
        means = jnp.where(repeated, means + 0.01 * std[None] * noise, means)
        below_diagonal = jnp.zeros((self.components, _num_parameters(d) - 1 - 2 * d), means.dtype)
        log_scales = jnp.broadcast_to(jnp.log(std), (self.components, d))
        logits = jnp.zeros((self.components, 1), means.dtype)
        shared = jnp.concatenate([logits, means, log_scales, below_diagonal], -1).reshape(-1)
        network = {} if self.network is None else self.network.init(key, condition[:1])
        return self._descent.init({"shared": shared, "network": network}, units)

    def step(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> tuple[TrainState, Metrics]:
        """Take one gradient step on the negative log-likelihood of a minibatch."""
        return self._descent.step(key, state, rows)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, rows: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the mean negative log-likelihood in nats.

        Args:
            key: unused; the loss draws nothing.
            params: the shared parameters and the network's.
            model_state: locations and scales of the columns, returned unchanged.
            rows: outcomes `[b, d]`, or a pair of conditions `[b, k]` and outcomes.

        Returns:
            The loss; no metrics; and the model state.
        """
        condition, outcome = split_condition(rows)
        mixture = self._mixture(params, model_state, condition, outcome.shape[1])
        return -jnp.mean(losses.mixture_log_density(outcome, mixture)), ({}, model_state)

    def validation_loss(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> Float[Array, ""]:
        """Return the mean negative log-likelihood of validation rows in nats; the key is unused, rows as in `loss`."""
        return -mean_over_rows(lambda _, rows: self.log_prob(state, rows), key, rows)

    def mixture(self, state: TrainState, condition: Float[Array, "b k"]) -> losses.GaussianMixture:
        """Return the mixture for each condition.

        Args:
            state: of one seed.
            condition: conditions `[b, k]`, k = 0 where there are none.

        Returns:
            The mixtures, leaves `[b, components, ...]`.

        Raises:
            ValueError: if there are conditions and the model was trained without, or vice versa.
        """
        fits = condition.ndim == 2 and (condition.shape[1] > 0) == (self.network is not None)
        check_condition(condition, fits, unconditional="sample", conditional="sample_given")
        params = self._descent.params(state)
        size = params["shared"].size // self.components
        d = next(d for d in range(1, size) if _num_parameters(d) == size)
        return self._mixture(params, state.model_state, condition, d)

    def log_prob(self, state: TrainState, rows: PyTree) -> Float[Array, " b"]:
        """Return the log-density of each outcome in nats, `[b]`, conditional for pairs; rows as in `loss`."""
        condition, outcome = split_condition(rows)
        return losses.mixture_log_density(outcome, self.mixture(state, condition))

    def sample(self, key: Key[Array, ""], state: TrainState, n: int) -> Float[Array, "n d"]:
        """Draw samples from a mixture without conditions.

        Args:
            key: of the draws.
            state: of one seed.
            n: number of samples.

        Returns:
            Samples `[n, d]`.

        Raises:
            ValueError: if the model was trained with conditions.
        """
        return self.sample_given(key, state, jnp.zeros((1, 0), jnp.float32), n)[0]

    def sample_given(
        self, key: Key[Array, ""], state: TrainState, condition: Float[Array, "b k"], n: int
    ) -> Float[Array, "b n d"]:
        """Draw samples from the mixture for each condition.

        Args:
            key: of the draws.
            state: of one seed.
            condition: conditions `[b, k]`.
            n: number of samples for each.

        Returns:
            Samples `[b, n, d]`.

        Raises:
            ValueError: if there are conditions and the model was trained without, or vice versa.
        """
        logits, means, factors = self.mixture(state, condition)
        key_component, key_normal = jax.random.split(key)
        component = jax.random.categorical(key_component, logits[:, None], shape=(len(condition), n))
        noise = normal(key_normal, len(condition), n, means.shape[-1]).astype(means.dtype)
        pick = jax.vmap(lambda leaf, index: leaf[index])
        # y = factor (x - mean) is standard normal, so x solves a triangular system.
        solve = lambda factor, y: jax.scipy.linalg.solve_triangular(factor, y, lower=True)
        return pick(means, component) + jax.vmap(jax.vmap(solve))(pick(factors, component), noise)

    def _mixture(self, params: Params, units: dict[str, Any], condition: Array, d: int) -> losses.GaussianMixture:
        condition = standardized(units, "condition", condition)
        raw = jnp.broadcast_to(params["shared"], (condition.shape[0], params["shared"].size))
        if self.network is not None:
            raw = raw + self.network.apply(params["network"], condition)
        raw = raw.reshape(condition.shape[0], self.components, -1)
        logits, means, log_scales, below_diagonal = jnp.split(raw, [1, 1 + d, 1 + 2 * d], -1)
        diagonal = 1 / (self.min_scale + jnp.exp(log_scales))
        factors = jnp.zeros((*raw.shape[:2], d, d), raw.dtype).at[..., *jnp.diag_indices(d)].set(diagonal)
        factors = factors.at[..., *jnp.tril_indices(d, -1)].set(below_diagonal)
        if "outcome" in units:  # to the data's units
            location, scale = (leaf[None, None] for leaf in units["outcome"])
            means, factors = location + scale * means, factors / scale[:, :, None]
        return losses.GaussianMixture(logits[..., 0], means, factors)

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(
            self.loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name, self.ema_decay
        )


def _num_parameters(d: int) -> int:
    """Return the number of parameters of a component: a logit, a mean and a lower triangle with diagonal."""
    return 1 + d + d * (d + 1) // 2
