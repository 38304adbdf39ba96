"""A classifier: a network trained on the cross-entropy of labels."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.methods._checks import check_labels, check_weights, is_floating, is_label
from jaxgen.methods._modules import filled
from jaxgen.nets import MLP, ConvNet, output_shape
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Int, Key, Metrics, Params, PyTree

__all__ = ["Classifier", "Pair", "default_classifier"]

Pair = tuple[Array, Array]  # rows [b, ...] and their labels [b]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Tells which class a row belongs to; its table is a pair of rows and labels, such as `data.Labelled`.

    With `uniformity_weight` it has a second table, of outliers, and pays for being far from the uniform law on them:
    `data.Zip((data.Arrays((x, labels)), outliers))`.

    Attributes:
        network: `x [..., *row] -> logits [..., classes]`. None is two convolutions and a dense layer for images, and
            two dense layers of 256 for vectors.
        classes: how many; the labels are 0 to `classes - 1`.
        uniformity_weight: weight of the divergence from the uniform law on outliers; 0 where there are none.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        ema_decay: decay of an exponential average of the weights, which then judges; None keeps none.
        axis_name: the axis over devices, set by `train`.

    References:
        Lee, Lee, Lee and Shin, Training confidence-calibrated classifiers for detecting out-of-distribution samples
        (2018), equation 1; Bungert, Master's thesis (Heidelberg, 2021), section 4.1, for `uniformity_weight`.
    """

    network: nn.Module | None = None
    classes: int = 10
    uniformity_weight: float = 0.0
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "Classifier":
        """Fill in the network where it was left open.

        Raises:
            TypeError: if the data are not one table of pairs, floating-point rows and whole-numbered labels.
            ValueError: if `uniformity_weight` is negative, there is no default network for such rows, or the network
                does not make
                a logit a class.
        """
        check_weights(uniformity_weight=self.uniformity_weight)
        if (
            len(row_specs) != 1 + bool(self.uniformity_weight)
            or not isinstance(row_specs[0], tuple | list)
            or len(row_specs[0]) != 2
        ):
            wanted = "one table of pairs (rows, labels)" + (" and one of outliers" if self.uniformity_weight else "")
            raise TypeError(
                f"Classifier with unsure={self.uniformity_weight} learns {wanted}; it got {row_specs}: give "
                "data.Labelled, and with "
                "it outliers where it is to be unsure of them."
            )
        row, label = row_specs[0]
        if not is_floating(row) or not is_label(label):
            raise TypeError(f"rows are {row} and labels {label}; give floating-point rows, one whole number for each.")
        if self.uniformity_weight and (not is_floating(row_specs[1]) or row_specs[1].shape != row.shape):
            raise TypeError(f"outliers are {row_specs[1]} and rows {row}; give floating-point rows of one shape.")
        method = dataclasses.replace(self, network=self.network or default_classifier(row.shape, self.classes))
        makes = output_shape(method._network, jax.ShapeDtypeStruct((2, *row.shape), row.dtype))
        if makes != (2, self.classes):
            raise ValueError(f"the network makes rows of shape {makes[1:]}; it must make {self.classes} logits.")
        return method

    def check(self, table: tuple[np.ndarray, np.ndarray], *outliers: np.ndarray) -> None:
        """Check that every label is that of a class.

        Args:
            table: the whole table, rows `[n, ...]` and their labels `[n]`.
            *outliers: the table of those, where there is one.

        Raises:
            ValueError: if a label is below 0, or `classes` or more.
        """
        check_labels(table[1], self.classes)

    def init(self, key: Key[Array, ""], rows: Pair, *outliers: Array) -> TrainState:
        """Return a freshly drawn network."""
        return self._descent.init(self._network.init(key, rows[0][:1]))

    def step(self, key: Key[Array, ""], state: TrainState, rows: Pair, *outliers: Array) -> tuple[TrainState, Metrics]:
        """Descend once on the loss of one minibatch of each table."""
        return self._descent.step(key, state, rows, *outliers)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, rows: Pair, *outliers: Array
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the mean cross-entropy, and what outliers add to it.

        Args:
            key: unused; the loss draws nothing.
            params: of the network.
            model_state: passed on.
            rows: rows `[b, ...]` and their labels `[b]`.
            *outliers: rows `[c, ...]`, where there are any.

        Returns:
            In nats; `accuracy` on the minibatch, and `away`, the mean divergence KL(uniform || probabilities) on
            outliers, in nats; and the variables.
        """
        x, labels = rows
        logits = self._network.apply(params, x)
        value = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
        found = {"accuracy": jnp.mean(jnp.argmax(logits, -1) == labels)}
        for strange in outliers:
            log_p = jax.nn.log_softmax(self._network.apply(params, strange))
            found["away"] = -jnp.mean(log_p) - jnp.log(self.classes)
            value += self.uniformity_weight * found["away"]
        return value, (found, model_state)

    def log_probabilities(self, state: TrainState, x: Float[Array, "n ..."]) -> Float[Array, "n classes"]:
        """Return the logarithm of each class's probability.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            Logarithms `[n, classes]`.
        """
        return jax.nn.log_softmax(self._network.apply(self._descent.params(state), x))

    def predict(self, state: TrainState, x: Float[Array, "n ..."]) -> Int[Array, " n"]:
        """Return the most probable class of each row, `[n]`; arguments as of `log_probabilities`."""
        return jnp.argmax(self.log_probabilities(state, x), -1)

    def scores(self, state: TrainState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Score rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `one_minus_max_softmax`, 1 less the largest probability, and `entropy` of the classes in nats, `[n]` each.

        References:
            Hendrycks and Gimpel, A baseline for detecting misclassified and out-of-distribution examples in neural
            networks (2016), section 2.
        """
        log_p = self.log_probabilities(state, x)
        return {"doubt": -jnp.expm1(jnp.max(log_p, -1)), "entropy": -jnp.sum(jnp.exp(log_p) * log_p, -1)}

    @property
    def _network(self) -> nn.Module:
        return filled(self, self.network)

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(self.loss, self.optimizer(self.learning_rate), self.axis_name, self.ema_decay)


def default_classifier(row: tuple[int, ...], classes: int) -> nn.Module:
    """Return a network that makes so many logits of rows of a shape: dense for vectors, convolutional for images.

    Raises:
        ValueError: if rows are neither.
    """
    if len(row) not in (1, 3):
        raise ValueError(f"there is no default network for rows of shape {row}; give network=.")
    return MLP((256, 256, classes)) if len(row) == 1 else ConvNet((16, 32), (128, classes))
