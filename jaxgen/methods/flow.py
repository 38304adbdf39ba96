"""Normalising flows: invertible networks trained by maximum likelihood."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen import losses, nets
from jaxgen.losses.likelihood import check_floating
from jaxgen.methods._checks import check_labels, check_range, is_floating, is_label
from jaxgen.methods._modules import filled
from jaxgen.nets.shapes import outputs
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Int, Key, Metrics, Params, PyTree

__all__ = ["Flow"]


@dataclasses.dataclass(frozen=True)
class Flow:
    """An invertible network that makes a standard normal law of the data; its density is known everywhere.

    Its table is rows `[n, ...]`; with `classes` a pair of rows and labels, such as `data.Labelled`, and then there is a
    law for each class, and the density of a row is the mean over them.

    Attributes:
        network: invertible, `x [..., *row] -> z [..., d]`, as those that `nets.dense_flow` and `nets.image_flow` make.
            None is one of these two.
        dimensions: of a latent vector; `resolve` sets it to those of a row.
        classes: of labels 0 to `classes - 1`; 0 where rows have none.
        levels: of images on a scale of so many between 0 and 1, such as 256, which uniform noise makes continuous; rows
            then are bytes' fractions, and their density has a bound. None leaves rows as they are.
        noise: deviation of normal noise added to rows in training.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        ema_decay: decay of an exponential average of the weights, which then is used; None keeps none.
        axis_name: the axis over devices, set by `train`.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), section 2.2.3; Theis, van den Oord and Bethge, A note on the
        evaluation of generative models (2016), section 3.1, for the levels.
    """

    network: nn.Module | None = None
    dimensions: int | None = None
    classes: int = 0
    levels: int | None = None
    noise: float = 0.0
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "Flow":
        """Fill in the network where it was left open.

        Raises:
            TypeError: if the data are not one table of floating-point rows, with labels where there are classes.
            ValueError: if there is no default network for such rows, the network makes no vector of as many numbers as
                a row has or has running statistics, or a number is out of range.
        """
        paired = isinstance(row_specs[0], tuple | list) and len(row_specs[0]) == 2
        row, label = row_specs[0] if paired else (row_specs[0], None)
        if len(row_specs) != 1 or not paired == is_label(label) == (self.classes > 0) or not is_floating(row):
            wanted = f"pairs of rows and labels below {self.classes}" if self.classes else "rows"
            raise TypeError(
                f"Flow with classes={self.classes} learns one table of floating-point {wanted}, and got "
                f"{row_specs}; give "
                "data.Arrays(x), or data.Labelled and its classes."
            )
        if (self.levels is not None and self.levels < 2) or self.noise < 0:
            raise ValueError(
                f"levels is {self.levels} and noise {self.noise}; make them 2 and 0 at the least, or None."
            )
        network = self.network
        if network is None:
            if len(row.shape) not in (1, 3):
                raise ValueError(f"there is no default network for rows of shape {row.shape}; give network=.")
            network = nets.dense_flow(*row.shape) if len(row.shape) == 1 else nets.image_flow(row.shape)
        spec = jax.ShapeDtypeStruct((2, *row.shape), row.dtype)
        given = [jax.ShapeDtypeStruct((2, self.classes), row.dtype)] if self.classes else []
        made = outputs(network, spec, *given)[0].shape
        if made != (2, row.size) or self.dimensions not in (None, row.size):
            raise ValueError(f"the network makes rows of shape {made[1:]}; it must make vectors of {row.size} numbers.")
        return dataclasses.replace(self, network=network, dimensions=row.size)

    def check(self, table: Any) -> None:
        """Check that rows are within 0 and 1 where they have levels, and labels below `classes`.

        Args:
            table: the whole table.

        Raises:
            ValueError: if they are not.
        """
        x, labels = table if self.classes else (table, None)
        x = np.asarray(x)
        if not len(x):
            raise ValueError("the table has no rows; give at least one.")
        if self.levels is not None:
            check_range(x, f"a flow with levels={self.levels}")
        if labels is not None:
            check_labels(labels, self.classes)

    def init(self, key: Key[Array, ""], rows: PyTree) -> TrainState:
        """Return a freshly drawn network, which the first minibatch may scale."""
        key_network, key_noise = jax.random.split(key)
        x, labels = self._parted(rows)
        given = self._condition(labels)
        return self._descent.init(filled(self, self.network).init(key_network, self.noisy(key_noise, x), given))

    def step(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> tuple[TrainState, Metrics]:
        """Descend once on the negative log-likelihood of one minibatch."""
        return self._descent.step(key, state, rows)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, rows: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the mean negative log-likelihood.

        Args:
            key: of the noise on the rows.
            params: of the network.
            model_state: passed on.
            rows: rows `[b, ...]`, and their labels `[b]` where there are classes.

        Returns:
            In nats; `norm`, the mean squared norm of latent vectors over their dimensions, near 1 where the network
            has learned, and `bpd`, bits for each dimension, where rows have levels; and the variables.
        """
        x, labels = self._parted(rows)
        z, log_det = self.forward(params, self.noisy(key, x), self._condition(labels))
        value = jnp.mean(losses.flow_nll(z, log_det))
        found = {"norm": jnp.mean(z**2)}
        if self.levels is not None:
            found["bpd"] = self._bits(value)
        return value, (found, model_state)

    def forward(
        self, params: Params, x: Float[Array, "n ..."], given: Float[Array, "n c"] | None = None
    ) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        """Return latent vectors of continuous rows, and the logarithm of the volume's growth; differentiable by all."""
        z, log_det = filled(self, self.network).apply(params, x, given)
        return z, jnp.broadcast_to(log_det, z.shape[:-1])

    def backward(
        self, params: Params, z: Float[Array, "n d"], given: Float[Array, "n c"] | None = None
    ) -> Float[Array, "n ..."]:
        """Return the continuous rows of latent vectors; differentiable by all."""
        return filled(self, self.network).apply(params, z, given, method="inverse")[0]

    def noisy(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return rows as they are learned from: made continuous where they have levels, and with noise."""
        key_level, key_noise = jax.random.split(key)
        if self.levels is not None:
            x = (x * (self.levels - 1) + jax.random.uniform(key_level, x.shape, x.dtype)) / self.levels
        if self.noise:
            x = x + self.noise * jax.random.normal(key_noise, x.shape, x.dtype)
        return x

    def continuous(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return rows in the middle of their levels, where they have any.

        Raises:
            TypeError: if the rows are no floating-point numbers: `data.to_float` makes such of bytes.
        """
        x = check_floating("Flow", x)
        return x if self.levels is None else (x * (self.levels - 1) + 0.5) / self.levels

    def restored(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return the rows of which `continuous` would make these."""
        return x if self.levels is None else (x * self.levels - 0.5) / (self.levels - 1)

    def on_levels(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return rows at the nearest of their levels, where they have any."""
        if self.levels is None:
            return x
        return jnp.clip(jnp.round(x * (self.levels - 1)), 0, self.levels - 1) / (self.levels - 1)

    def log_prob(
        self, state: TrainState, x: Float[Array, "n ..."], labels: Int[Array, " n"] | None = None
    ) -> Float[Array, " n"]:
        """Return the logarithm of the density.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.
            labels: whose law is asked, `[n]`; None asks for the mean over classes, each as likely as the others.

        Returns:
            In nats, `[n]`; of rows on levels it is that of the middle of their level.

        Raises:
            TypeError: if the rows are no floating-point numbers.
            ValueError: if there are labels and no classes.
        """
        params, x = self._descent.params(state), self.continuous(x)
        if not self.classes or labels is not None:
            return -losses.flow_nll(*self.forward(params, x, self._condition(labels)))
        condition = lambda label: self._condition(jnp.full(len(x), label))
        each = lambda label: -losses.flow_nll(*self.forward(params, x, condition(label)))
        return jax.nn.logsumexp(jax.lax.map(each, jnp.arange(self.classes)), 0) - jnp.log(self.classes)

    def encode(
        self, state: TrainState, x: Float[Array, "n ..."], labels: Int[Array, " n"] | None = None
    ) -> Float[Array, "n d"]:
        """Return the latent vectors `[n, d]` of rows `[n, ...]`, with labels `[n]` where there are classes.

        Raises:
            TypeError: if the rows are no floating-point numbers.
            ValueError: if there are labels and no classes, or classes and no labels.
        """
        return self.forward(self._descent.params(state), self.continuous(x), self._condition(labels))[0]

    def decode(
        self, state: TrainState, z: Float[Array, "n d"], labels: Int[Array, " n"] | None = None
    ) -> Float[Array, "n ..."]:
        """Return the rows `[n, ...]` of latent vectors `[n, d]`, with labels `[n]` where there are classes.

        Raises:
            ValueError: if there are labels and no classes, or classes and no labels.
        """
        return self.restored(self.backward(self._descent.params(state), z, self._condition(labels)))

    def sample(self, key: Key[Array, ""], state: TrainState, n: int) -> Float[Array, "n ..."]:
        """Draw rows, of every class as often as of the others.

        Args:
            key: of the draws.
            state: of one seed.
            n: how many.

        Returns:
            Rows `[n, ...]`, on their levels where they have any.
        """
        key_label, key_latent = jax.random.split(key)
        labels = jax.random.randint(key_label, (n,), 0, self.classes) if self.classes else None
        x = self.decode(state, jax.random.normal(key_latent, (n, filled(self, self.dimensions))), labels)
        return self.on_levels(x)

    def scores(self, state: TrainState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Score rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `nll`, the negative log-density in nats, `[n]`; of rows on levels that of the middle of their level.
        """
        return {"nll": -self.log_prob(state, x)}

    def bits(self, key: Key[Array, ""], state: TrainState, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
        """Return bits for each dimension of rows on levels, with noise that makes them continuous.

        Args:
            key: of the noise.
            state: of one seed.
            x: rows `[n, ...]`, on their levels.

        Returns:
            `[n]`; their mean over noise is not below what the flow's probabilities of levels would need.

        Raises:
            ValueError: if rows have no levels.

        References:
            Theis, van den Oord and Bethge, A note on the evaluation of generative models (2016), section 3.1.
        """
        if self.levels is None:
            raise ValueError("rows without levels have no bits; give levels=256 to the flow, for bytes.")
        noise = jax.random.uniform(key, x.shape, x.dtype) - 0.5
        return self._bits(-self.log_prob(state, x + noise / (self.levels - 1)))

    def _parted(self, rows: PyTree) -> tuple[Array, Array | None]:
        return rows if self.classes else (rows, None)

    def _condition(self, labels: Array | None) -> Array | None:
        if (labels is None) != (self.classes == 0):
            raise ValueError(f"labels are {labels} for a flow with classes={self.classes}; give them where it has any.")
        return None if labels is None else jax.nn.one_hot(labels, self.classes)

    def _bits(self, nll: Array) -> Array:
        """Return bits for each dimension of bytes: the density's, and those that a level's width adds."""
        dimensions = filled(self, self.dimensions)
        return losses.bits_per_dimension(nll, dimensions) + math.log2(filled(self, self.levels))

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(self.loss, self.optimizer(self.learning_rate), self.axis_name, self.ema_decay)
