"""Normalizing flows: invertible networks trained by maximum likelihood."""

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
from jaxgen.data.batches import value_range
from jaxgen.methods._conditioning import check_condition, standardized
from jaxgen.methods._modules import at_least_single, normal, required
from jaxgen.methods._validation import mean_over_rows
from jaxgen.nets.image_sides import check_image_shape
from jaxgen.nets.shapes import outputs
from jaxgen.numerics.column_scale import location_and_scale
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer
from jaxgen.optim.schedules import Cosine, Schedule
from jaxgen.types import Array, Float, Int, Key, Metrics, Params, PyTree
from jaxgen.validation import check_floating, check_labels, check_range, check_whole, is_floating, is_label

__all__ = ["Flow"]


@dataclasses.dataclass(frozen=True)
class Flow:
    """Normalizing flow: an invertible map of data to a standard normal distribution, with exact density.

    Its table is rows `[n, ...]`. With `classes` it is a pair of rows and labels, such as `data.Labelled`. The flow then
    has one distribution per class, and the density of a row is the mean over classes. From pairs of a condition `[k]`
    and a row, it learns a distribution of rows for each condition. Conditions are standardized by the first minibatch.

    The default networks begin with `nets.ActNorm`, so training does not depend on the units of columns. `noise` is in
    the data's units.

    Attributes:
        network: invertible, `x [..., *row] -> z [..., d]`, such as those of `nets.dense_flow` and `nets.image_flow`.
            None is `nets.spline_flow` for vectors, and `nets.image_flow` for images with sides of 8 to 64 pixels:
            couplings at a half and a quarter of the resolution, of the largest block whose sides are multiples of 4,
            and couplings with the border of up to three rows and columns where there is one.
        dimensions: of a latent vector; `resolve` sets it to the number of values in a row.
        classes: number of classes, with labels 0 to `classes - 1`; 0 if rows have no labels.
        levels: number of gray levels of images, evenly spaced in [0, 1], such as 256. Uniform noise then dequantizes
            rows in training, which bounds their density. Rows must be in [0, 1]. None leaves rows unchanged.
        noise: standard deviation of normal noise added to rows in training.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `optim.Cosine`.
        ema_decay: decay of an exponential moving average of the weights, which is used after training; None for none.
        condition_dim: k, width of a condition, 0 where there is none; set by `resolve`.
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
    learning_rate: float | Schedule = Cosine(2e-3)
    ema_decay: float | None = 0.999
    condition_dim: int = 0
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "Flow":
        """Return the method with its network, `dimensions` and `condition_dim` filled in.

        Raises:
            TypeError: if the data are not one table of floating-point rows, with labels if there are classes, or of
                pairs of a condition and such a row.
            ValueError: if there is no default network for such rows, or a number is out of range. Also if the network
                has running statistics, or its output is not a vector of a row's size.
        """
        check_whole(0, classes=self.classes)
        row, condition_dim = self._row_and_condition_dim(row_specs)
        if (self.levels is not None and self.levels < 2) or not 0 <= self.noise < math.inf:
            raise ValueError(
                f"`levels` must be None or at least 2, and `noise` finite and at least 0 (got {self.levels} and "
                f"{self.noise})."
            )
        network = self.network
        if network is None:
            if len(row.shape) != 1:
                check_image_shape(row.shape, "set `network`")
            network = nets.spline_flow(*row.shape) if len(row.shape) == 1 else nets.image_flow(row.shape)
        spec = jax.ShapeDtypeStruct((2, *row.shape), row.dtype)
        width = self.classes or condition_dim
        condition = [jax.ShapeDtypeStruct((2, width), row.dtype)] if width else []
        output = outputs(network, spec, *condition)[0].shape
        if output != (2, row.size) or self.dimensions not in (None, row.size):
            raise ValueError(
                f"the network must return vectors of {row.size} values, and `dimensions` be None or {row.size} (got "
                f"shape {output[1:]} and {self.dimensions})."
            )
        return dataclasses.replace(self, network=network, dimensions=row.size, condition_dim=condition_dim)

    def check(self, table: Any) -> None:
        """Check that rows are in [0, 1] if the flow has levels, and labels below `classes`.

        Args:
            table: the whole table.

        Raises:
            ValueError: if they are not, or the table is empty.
        """
        x, labels = table if self.classes else (table, None)
        x = np.asarray(x[1] if isinstance(x, tuple | list) else x)
        if not len(x):
            raise ValueError("the table must have at least one row (got none).")
        if self.levels is not None:
            check_range(f"Flow with levels={self.levels}", *value_range(x))
        if labels is not None:
            check_labels(labels, self.classes)

    def init(self, key: Key[Array, ""], rows: PyTree) -> TrainState:
        """Return a network with fresh parameters, some of which may be initialized from the first minibatch."""
        key_network, key_noise = jax.random.split(key)
        units = {"condition": location_and_scale(rows[0])} if self.condition_dim else {}
        x, condition = self._parted(units, rows)
        params = required(self, self.network).init(key_network, self.dequantize(key_noise, x), condition)
        return self._descent.init(params, units)

    def step(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> tuple[TrainState, Metrics]:
        """Take one gradient step on the negative log-likelihood of a minibatch."""
        return self._descent.step(key, state, rows)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, rows: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the mean negative log-likelihood.

        Args:
            key: of the noise on the rows.
            params: of the network.
            model_state: location and scale of conditions, returned unchanged.
            rows: rows `[b, ...]`, with their labels `[b]` if there are classes; or conditions `[b, k]` and rows.

        Returns:
            The loss in nats, metrics, and the model state. The metric `norm` is the mean squared norm of latent vectors
            per dimension, near 1 for a trained network. `bpd`, in bits per dimension, is there if rows have levels.
        """
        x, condition = self._parted(model_state, rows)
        z, log_det = self.forward(params, self.dequantize(key, x), condition)
        value = jnp.mean(losses.flow_nll(z, log_det))
        metrics = {"norm": jnp.mean(z**2)}
        if self.levels is not None:
            metrics["bpd"] = self._bits(value)
        return value, (metrics, model_state)

    def validation_loss(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> Float[Array, ""]:
        """Return the mean negative log-likelihood of validation rows in nats, by the averaged weights if there are any.

        Rows on levels get uniform noise as in training, but no row gets the normal noise of `noise`.

        Args:
            key: of the uniform noise.
            state: of one seed.
            rows: rows `[n, ...]`, with their labels `[n]` if there are classes; or conditions `[n, k]` and rows.
        """
        params, noiseless = self._descent.params(state), dataclasses.replace(self, noise=0.0)

        def nll(key: Key[Array, ""], rows: PyTree) -> Array:
            x, condition = self._parted(state.model_state, rows)
            return losses.flow_nll(*self.forward(params, noiseless.dequantize(key, x), condition))

        return mean_over_rows(nll, key, rows)

    def forward(
        self, params: Params, x: Float[Array, "n ..."], condition: Float[Array, "n c"] | None = None
    ) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
        """Return latent vectors of continuous rows, and the log-determinant of the Jacobian.

        Both are differentiable with respect to all arguments.

        Args:
            params: of the network.
            x: continuous rows `[n, ...]`.
            condition: one-hot classes, or standardized conditions, `[n, c]`; None where there are neither.

        Returns:
            Latent vectors `[n, d]` and log-determinants `[n]`.
        """
        z, log_det = required(self, self.network).apply(params, x, condition)
        return z, jnp.broadcast_to(log_det, z.shape[:-1])

    def backward(
        self, params: Params, z: Float[Array, "n d"], condition: Float[Array, "n c"] | None = None
    ) -> Float[Array, "n ..."]:
        """Return the continuous rows `[n, ...]` of latent vectors `[n, d]`; arguments as in `forward`.

        They are differentiable with respect to all arguments.
        """
        return required(self, self.network).apply(params, z, condition, method="inverse")[0]

    def dequantize(self, key: Key[Array, ""], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return rows as in training: dequantized if the flow has levels, and with normal noise."""
        key_level, key_noise = jax.random.split(key)
        if self.levels is not None:
            x = (x * (self.levels - 1) + jax.random.uniform(key_level, x.shape, x.dtype)) / self.levels
        if self.noise:
            x = x + self.noise * jax.random.normal(key_noise, x.shape, x.dtype)
        return x

    def to_continuous(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return rows in the middle of their levels, or unchanged without levels.

        Raises:
            TypeError: if the dtype is not floating-point; `data.to_float` converts bytes.
        """
        x = at_least_single(check_floating("Flow", x))
        return x if self.levels is None else (x * (self.levels - 1) + 0.5) / self.levels

    def from_continuous(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return the inverse of `continuous`."""
        return x if self.levels is None else (x * self.levels - 0.5) / (self.levels - 1)

    def round_to_levels(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Return rows rounded to the nearest level, or unchanged without levels."""
        if self.levels is None:
            return x
        return jnp.clip(jnp.round(x * (self.levels - 1)), 0, self.levels - 1) / (self.levels - 1)

    def log_prob(self, state: TrainState, x: PyTree, labels: Int[Array, " n"] | None = None) -> Float[Array, " n"]:
        """Return the log-density of rows, conditional for pairs.

        Args:
            state: of one seed.
            x: rows `[n, ...]`, or a pair of conditions `[n, k]` and rows if the flow was trained with conditions.
            labels: class of each row `[n]`; None is the mean density over classes, all with equal probability.

        Returns:
            Log-densities in nats, `[n]`; for rows on levels, at the middle of their level.

        Raises:
            TypeError: if the dtype is not floating-point.
            ValueError: if there are labels but no classes, or conditions of the wrong width.
        """
        params = self._descent.params(state)
        if not self.classes or labels is not None:
            x, condition = self._parted(state.model_state, self._with_labels(x, labels))
            return -losses.flow_nll(*self.forward(params, self.to_continuous(x), condition))
        x = self.to_continuous(x)
        condition_of = lambda label: self._one_hot(jnp.full(len(x), label))
        each = lambda label: -losses.flow_nll(*self.forward(params, x, condition_of(label)))
        return jax.nn.logsumexp(jax.lax.map(each, jnp.arange(self.classes)), 0) - jnp.log(self.classes)

    def encode(self, state: TrainState, x: PyTree, labels: Int[Array, " n"] | None = None) -> Float[Array, "n d"]:
        """Return the latent vectors `[n, d]` of rows `[n, ...]`, or of pairs of conditions `[n, k]` and rows.

        With classes, labels `[n]` are needed.

        Raises:
            TypeError: if the dtype is not floating-point.
            ValueError: if there are labels but no classes, classes but no labels, or conditions of the wrong width.
        """
        x, condition = self._parted(state.model_state, self._with_labels(x, labels))
        return self.forward(self._descent.params(state), self.to_continuous(x), condition)[0]

    def decode(
        self,
        state: TrainState,
        z: Float[Array, "n d"],
        labels: Int[Array, " n"] | None = None,
        *,
        condition: Float[Array, "n k"] | None = None,
    ) -> Float[Array, "n ..."]:
        """Return the rows `[n, ...]` of latent vectors `[n, d]`, with labels `[n]` if there are classes.

        Args:
            state: of one seed.
            z: latent vectors `[n, d]`.
            labels: class of each vector `[n]`; None without classes.
            condition: condition of each vector `[n, k]`; None if the flow was trained without.

        Returns:
            Rows `[n, ...]`.

        Raises:
            ValueError: if there are labels but no classes, classes but no labels, or conditions of the wrong width.
        """
        rows = z if condition is None else (condition, z)
        z, condition = self._parted(state.model_state, self._with_labels(rows, labels))
        return self.from_continuous(self.backward(self._descent.params(state), z, condition))

    def sample(self, key: Key[Array, ""], state: TrainState, n: int) -> Float[Array, "n ..."]:
        """Draw samples; with classes, all have equal probability.

        Args:
            key: of the draws.
            state: of one seed.
            n: number of samples.

        Returns:
            Samples `[n, ...]`, on their levels if the flow has any.

        Raises:
            ValueError: if the flow was trained with conditions.
        """
        key_label, key_latent = jax.random.split(key)
        labels = jax.random.randint(key_label, (n,), 0, self.classes) if self.classes else None
        x = self.decode(state, normal(key_latent, n, required(self, self.dimensions)), labels)
        return self.round_to_levels(x)

    def sample_given(
        self, key: Key[Array, ""], state: TrainState, condition: Float[Array, "b k"], n: int
    ) -> Float[Array, "b n ..."]:
        """Draw samples for each condition.

        Args:
            key: of the draws.
            state: of one seed.
            condition: conditions `[b, k]`.
            n: number of samples for each.

        Returns:
            Samples `[b, n, ...]`, on their levels if the flow has any.

        Raises:
            ValueError: if the conditions have another width than in training, or the flow has none.
        """
        self._check_condition(condition)
        z = normal(key, len(condition) * n, required(self, self.dimensions))
        x = self.decode(state, z, condition=jnp.repeat(condition, n, 0) if self.condition_dim else None)
        return self.round_to_levels(x).reshape(len(condition), n, *x.shape[1:])

    def scores(self, state: TrainState, x: PyTree) -> dict[str, Array]:
        """Return out-of-distribution scores of rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `nll`, the negative log-density in nats, `[n]`; for rows on levels, at the middle of their level.
        """
        return {"nll": -self.log_prob(state, x)}

    def bits(self, key: Key[Array, ""], state: TrainState, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
        """Return bits per dimension of rows on levels, with dequantization noise.

        Args:
            key: of the noise.
            state: of one seed.
            x: rows `[n, ...]`, on their levels.

        Returns:
            `[n]`; their mean over the noise is an upper bound on the bits under the flow's probabilities of levels.

        Raises:
            ValueError: if the flow has no levels.

        References:
            Theis, van den Oord and Bethge, A note on the evaluation of generative models (2016), section 3.1.
        """
        if self.levels is None:
            raise ValueError("bits per dimension need `levels` (got None); use levels=256 for bytes.")
        noise = jax.random.uniform(key, x.shape, x.dtype) - 0.5
        return self._bits(-self.log_prob(state, x + noise / (self.levels - 1)))

    def _row_and_condition_dim(self, row_specs: tuple[PyTree, ...]) -> tuple[jax.ShapeDtypeStruct, int]:
        """Return the spec of a row, and the width of a condition."""
        table: Any = row_specs[0] if len(row_specs) == 1 else None
        paired = isinstance(table, tuple | list) and len(table) == 2
        if self.classes:
            if paired and is_floating(table[0]) and is_label(table[1]):
                return table[0], 0
            wanted = f"pairs of rows and labels below {self.classes}"
        else:
            condition, row = table if paired else (None, table)
            if is_floating(row) and (condition is None or (is_floating(condition) and len(condition.shape) == 1)):
                return row, 0 if condition is None else condition.shape[0]
            wanted = "rows, or pairs of a condition vector and a row"
        raise TypeError(
            f"Flow with classes={self.classes} learns one table of floating-point {wanted} (got {row_specs}); use "
            "data.Arrays(x) or data.Arrays((condition, x)), or data.Labelled and its number of classes, and convert "
            "integers with x.astype('float32')."
        )

    def _with_labels(self, rows: PyTree, labels: Array | None) -> PyTree:
        if (labels is None) != (self.classes == 0):
            raise ValueError(
                f"labels are needed if and only if the flow has classes (got {labels} for classes={self.classes})."
            )
        return rows if labels is None else (rows, labels)

    def _parted(self, units: PyTree, rows: PyTree) -> tuple[Array, Array | None]:
        """Return rows without their labels or conditions, and what the network is conditional on."""
        rows = at_least_single(rows)
        if self.classes:
            x, labels = rows
            return x, self._one_hot(labels)
        condition, x = rows if isinstance(rows, tuple | list) else (jnp.zeros((len(rows), 0), rows.dtype), rows)
        self._check_condition(condition)
        return x, standardized(units, "condition", condition) if self.condition_dim else None

    def _check_condition(self, condition: Array) -> None:
        fits = condition.ndim == 2 and condition.shape[1] == self.condition_dim
        check_condition(condition, fits, unconditional="sample", conditional="sample_given")

    def _one_hot(self, labels: Array) -> Array:
        if not isinstance(labels, jax.core.Tracer) and labels.size:
            check_labels(np.asarray(labels), self.classes)  # a label out of range would become a vector of zeros
        return jax.nn.one_hot(labels, self.classes, dtype=jnp.float32)

    def _bits(self, nll: Array) -> Array:
        """Return bits per dimension of rows on levels: those of the density plus those of a level's width."""
        dimensions = required(self, self.dimensions)
        return losses.bits_per_dimension(nll, dimensions) + math.log2(required(self, self.levels))

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(
            self.loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name, self.ema_decay
        )
