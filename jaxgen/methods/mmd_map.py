"""Maps from a source to a target distribution that minimize the maximum mean discrepancy."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen import losses
from jaxgen.methods._modules import at_least_single, normal, required
from jaxgen.nets import MLP, output_shape
from jaxgen.numerics.kernels import squared_distances
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer
from jaxgen.optim.schedules import Cosine, Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import check_weights, check_whole, is_floating

__all__ = ["MMDMap", "MMDMapState", "all_params", "weight_matrices", "pooled_median"]

Bandwidth = float | np.floating | Array | Callable[..., Array] | None


class MMDMapState(NamedTuple):
    """State of the trained network, and the bandwidth of the last step."""

    train_state: TrainState
    bandwidth: Array  # []


def pooled_median(
    mapped: Float[Array, "n d"], target: Float[Array, "m d"], *, axis_name: str | None
) -> Float[Array, ""]:
    """Return the median of all squared distances among the pooled rows of one step, as its bandwidth.

    Args:
        mapped: outputs of the map `[n, d]`.
        target: rows `[m, d]`.
        axis_name: the axis over devices, or None.
    """
    return losses.median_bandwidth(mapped, target, axis_name=axis_name)


def weight_matrices(params: Params) -> list[Array]:
    """Return the parameters with two axes or more, which leaves out biases."""
    return [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]


def all_params(params: Params) -> list[Array]:
    """Return all parameters."""
    return jax.tree.leaves(params)


@dataclasses.dataclass(frozen=True)
class MMDMap:
    """Map from a source to a target distribution, a network trained on the maximum mean discrepancy.

    It learns from two unpaired tables, `data.Zip((source, target))`. The discrepancy is that of the whole minibatch,
    over all devices. Its sensitivity depends on the bandwidth: with one far above the target's, a map to the target's
    center has nearly as low a discrepancy as the right map.

    Columns are used as given. Scale them to a standard deviation near 1 first, for example by
    `sklearn.preprocessing.StandardScaler`.

    Attributes:
        network: `[..., k + noise_dim] -> [..., d]`; None is a dense network of two hidden layers of 128.
        noise_dim: dimensions of standard normal noise appended to each row of the source. A source with fewer
            dimensions than the target needs noise to fill it.
        bandwidth: r of the kernel `exp(-|x - y|^2 / r)`: a number, None or a function. None is the median of the
            squared distances in the target's first minibatch. A function of the mapped rows, the target's rows and
            `axis_name`, such as `pooled_median`, gives a new bandwidth at each step, without gradient.
        scales: multiples of the bandwidth; the loss is the mean over their kernels.
        weight: of the discrepancy in the loss.
        l1: weight of the sum of the parameters' absolute values.
        l2: weight of the sum of the parameters' squares.
        regularized_params: returns the parameters that `l1` and `l2` apply to: `weight_matrices` or `all_params`.
        dropout: rate of dropout on hidden layers in training; the network must have a field `dropout`, as `nets.MLP`.
        optimizer: takes the learning rate; the report's is `optax.sgd` at 0.01.
        learning_rate: a number, or a schedule such as `optim.Cosine`; the default falls to zero at the end of the run.
        ema_decay: decay of an exponential moving average of the weights, which is used after training; None for none.
        axis_name: the axis over devices, set by `train`.

    References:
        Li, Swersky and Zemel, Generative moment matching networks (2015), section 3; DaRocha, Demonstrating the basic
        principles of generative models for Gaussian and uniform mappings (2024), section 2.
    """

    uses_columns_as_given: ClassVar[bool] = True  # `train` and `check` say so for columns of very different scale

    network: nn.Module | None = None
    noise_dim: int = 0
    bandwidth: Bandwidth = None
    scales: tuple[float, ...] = (1.0,)
    weight: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    regularized_params: Callable[[Params], list[Array]] = weight_matrices
    dropout: float = 0.0
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = Cosine(1e-3)
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "MMDMap":
        """Return the method with its network filled in.

        Raises:
            TypeError: if the data are not two tables of floating-point vectors.
            ValueError: if a field is out of range, or the network does not fit the tables.
        """
        if len(row_specs) != 2 or not is_floating(*row_specs) or not all(len(row.shape) == 1 for row in row_specs):
            raise TypeError(
                f"MMDMap learns from two tables of floating-point vectors (got {row_specs}); use "
                "data.Zip((source, target)), and convert integers with x.astype('float32')."
            )
        if not (self.bandwidth is None or callable(self.bandwidth) or self.bandwidth > 0):
            raise ValueError(f"`bandwidth` must be positive (got {self.bandwidth}); None is the target's median.")
        check_whole(0, noise_dim=self.noise_dim)
        check_weights(weight=self.weight, l1=self.l1, l2=self.l2)
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(
                f"`scales` must be positive multiples of the bandwidth (got {self.scales}), such as (0.5, 1, 2)."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be at least 0 and below 1 (got {self.dropout}).")
        k, d = row_specs[0].shape[0] + self.noise_dim, row_specs[1].shape[0]
        network: Any = self.network or MLP((128, 128, d))
        if self.dropout:
            if not hasattr(network, "dropout"):
                raise ValueError(
                    f"the network must have a field `dropout` (got {type(network).__name__}); use nets.MLP."
                )
            network = network.clone(dropout=self.dropout)
        output = output_shape(network, jax.ShapeDtypeStruct((2, k), jnp.float32))
        if output != (2, d):
            raise ValueError(
                f"the network must map {(k,)} to the target's {(d,)} (got {output[1:]}); change its last layer."
            )
        return dataclasses.replace(self, network=network)

    def check(self, source: PyTree, target: PyTree) -> None:
        """Check that the bandwidth is positive among the target's own rows, the first 1,000 of them.

        Args:
            source: not checked.
            target: the whole table, `[m, d]`.

        Raises:
            ValueError: if the median of their squared distances is not positive, or a bandwidth function returns no
                positive value for one half of the rows and the other.
        """
        rows = np.asarray(target[:1_000])
        if callable(self.bandwidth):
            half, estimate = len(rows) // 2, self.bandwidth
            # One program: called as it is, each of its operations would be compiled by itself.
            bandwidth = jax.jit(lambda x, y: estimate(x, y, axis_name=None))(rows[:half], rows[half : 2 * half])
        elif self.bandwidth is None:
            # On the host: the search that finds it without keeping a distance takes a second to compile.
            bandwidth = np.median(np.asarray(jax.jit(squared_distances)(rows, rows))[np.triu_indices(len(rows), 1)])
        else:
            bandwidth = self.bandwidth
        if not bandwidth > 0:
            raise ValueError(
                "the bandwidth among the target's own rows must be positive (got "
                f"{float(bandwidth):g}); set `bandwidth` to a number, as a median is 0 if more than half of all pairs "
                "are equal."
            )

    def init(self, key: Key[Array, ""], source: Float[Array, "n k"], target: Float[Array, "m d"]) -> MMDMapState:
        """Return a network with fresh parameters, and the bandwidth of the first minibatch."""
        key_network, key_noise = jax.random.split(key)
        variables = required(self, self.network).init(key_network, self._append_noise(key_noise, source)[:1])
        return MMDMapState(self._descent.init(variables["params"]), self._first_bandwidth(target))

    def step(
        self, key: Key[Array, ""], state: MMDMapState, source: Float[Array, "n k"], target: Float[Array, "m d"]
    ) -> tuple[MMDMapState, Metrics]:
        """Take one gradient step on the discrepancy between mapped rows and the target's rows."""
        trained, metrics = self._descent.step(key, state.train_state, source, target, state.bandwidth)
        return MMDMapState(trained, metrics["bandwidth"].astype(state.bandwidth.dtype)), metrics

    def loss(
        self,
        key: Key[Array, ""],
        params: Params,
        model_state: PyTree,
        source: Float[Array, "n k"],
        target: Float[Array, "m d"],
        bandwidth: Float[Array, ""],
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the weighted discrepancy, plus the penalties on the parameters.

        Args:
            key: of the noise and of dropout.
            params: of the network.
            model_state: returned unchanged.
            source: rows `[n, k]`.
            target: rows `[m, d]`.
            bandwidth: of the previous step, used again unless `bandwidth` is a function.

        Returns:
            The loss; the metrics `mmd2`, the mean over the kernels, and `bandwidth`; and the model state.
        """
        key_noise, key_dropout = jax.random.split(key)
        inputs = self._append_noise(key_noise, source)
        mapped = required(self, self.network).apply({"params": params}, inputs, rngs={"dropout": key_dropout})
        if callable(self.bandwidth):
            bandwidth = jax.lax.stop_gradient(self.bandwidth(mapped, target, axis_name=self.axis_name))
        bandwidths = bandwidth * jnp.asarray(self.scales, bandwidth.dtype)
        discrepancy = jnp.mean(losses.mmd2(mapped, target, bandwidth=bandwidths, axis_name=self.axis_name))
        penalty = sum(
            self.l1 * jnp.sum(jnp.abs(leaf)) + self.l2 * jnp.sum(leaf**2) for leaf in self.regularized_params(params)
        )
        return self.weight * discrepancy + penalty, ({"mmd2": discrepancy, "bandwidth": bandwidth}, model_state)

    def validation_loss(
        self, key: Key[Array, ""], state: MMDMapState, source: Float[Array, "n k"], target: Float[Array, "m d"]
    ) -> Float[Array, ""]:
        """Return the discrepancy between mapped and target validation rows, by the averaged weights if there are any.

        Penalties and dropout are left out. The bandwidth is that of training. If it changes during training, it is the
        median of the squared distances among the target's rows here, so that several steps can be compared.

        Args:
            key: of the noise.
            state: of one seed.
            source: rows `[n, k]`, n >= 2.
            target: rows `[m, d]`, m >= 2.
        """
        bandwidth = losses.median_bandwidth(target) if callable(self.bandwidth) else state.bandwidth
        mapped = self.transport(key, state, source)
        return jnp.mean(losses.mmd2(mapped, target, bandwidth=bandwidth * jnp.asarray(self.scales, bandwidth.dtype)))

    def transport(self, key: Key[Array, ""], state: MMDMapState, x: Float[Array, "n k"]) -> Float[Array, "n d"]:
        """Map rows of the source to the target distribution.

        Args:
            key: of the noise appended to each row, if `noise_dim` is positive.
            state: of one seed.
            x: rows `[n, k]`.

        Returns:
            Rows `[n, d]`.
        """
        params = self._descent.params(state.train_state)
        return required(self, self.network).apply({"params": params}, self._append_noise(key, x))

    def _append_noise(self, key: Key[Array, ""], x: Array) -> Array:
        """Append noise to each row."""
        return jnp.concatenate([at_least_single(x), normal(key, len(x), self.noise_dim)], -1)

    def _first_bandwidth(self, target: Array) -> Array:
        if self.bandwidth is None or callable(self.bandwidth):
            return losses.median_bandwidth(target)
        return jnp.asarray(self.bandwidth, jnp.float32)

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(
            self.loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name, self.ema_decay
        )
