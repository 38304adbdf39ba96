"""Maps that carry one law to another by making their maximum mean discrepancy small."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen import losses
from jaxgen.methods._checks import check_weights, is_floating
from jaxgen.methods._modules import filled
from jaxgen.nets import MLP, output_shape
from jaxgen.numerics.kernels import squared_distances
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["MMDMap", "MMDMapState", "all_params", "weight_matrices", "pooled_median"]

Bandwidth = float | np.floating | Array | Callable[..., Array] | None


class MMDMapState(NamedTuple):
    """What is trained, and the bandwidth that the last step had."""

    trained: TrainState
    bandwidth: Array  # []


def pooled_median(
    mapped: Float[Array, "n d"], target: Float[Array, "m d"], *, axis_name: str | None
) -> Float[Array, ""]:
    """Return the median of all squared distances within the pooled rows of one step, as its bandwidth."""
    return losses.median_bandwidth(mapped, target, axis_name=axis_name)


def weight_matrices(params: Params) -> list[Array]:
    """Return what is multiplied with inputs, and not the biases."""
    return [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]


def all_params(params: Params) -> list[Array]:
    """Return all parameters."""
    return jax.tree.leaves(params)


@dataclasses.dataclass(frozen=True)
class MMDMap:
    """A network whose outputs for a source's rows have the law of a target's rows.

    It learns from two tables, `data.Zip((source, target))`, of which no row belongs to any of the other. The
    discrepancy is that of the whole minibatch, over all devices. How narrow its kernel is decides what it sees: with a
    bandwidth well above the target's, a map to the target's middle is nearly as good as the right one.

    Attributes:
        network: `[..., k + noise_dim] -> [..., d]`; None is a dense network of two hidden layers of 128.
        noise_dim: dimensions of standard normal noise behind each row of the source, without which a source of fewer
            dimensions than the target's cannot fill it.
        bandwidth: r of the kernel `exp(-|x - y|^2 / r)`: a number; None for the median of the squared distances in the
            target's first minibatch; or a function of what was mapped, of the target's rows and of `axis_name`, such as
            `pooled_median`, for another one at every step, through which no gradient flows.
        scales: multiples of the bandwidth; the loss is the mean over the kernels of all.
        weight: of the discrepancy in the loss.
        l1: weight of the sum of the parameters' absolute values.
        l2: weight of the sum of their squares.
        regularized_params: takes the parameters to the arrays that pay for this: `weight_matrices` or `all_params`.
        dropout: share of hidden outputs that is dropped in training; the network must have a field `dropout`, as
            `nets.MLP` has.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        ema_decay: decay of an exponential average of the weights, which is then used; None keeps none.
        axis_name: the axis over devices, set by `train`.

    References:
        Li, Swersky and Zemel, Generative moment matching networks (2015), section 3; DaRocha, Demonstrating the basic
        principles of generative models for Gaussian and uniform mappings (2024), section 2.
    """

    network: nn.Module | None = None
    noise_dim: int = 0
    bandwidth: Bandwidth = None
    scales: tuple[float, ...] = (1.0,)
    weight: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    regularized_params: Callable[[Params], list[Array]] = weight_matrices
    dropout: float = 0.0
    optimizer: Callable[..., optax.GradientTransformation] = optax.sgd
    learning_rate: float | Schedule = 0.01
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "MMDMap":
        """Fill in the network where it was left open.

        Raises:
            TypeError: if the data are not two tables of floating-point vectors.
            ValueError: if a field has no meaning, or the network does not fit the tables.
        """
        if len(row_specs) != 2 or not is_floating(*row_specs) or not all(len(row.shape) == 1 for row in row_specs):
            raise TypeError(
                f"MMDMap learns from two tables of floating-point vectors and got {row_specs}; give "
                "data.Together((source, "
                "target))."
            )
        if not (self.bandwidth is None or callable(self.bandwidth) or self.bandwidth > 0):
            raise ValueError(f"bandwidth is {self.bandwidth}; make it positive, or None for the target's median.")
        check_weights(weight=self.weight, l1=self.l1, l2=self.l2)
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(
                f"scales are {self.scales}; give positive multiples of the bandwidth, such as (0.5, 1, 2)."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; make it a share, at least 0 and below 1.")
        k, d = row_specs[0].shape[0] + self.noise_dim, row_specs[1].shape[0]
        network: Any = self.network or MLP((128, 128, d))
        if self.dropout:
            if not hasattr(network, "dropout"):
                raise ValueError(f"{type(network).__name__} has no field dropout; drop inside of it, or use nets.MLP.")
            network = network.clone(dropout=self.dropout)
        makes = output_shape(network, jax.ShapeDtypeStruct((2, k), jnp.float32))
        if makes != (2, d):
            raise ValueError(f"the network makes rows {makes[1:]} of {k} numbers; the target's are {(d,)}.")
        return dataclasses.replace(self, network=network)

    def check(self, source: PyTree, target: PyTree) -> None:
        """Refuse a target among whose own rows the bandwidth is not positive.

        Raises:
            ValueError: if the median of their distances, or what the function makes of one half of them and the other,
                is not positive.
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
                f"the bandwidth among the target's own rows is {float(bandwidth):g}; give one that is positive there, "
                "such as a number: a median is 0 where more than half of all pairs are equal."
            )

    def init(self, key: Key[Array, ""], source: Float[Array, "n k"], target: Float[Array, "m d"]) -> MMDMapState:
        """Return a freshly drawn network, and the bandwidth of the first minibatch."""
        key_network, key_noise = jax.random.split(key)
        model_state = filled(self, self.network).init(key_network, self._given(key_noise, source)[:1])
        return MMDMapState(self._descent.init(model_state["params"]), self._first_bandwidth(target))

    def step(
        self, key: Key[Array, ""], state: MMDMapState, source: Float[Array, "n k"], target: Float[Array, "m d"]
    ) -> tuple[MMDMapState, Metrics]:
        """Descend once on the discrepancy of what is mapped and the target's rows."""
        trained, metrics = self._descent.step(key, state.trained, source, target, state.bandwidth)
        return MMDMapState(trained, metrics["bandwidth"]), metrics

    def loss(
        self,
        key: Key[Array, ""],
        params: Params,
        model_state: PyTree,
        source: Float[Array, "n k"],
        target: Float[Array, "m d"],
        bandwidth: Float[Array, ""],
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the weighted discrepancy and what the parameters pay.

        Args:
            key: of the noise, and of what is dropped.
            params: of the network.
            model_state: passed on.
            source: rows `[n, k]`.
            target: rows `[m, d]`.
            bandwidth: that of the step before, which is kept unless it is to be estimated anew.

        Returns:
            The loss; `mmd2`, the mean over the kernels, and `bandwidth`; and the variables.
        """
        key_noise, key_dropout = jax.random.split(key)
        given = self._given(key_noise, source)
        mapped = filled(self, self.network).apply({"params": params}, given, rngs={"dropout": key_dropout})
        if callable(self.bandwidth):
            bandwidth = jax.lax.stop_gradient(self.bandwidth(mapped, target, axis_name=self.axis_name))
        bandwidths = bandwidth * jnp.asarray(self.scales)
        discrepancy = jnp.mean(losses.mmd2(mapped, target, bandwidth=bandwidths, axis_name=self.axis_name))
        paid = sum(
            self.l1 * jnp.sum(jnp.abs(leaf)) + self.l2 * jnp.sum(leaf**2) for leaf in self.regularized_params(params)
        )
        return self.weight * discrepancy + paid, ({"mmd2": discrepancy, "bandwidth": bandwidth}, model_state)

    def transport(self, key: Key[Array, ""], state: MMDMapState, x: Float[Array, "n k"]) -> Float[Array, "n d"]:
        """Carry rows of the source to where the target's are.

        Args:
            key: of the noise behind each row, where there is any.
            state: of one seed.
            x: rows `[n, k]`.

        Returns:
            Rows `[n, d]`.
        """
        params = self._descent.params(state.trained)
        return filled(self, self.network).apply({"params": params}, self._given(key, x))

    def _given(self, key: Key[Array, ""], x: Array) -> Array:
        """Put noise behind each row."""
        return jnp.concatenate([x, jax.random.normal(key, (len(x), self.noise_dim), x.dtype)], -1)

    def _first_bandwidth(self, target: Array) -> Array:
        if self.bandwidth is None or callable(self.bandwidth):
            return losses.median_bandwidth(target)
        return jnp.asarray(self.bandwidth, jnp.float32)

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(self.loss, self.optimizer(self.learning_rate), self.axis_name, self.ema_decay)
