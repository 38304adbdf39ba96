"""Classifiers trained on the cross-entropy of labels, optionally with outliers."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.methods._modules import required
from jaxgen.methods._validation import mean_over_rows
from jaxgen.nets import MLP, ConvNet, output_shape
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer
from jaxgen.optim.schedules import Cosine, Schedule
from jaxgen.types import Array, Float, Int, Key, Metrics, Params, PyTree
from jaxgen.validation import check_labels, check_weights, check_whole, is_floating, is_label, rows_remedy

__all__ = ["Classifier", "Pair", "default_classifier"]

Pair = tuple[Array, Array]  # rows [b, ...] and their labels [b]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Classifier of rows, trained on one table of pairs of rows and labels, such as `data.Labelled`.

    With `uniformity_weight` it has a second table, of outliers, on which its probabilities are trained to be uniform:
    `data.Zip((data.Arrays((x, labels)), outliers))`.

    Columns are used as given. Scale them to a standard deviation near 1 first, for example by
    `sklearn.preprocessing.StandardScaler`.

    Attributes:
        network: `x [..., *row] -> logits [..., classes]`. None is two convolutions and a dense layer for images, and
            two dense layers of 256 for vectors.
        classes: number of classes; the labels are 0 to `classes - 1`.
        uniformity_weight: weight of the divergence from the uniform distribution on outliers; 0 if there are none.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `optim.Cosine`; the default falls to zero at the end of the run.
        ema_decay: decay of an exponential moving average of the weights, which predictions then use; None for none.
        axis_name: the axis over devices, set by `train`.

    References:
        Lee, Lee, Lee and Shin, Training confidence-calibrated classifiers for detecting out-of-distribution samples
        (2018), equation 1; Bungert, Master's thesis (Heidelberg, 2021), section 4.1, for `uniformity_weight`.
    """

    uses_columns_as_given: ClassVar[bool] = True  # `train` and `check` say so for columns of very different scale

    network: nn.Module | None = None
    classes: int = 10
    uniformity_weight: float = 0.0
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = Cosine(1e-3)
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "Classifier":
        """Return the method with its network filled in.

        Raises:
            TypeError: if the data are not a table of pairs, floating-point rows and integer labels, and with
                `uniformity_weight` a second table of outliers.
            ValueError: if `uniformity_weight` is negative or not finite, there is no default network for such rows, or
                the network does not return one logit per class.
        """
        check_whole(1, classes=self.classes)
        check_weights(uniformity_weight=self.uniformity_weight)
        if (
            len(row_specs) != 1 + bool(self.uniformity_weight)
            or not isinstance(row_specs[0], tuple | list)
            or len(row_specs[0]) != 2
        ):
            tables = "one table of pairs (rows, labels)" + (" and one of outliers" if self.uniformity_weight else "")
            raise TypeError(
                f"Classifier with uniformity_weight={self.uniformity_weight} learns {tables} (got {row_specs}); use "
                "data.Labelled, or data.Zip((data.Arrays((x, labels)), outliers)) with outliers."
            )
        row, label = row_specs[0]
        if not is_floating(row) or not is_label(label):
            raise TypeError(
                f"rows must be floating-point and labels single integers (got {row} and {label}); convert "
                "integer rows with x.astype('float32')."
            )
        if self.uniformity_weight and (not is_floating(row_specs[1]) or row_specs[1].shape != row.shape):
            raise TypeError(
                f"outliers must be floating-point rows of shape {row.shape}, like the data (got {row_specs[1]}); "
                "convert integers with x.astype('float32')."
            )
        method = dataclasses.replace(self, network=self.network or default_classifier(row.shape, self.classes))
        logits = output_shape(method._network, jax.ShapeDtypeStruct((2, *row.shape), row.dtype))
        if logits != (2, self.classes):
            raise ValueError(
                f"the network must return {self.classes} logits per row (got shape {logits[1:]}); change its last "
                "layer or `classes`."
            )
        return method

    def check(self, table: tuple[np.ndarray, np.ndarray], *outliers: np.ndarray) -> None:
        """Check that all labels are between 0 and `classes - 1`.

        Args:
            table: the whole table, rows `[n, ...]` and their labels `[n]`.
            *outliers: not checked.

        Raises:
            ValueError: if a label is out of range.
        """
        check_labels(table[1], self.classes)

    def init(self, key: Key[Array, ""], rows: Pair, *outliers: Array) -> TrainState:
        """Return a network with fresh parameters."""
        return self._descent.init(self._network.init(key, rows[0][:1]))

    def step(self, key: Key[Array, ""], state: TrainState, rows: Pair, *outliers: Array) -> tuple[TrainState, Metrics]:
        """Take one gradient step on a minibatch of each table."""
        return self._descent.step(key, state, rows, *outliers)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, rows: Pair, *outliers: Array
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the mean cross-entropy, plus the weighted divergence from uniformity on outliers.

        Args:
            key: unused; the loss draws nothing.
            params: of the network.
            model_state: returned unchanged.
            rows: rows `[b, ...]` and their labels `[b]`.
            *outliers: rows `[c, ...]`, where there are any.

        Returns:
            The loss in nats; the metrics `accuracy`, on the minibatch, and `uniformity_divergence`, the mean divergence
            KL(uniform || probabilities) on outliers in nats; and the model state.
        """
        x, labels = rows
        logits = self._network.apply(params, x)
        value = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
        metrics = {"accuracy": jnp.mean(jnp.argmax(logits, -1) == labels)}
        for x_out in outliers:
            log_p = jax.nn.log_softmax(self._network.apply(params, x_out))
            metrics["uniformity_divergence"] = -jnp.mean(log_p) - jnp.log(self.classes)
            value += self.uniformity_weight * metrics["uniformity_divergence"]
        return value, (metrics, model_state)

    def validation_loss(self, key: Key[Array, ""], state: TrainState, rows: Pair, *outliers: Array) -> Float[Array, ""]:
        """Return the loss of validation rows in nats, by the averaged weights if there are any.

        It is the mean cross-entropy, plus the weighted mean divergence from uniformity on outliers.

        Args:
            key: unused.
            state: of one seed.
            rows: rows `[n, ...]` and their labels `[n]`.
            *outliers: rows `[m, ...]`, where there are any.
        """
        log_p = lambda x: self.log_probabilities(state, x)
        cross_entropy = lambda _, rows: -jnp.take_along_axis(log_p(rows[0]), rows[1][:, None], 1)[:, 0]
        divergence = lambda _, x: -jnp.mean(log_p(x), -1) - jnp.log(self.classes)
        value = mean_over_rows(cross_entropy, key, rows)
        return value + sum(self.uniformity_weight * mean_over_rows(divergence, key, x) for x in outliers)

    def log_probabilities(self, state: TrainState, x: Float[Array, "n ..."]) -> Float[Array, "n classes"]:
        """Return the log-probability of each class.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            Log-probabilities `[n, classes]`.
        """
        return jax.nn.log_softmax(self._network.apply(self._descent.params(state), x))

    def predict(self, state: TrainState, x: Float[Array, "n ..."]) -> Int[Array, " n"]:
        """Return the most probable class of each row, `[n]`; arguments as in `log_probabilities`."""
        return jnp.argmax(self.log_probabilities(state, x), -1)

    def scores(self, state: TrainState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Return out-of-distribution scores of rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `one_minus_max_softmax`, 1 minus the largest class probability, and `entropy` of the class probabilities in
            nats, `[n]` each.

        References:
            Hendrycks and Gimpel, A baseline for detecting misclassified and out-of-distribution examples in neural
            networks (2016), section 2.
        """
        log_p = self.log_probabilities(state, x)
        entropy = -jnp.sum(jnp.exp(log_p) * log_p, -1)
        return {"one_minus_max_softmax": -jnp.expm1(jnp.max(log_p, -1)), "entropy": entropy}

    @property
    def _network(self) -> nn.Module:
        return required(self, self.network)

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(
            self.loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name, self.ema_decay
        )


def default_classifier(row: tuple[int, ...], classes: int) -> nn.Module:
    """Return the default network for rows of a shape: dense for vectors, convolutional for images.

    Raises:
        ValueError: if rows are neither.
    """
    if len(row) not in (1, 3):
        remedy = rows_remedy(row, "set `network`")
        raise ValueError(f"default networks exist for vectors and images (got rows of shape {row}); {remedy}.")
    return MLP((256, 256, classes)) if len(row) == 1 else ConvNet((16, 32), (128, classes))
