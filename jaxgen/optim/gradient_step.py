"""Training step of a loss and an optax optimizer, with optional parameter averaging and microbatches."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgen import parallel
from jaxgen.numerics.threefry import with_unrolled_key
from jaxgen.optim.optax_update import evaluation_params, init_optimizer, mean_gradient, update_params
from jaxgen.scan import chunked, iterate
from jaxgen.types import Array, Key, Metrics, Params, PyTree

__all__ = ["GradientStep", "TrainState"]


class TrainState(NamedTuple):
    """State of gradient-based training: parameters, optimizer state, model state and parameter average."""

    params: Params
    opt_state: PyTree  # state of the optax optimizer
    model_state: PyTree  # Flax collections other than `params`, such as running statistics; {} if there are none
    ema: PyTree  # an optax.EmaState; () without `ema_decay`


class _LossAndGradient(NamedTuple):
    """Loss, metrics and gradient of one batch."""

    value: Array
    metrics: Metrics
    gradient: Params


@dataclasses.dataclass(frozen=True)
class GradientStep:
    """Optimizer step on one loss.

    Attributes:
        loss: `loss(key, params, model_state, *data) -> (value, (metrics, model_state))`.
        optimizer: any optax gradient transformation. It gets optax's extra arguments `value`, `grad` and `value_fn`:
            those of this step's loss, over all devices. With `optax.MultiSteps`, the parameters change after every k
            steps, by the mean gradient of k batches.
        axis_name: name of the mapped axis over devices, or None on a single device.
        ema_decay: largest decay of an exponential moving average of the parameters, in (0, 1); None keeps no average.
            The average warms up: after `t` steps its decay is `min(ema_decay, t / (t + 10))`. So the first average is
            the first step's parameters, its weights always sum to one, and it spans the last tenth of the steps done
            until `1 / (1 - ema_decay)` steps are less than that. With `optax.lookahead` and schedule-free optimizers it
            is an average of their evaluation parameters.
        microbatch: number of samples differentiated at a time; it must divide a device's share of the batch. Gradients
            are averaged over the microbatches, each with its own key, so the loss must be a mean over samples. Only
            one microbatch's activations are in memory, and small ones fit the processor's cache. None: the whole batch.
    """

    loss: Callable[..., tuple[Array, tuple[Metrics, PyTree]]]
    optimizer: optax.GradientTransformation
    axis_name: str | None = None
    ema_decay: float | None = None
    microbatch: int | None = None

    def __post_init__(self) -> None:
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"`ema_decay` must be between 0 and 1, or None (got {self.ema_decay}); try 0.999.")

    def init(self, params: Params, model_state: PyTree = None) -> TrainState:
        """Return the initial training state for parameters and the network's other collections."""
        average = () if self.ema_decay is None else optax.EmaState(jnp.zeros([], jnp.int32), _zeros(params))
        return TrainState(
            params, init_optimizer(self.optimizer, params), {} if model_state is None else model_state, average
        )

    @with_unrolled_key
    def step(self, key: Key[Array, ""], state: TrainState, *data: PyTree) -> tuple[TrainState, dict[str, Array]]:
        """Take one optimizer step.

        Args:
            key: random key of the loss.
            state: current training state.
            *data: arguments of the loss, one device's share of the batch. With `microbatch`, every leaf is `[n, ...]`.

        Returns:
            The new state, and a dict of scalars: the loss's metrics and its value as `loss`.
        """
        if self.microbatch is None:
            model_state, batch = self._loss_and_gradient(key, state.model_state, state.params, *data)
        else:
            model_state, batch = self._chunk_by_chunk(key, state, *data)
        gradient, metrics, model_state = parallel.mean((batch.gradient, batch.metrics, model_state), self.axis_name)
        extra = {"value": batch.value, "grad": gradient, "value_fn": self._value_fn(key, state.model_state, *data)}
        params, opt_state = update_params(self.optimizer, gradient, state.opt_state, state.params, **extra)
        evaluated = evaluation_params(opt_state, params)
        average = state.ema if self.ema_decay is None else _averaged(state.ema, evaluated, self.ema_decay)
        return TrainState(params, opt_state, model_state, average), metrics | {"loss": batch.value}

    def params(self, state: TrainState) -> Params:
        """Return the parameters to evaluate the model at.

        They are the parameter average if there is one, else those that the optimizer evaluates at: the slow ones of
        `optax.lookahead`, the average of schedule-free optimizers, and the latest parameters otherwise.
        """
        evaluated = evaluation_params(state.opt_state, state.params)
        if self.ema_decay is None:
            return evaluated
        choose = lambda mean, last: jnp.where(state.ema.count > 0, mean.astype(last.dtype), last)
        return jax.tree.map(choose, state.ema.ema, evaluated)

    def _loss_and_gradient(
        self, key: Key[Array, ""], model_state: PyTree, params: Params, *data: PyTree
    ) -> tuple[PyTree, "_LossAndGradient"]:
        """Return the new model state, and loss, metrics and gradient of one batch."""
        objective = self._objective(key, model_state, *data)
        (value, (metrics, model_state)), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        # Cast counts and booleans to floats, so that they can be averaged over microbatches and devices.
        metrics = {name: jnp.asarray(m, jnp.result_type(m, jnp.float32)) for name, m in metrics.items()}
        return model_state, _LossAndGradient(value, metrics, gradient)

    def _objective(
        self, key: Key[Array, ""], model_state: PyTree, *data: PyTree
    ) -> Callable[[Params], tuple[Array, tuple[Metrics, PyTree]]]:
        def objective(params: Params) -> tuple[Array, tuple[Metrics, PyTree]]:
            value, extra = self.loss(key, params, model_state, *data)
            # Averaging the loss here and the gradients in `step` is correct under both pmap and shard_map.
            return parallel.mean(value, self.axis_name), extra

        return objective

    def _value_fn(self, key: Key[Array, ""], model_state: PyTree, *data: PyTree) -> Callable[[Params], Array]:
        """Return this step's loss as a function of the parameters, whose gradient is that of all devices."""

        def value(params: Params) -> Array:
            params = mean_gradient(self.axis_name, params)
            if self.microbatch is None:
                return self._objective(key, model_state, *data)(params)[0]
            of_chunk = lambda key, carry, *chunk: (carry, self._objective(key, model_state, *chunk)(params)[0])
            chunks = jax.tree.map(lambda rows: chunked(rows, self.microbatch), data)
            return jnp.mean(iterate(of_chunk, key, (), *chunks)[1])

        return value

    def _chunk_by_chunk(
        self, key: Key[Array, ""], state: TrainState, *data: PyTree
    ) -> tuple[PyTree, "_LossAndGradient"]:
        """Return the same as `_loss_and_gradient`, averaged over microbatches; each one updates the model state."""

        def step(key: Key[Array, ""], carry: tuple[PyTree, _LossAndGradient], *chunk: PyTree) -> tuple[Any, None]:
            model_state, batch = self._loss_and_gradient(key, carry[0], state.params, *chunk)
            return (model_state, jax.tree.map(jnp.add, carry[1], batch)), None

        chunks = jax.tree.map(lambda rows: chunked(rows, self.microbatch), data)
        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        specs = jax.eval_shape(self._loss_and_gradient, key, state.model_state, state.params, *first)[1]
        nothing = jax.tree.map(lambda spec: jnp.zeros_like(spec), specs)
        (model_state, total), _ = iterate(step, key, (state.model_state, nothing), *chunks)
        count = jax.tree.leaves(chunks)[0].shape[0]
        return model_state, jax.tree.map(lambda leaf: leaf / count, total)


def _zeros(params: Params) -> Params:
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf, jnp.promote_types(leaf.dtype, jnp.float32)), params)


def _averaged(average: optax.EmaState, params: Params, ema_decay: float) -> optax.EmaState:
    """Return the average after one more step; the first step's decay of 0 replaces the zeros of `init`."""
    done = average.count.astype(jnp.float32)
    decay = jnp.minimum(ema_decay, done / (done + 10))
    # At least in float32: a decay such as 0.999 rounds to 1 in bfloat16.
    mix = lambda mean, last: mean + (1 - decay) * (last.astype(mean.dtype) - mean)
    return optax.EmaState(optax.safe_increment(average.count), jax.tree.map(mix, average.ema, params))
