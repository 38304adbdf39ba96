"""Discriminators of inliers and outliers."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen.methods._modules import required
from jaxgen.methods._validation import mean_over_rows
from jaxgen.methods.classifier import default_classifier
from jaxgen.nets.shapes import check_scalar_output
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import is_floating

__all__ = ["OutlierDiscriminator"]


@dataclasses.dataclass(frozen=True)
class OutlierDiscriminator:
    """Binary classifier of inliers and outliers, trained on `data.Zip((inliers, outliers))`.

    Its quality depends on the distribution of the outliers: those of `methods.latent_outliers`, or real ones.

    Columns are used as given. Scale them to a standard deviation near 1 first, for example by
    `sklearn.preprocessing.StandardScaler`.

    Attributes:
        network: `x [..., *row] -> logit [..., 1]`, positive for outliers. None is the default of `methods.Classifier`.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `optim.Cosine`.
        ema_decay: decay of an exponential moving average of the weights, which scores then use; None for none.
        axis_name: the axis over devices, set by `train`.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), section 3.3.
    """

    uses_columns_as_given: ClassVar[bool] = True  # `train` and `check` say so for columns of very different scale

    network: nn.Module | None = None
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "OutlierDiscriminator":
        """Return the method with its network filled in.

        Raises:
            TypeError: if the data are not two tables of floating-point rows of one shape.
            ValueError: if the network does not return one number per row.
        """
        if len(row_specs) != 2 or not is_floating(*row_specs) or row_specs[0].shape != row_specs[1].shape:
            raise TypeError(
                "OutlierDiscriminator learns from inliers and outliers, floating-point rows of one shape (got "
                f"{row_specs}); use data.Zip((inliers, outliers)), and convert integers with x.astype('float32')."
            )
        network = self.network or default_classifier(row_specs[0].shape, 1)
        pair = jax.ShapeDtypeStruct((2, *row_specs[0].shape), row_specs[0].dtype)
        check_scalar_output("network", network, pair, output="logit")
        return dataclasses.replace(self, network=network)

    def init(self, key: Key[Array, ""], inliers: Array, outliers: Array) -> TrainState:
        """Return a network with fresh parameters."""
        return self._descent.init(required(self, self.network).init(key, inliers[:1]))

    def step(
        self, key: Key[Array, ""], state: TrainState, inliers: Array, outliers: Array
    ) -> tuple[TrainState, Metrics]:
        """Take one gradient step on a minibatch of each table."""
        return self._descent.step(key, state, inliers, outliers)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, inliers: Array, outliers: Array
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the mean cross-entropy, with equal weight for inliers and outliers.

        Args:
            key: unused; the loss draws nothing.
            params: of the network.
            model_state: returned unchanged.
            inliers: rows `[b, ...]`.
            outliers: rows `[c, ...]`.

        Returns:
            The loss in nats; the metric `accuracy`; and the model state.
        """
        inlier_logits, outlier_logits = (
            required(self, self.network).apply(params, x)[..., 0] for x in (inliers, outliers)
        )
        value = 0.5 * (jnp.mean(jax.nn.softplus(inlier_logits)) + jnp.mean(jax.nn.softplus(-outlier_logits)))
        accuracy = 0.5 * (jnp.mean(inlier_logits < 0) + jnp.mean(outlier_logits > 0))
        return value, ({"accuracy": accuracy}, model_state)

    def validation_loss(
        self, key: Key[Array, ""], state: TrainState, inliers: Array, outliers: Array
    ) -> Float[Array, ""]:
        """Return the cross-entropy of validation rows in nats, by the averaged weights if there are any.

        Args:
            key: unused.
            state: of one seed.
            inliers: rows `[n, ...]`.
            outliers: rows `[m, ...]`; inliers and outliers have equal weight.
        """
        loss = lambda sign, x: mean_over_rows(
            lambda _, x: jax.nn.softplus(sign * self.scores(state, x)["logit"]), key, x
        )
        return 0.5 * (loss(1.0, inliers) + loss(-1.0, outliers))

    def scores(self, state: TrainState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Return out-of-distribution scores of rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `logit`, the log-odds that a row is an outlier, `[n]`.
        """
        return {"logit": required(self, self.network).apply(self._descent.params(state), x)[..., 0]}

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(
            self.loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name, self.ema_decay
        )
