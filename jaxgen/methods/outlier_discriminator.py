"""A network that learns to tell inliers from outliers which were drawn for it."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen.methods._checks import check_scalar_output, is_floating
from jaxgen.methods._modules import filled
from jaxgen.methods.classifier import default_classifier
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["OutlierDiscriminator"]


@dataclasses.dataclass(frozen=True)
class OutlierDiscriminator:
    """Tells inliers from outliers; its tables are the two, `data.Zip((inliers, outliers))`.

    The outliers are as good as the law they are drawn from: `methods.latent_outliers`, or real ones.

    Attributes:
        network: `x [..., *row] -> logit [..., 1]`, above 0 for outliers. None is that of `methods.Classifier`.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        ema_decay: decay of an exponential average of the weights, which then judges; None keeps none.
        axis_name: the axis over devices, set by `train`.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), section 3.3.
    """

    network: nn.Module | None = None
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "OutlierDiscriminator":
        """Fill in the network where it was left open.

        Raises:
            TypeError: if the data are not two tables of floating-point rows of one shape.
            ValueError: if the network does not make one number for a row.
        """
        if len(row_specs) != 2 or not is_floating(*row_specs) or row_specs[0].shape != row_specs[1].shape:
            raise TypeError(
                "OutlierDiscriminator learns inliers and outliers, floating-point rows of one shape, and got "
                f"{row_specs}; give data.Together((inliers, outliers))."
            )
        network = self.network or default_classifier(row_specs[0].shape, 1)
        pair = jax.ShapeDtypeStruct((2, *row_specs[0].shape), row_specs[0].dtype)
        check_scalar_output("network", network, pair, gives="logit")
        return dataclasses.replace(self, network=network)

    def init(self, key: Key[Array, ""], inliers: Array, outliers: Array) -> TrainState:
        """Return a freshly drawn network."""
        return self._descent.init(filled(self, self.network).init(key, inliers[:1]))

    def step(
        self, key: Key[Array, ""], state: TrainState, inliers: Array, outliers: Array
    ) -> tuple[TrainState, Metrics]:
        """Descend once on the cross-entropy of a minibatch of each."""
        return self._descent.step(key, state, inliers, outliers)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, inliers: Array, outliers: Array
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the mean cross-entropy, inliers and outliers counting alike.

        Args:
            key: unused; the loss draws nothing.
            params: of the network.
            model_state: passed on.
            inliers: rows `[b, ...]`.
            outliers: rows `[c, ...]`.

        Returns:
            In nats; `accuracy`; and the variables.
        """
        inside, outside = (filled(self, self.network).apply(params, x)[..., 0] for x in (inliers, outliers))
        value = 0.5 * (jnp.mean(jax.nn.softplus(inside)) + jnp.mean(jax.nn.softplus(-outside)))
        return value, ({"accuracy": 0.5 * (jnp.mean(inside < 0) + jnp.mean(outside > 0))}, model_state)

    def scores(self, state: TrainState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Score rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `logit`, the logarithm of the odds that a row is an outlier, `[n]`.
        """
        return {"logit": filled(self, self.network).apply(self._descent.params(state), x)[..., 0]}

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(self.loss, self.optimizer(self.learning_rate), self.axis_name, self.ema_decay)
