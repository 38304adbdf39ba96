"""A loss and an optimiser make a process on parameters; schedules that can be written down."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgen import parallel
from jaxgen.scan import chunked, iterate
from jaxgen.types import Array, Key, Metrics, Params, PyTree

__all__ = ["GradientStep", "TrainState"]


class TrainState(NamedTuple):
    """What descent carries from step to step."""

    params: Params
    opt_state: PyTree  # the optimiser's
    model_state: PyTree  # Linen's other collections, such as running statistics; {} where there are none
    ema: PyTree  # an optax.EmaState; () where no average is kept


class _Found(NamedTuple):
    """The loss at some rows."""

    value: Array
    metrics: Metrics
    gradient: Params


@dataclasses.dataclass(frozen=True)
class GradientStep:
    """Gradient descent on one loss, as a process.

    Attributes:
        loss: `loss(key, params, model_state, *data) -> (value, (metrics, model_state))`.
        optimizer: any optax transformation.
        axis_name: the axis over devices, or None where there is one device.
        ema_decay: decay of an exponential average of the parameters, in (0, 1); None keeps no average.
        microbatch: rows of the data differentiated at a time, which must divide a device's share: the step descends
            on the
            mean over chunks, each with a key of its own, so the loss must be a mean over rows. Only one chunk's
            activations are held, and small ones stay in a processor's cache. None takes all rows at once.
    """

    loss: Callable[..., tuple[Array, tuple[Metrics, PyTree]]]
    optimizer: optax.GradientTransformation
    axis_name: str | None = None
    ema_decay: float | None = None
    microbatch: int | None = None

    def __post_init__(self) -> None:
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"average is {self.ema_decay}; make it a decay between 0 and 1, such as 0.999, or None.")

    def init(self, params: Params, model_state: PyTree = None) -> TrainState:
        """Return the state before the first step, from parameters and the network's other collections."""
        average = self._ema().init(params) if self.ema_decay is not None else ()
        return TrainState(params, self.optimizer.init(params), {} if model_state is None else model_state, average)

    def step(self, key: Key[Array, ""], state: TrainState, *data: PyTree) -> tuple[TrainState, dict[str, Array]]:
        """Descend once.

        Args:
            key: the loss's own.
            state: where descent stands.
            *data: passed to the loss; one device's share of the rows. With `microbatch`, every array leads with rows.

        Returns:
            The new state, and the loss's metrics together with its value as `loss`.
        """
        if self.microbatch is None:
            model_state, found = self._found(key, state.model_state, state.params, *data)
        else:
            model_state, found = self._chunk_by_chunk(key, state, *data)
        gradient, metrics, model_state = parallel.mean((found.gradient, found.metrics, model_state), self.axis_name)
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.ema if self.ema_decay is None else self._ema().update(params, state.ema)[1]
        return TrainState(params, opt_state, model_state, average), metrics | {"loss": found.value}

    def params(self, state: TrainState) -> Params:
        """Return the parameters to use: the average where one is kept and begun, else the latest."""
        if self.ema_decay is None:
            return state.params
        begun = jnp.maximum(state.ema.count, 1)  # an untrained model has none: no division by zero
        weight = -jnp.expm1(begun * math.log(self.ema_decay))  # 1 - average ^ begun without cancellation
        choose = lambda mean, last: jnp.where(state.ema.count > 0, (mean / weight).astype(last.dtype), last)
        return jax.tree.map(choose, state.ema.ema, state.params)

    def _found(
        self, key: Key[Array, ""], model_state: PyTree, params: Params, *data: PyTree
    ) -> tuple[PyTree, "_Found"]:
        """Return the variables after some rows, and the loss and its gradient there."""

        def objective(params: Params) -> tuple[Array, tuple[Metrics, PyTree]]:
            value, extra = self.loss(key, params, model_state, *data)
            # The mean inside and the mean of the gradients outside: right under pmap and under shard_map alike.
            return parallel.mean(value, self.axis_name), extra

        (value, (metrics, model_state)), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        # In floating point, so that counts and truth values are averaged over chunks and devices like any metric.
        metrics = {name: jnp.asarray(m, jnp.result_type(m, jnp.float32)) for name, m in metrics.items()}
        return model_state, _Found(value, metrics, gradient)

    def _chunk_by_chunk(self, key: Key[Array, ""], state: TrainState, *data: PyTree) -> tuple[PyTree, "_Found"]:
        """Return the same with means over chunks; the variables go from one chunk to the next."""

        def step(key: Key[Array, ""], carry: tuple[PyTree, _Found], *chunk: PyTree) -> tuple[Any, None]:
            model_state, found = self._found(key, carry[0], state.params, *chunk)
            return (model_state, jax.tree.map(jnp.add, carry[1], found)), None

        chunks = jax.tree.map(lambda rows: chunked(rows, self.microbatch), data)
        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        specs = jax.eval_shape(self._found, key, state.model_state, state.params, *first)[1]
        nothing = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), specs)
        (model_state, total), _ = iterate(step, key, (state.model_state, nothing), *chunks)
        count = jax.tree.leaves(chunks)[0].shape[0]
        return model_state, jax.tree.map(lambda leaf: leaf / count, total)

    def _ema(self) -> optax.GradientTransformation:
        # Float32 throughout: a decay such as 0.999 is 1 in bfloat16.
        return optax.ema(self.ema_decay, debias=False, accumulator_dtype=jnp.float32)
