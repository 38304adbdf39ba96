"""A loss and an optimiser make a process on parameters; schedules that can be written down."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgen import parallel
from jaxgen.loop import chunked, iterate
from jaxgen.types import Array, Int, Key, Metrics, Params, PyTree

__all__ = [
    "Cosine",
    "Descent",
    "Exponential",
    "Schedule",
    "Trained",
    "adversarial_adam",
    "tensorflow_rmsprop",
    "torch_rmsprop",
]

Schedule = Callable[[Int[Array, ""]], Array]


class Trained(NamedTuple):
    """What descent carries from step to step."""

    params: Params
    memory: PyTree  # the optimiser's
    variables: PyTree  # Linen's other collections, such as running statistics; {} where there are none
    average: PyTree  # an optax.EmaState; () where no average is kept


class _Found(NamedTuple):
    """The loss at some rows."""

    value: Array
    metrics: Metrics
    gradient: Params


@dataclasses.dataclass(frozen=True)
class Descent:
    """Gradient descent on one loss, as a process.

    Attributes:
        loss: `loss(key, params, variables, *data) -> (value, (metrics, variables))`.
        optimiser: any optax transformation.
        axis_name: the axis over devices, or None where there is one device.
        average: decay of an exponential average of the parameters, in (0, 1); None keeps no average.
        chunk: rows of the data differentiated at a time, which must divide a device's share: the step descends on the
            mean over chunks, each with a key of its own, so the loss must be a mean over rows. Only one chunk's
            activations are held, and small ones stay in a processor's cache. None takes all rows at once.
    """

    loss: Callable[..., tuple[Array, tuple[Metrics, PyTree]]]
    optimiser: optax.GradientTransformation
    axis_name: str | None = None
    average: float | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"average is {self.average}; make it a decay between 0 and 1, such as 0.999, or None.")

    def init(self, params: Params, variables: PyTree = None) -> Trained:
        """Return the state before the first step, from parameters and the network's other collections."""
        average = self._ema().init(params) if self.average is not None else ()
        return Trained(params, self.optimiser.init(params), {} if variables is None else variables, average)

    def step(self, key: Key[Array, ""], state: Trained, *data: PyTree) -> tuple[Trained, dict[str, Array]]:
        """Descend once.

        Args:
            key: the loss's own.
            state: where descent stands.
            *data: passed to the loss; one device's share of the rows. With `chunk`, every array leads with rows.

        Returns:
            The new state, and the loss's metrics together with its value as `loss`.
        """
        if self.chunk is None:
            variables, found = self._found(key, state.variables, state.params, *data)
        else:
            variables, found = self._chunk_by_chunk(key, state, *data)
        gradient, metrics, variables = parallel.mean((found.gradient, found.metrics, variables), self.axis_name)
        updates, memory = self.optimiser.update(gradient, state.memory, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average if self.average is None else self._ema().update(params, state.average)[1]
        return Trained(params, memory, variables, average), metrics | {"loss": found.value}

    def params(self, state: Trained) -> Params:
        """Return the parameters to use: the average where one is kept and begun, else the latest."""
        if self.average is None:
            return state.params
        begun = jnp.maximum(state.average.count, 1)  # an untrained model has none: no division by zero
        weight = -jnp.expm1(begun * math.log(self.average))  # 1 - average ^ begun without cancellation
        choose = lambda mean, last: jnp.where(state.average.count > 0, (mean / weight).astype(last.dtype), last)
        return jax.tree.map(choose, state.average.ema, state.params)

    def _found(self, key: Key[Array, ""], variables: PyTree, params: Params, *data: PyTree) -> tuple[PyTree, "_Found"]:
        """Return the variables after some rows, and the loss and its gradient there."""

        def objective(params: Params) -> tuple[Array, tuple[Metrics, PyTree]]:
            value, extra = self.loss(key, params, variables, *data)
            # The mean inside and the mean of the gradients outside: right under pmap and under shard_map alike.
            return parallel.mean(value, self.axis_name), extra

        (value, (metrics, variables)), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        # In floating point, so that counts and truth values are averaged over chunks and devices like any metric.
        metrics = {name: jnp.asarray(m, jnp.result_type(m, jnp.float32)) for name, m in metrics.items()}
        return variables, _Found(value, metrics, gradient)

    def _chunk_by_chunk(self, key: Key[Array, ""], state: Trained, *data: PyTree) -> tuple[PyTree, "_Found"]:
        """Return the same with means over chunks; the variables go from one chunk to the next."""

        def step(key: Key[Array, ""], carry: tuple[PyTree, _Found], *chunk: PyTree) -> tuple[Any, None]:
            variables, found = self._found(key, carry[0], state.params, *chunk)
            return (variables, jax.tree.map(jnp.add, carry[1], found)), None

        chunks = jax.tree.map(lambda rows: chunked(rows, self.chunk), data)
        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        specs = jax.eval_shape(self._found, key, state.variables, state.params, *first)[1]
        nothing = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), specs)
        (variables, total), _ = iterate(step, key, (state.variables, nothing), *chunks)
        count = jax.tree.leaves(chunks)[0].shape[0]
        return variables, jax.tree.map(lambda leaf: leaf / count, total)

    def _ema(self) -> optax.GradientTransformation:
        # Float32 throughout: a decay such as 0.999 is 1 in bfloat16.
        return optax.ema(self.average, debias=False, accumulator_dtype=jnp.float32)


@dataclasses.dataclass(frozen=True)
class Cosine:
    """A learning rate that falls to zero along half a cosine.

    Attributes:
        peak: the first learning rate.
        steps: where it reaches zero.
        warmup: steps of linear rise from zero before it.
    """

    peak: float
    steps: int
    warmup: int = 0

    def __call__(self, count: Int[Array, ""]) -> Any:
        """Return the learning rate at a step."""
        return optax.warmup_cosine_decay_schedule(
            0.0 if self.warmup else self.peak, self.peak, self.warmup, self.steps
        )(count)


@dataclasses.dataclass(frozen=True)
class Exponential:
    """A learning rate multiplied by the same factor after every so many steps.

    Attributes:
        initial: the first learning rate.
        factor: what it is multiplied with.
        every: after so many steps, at once: an epoch's length in most papers.
    """

    initial: float
    factor: float
    every: int

    def __call__(self, count: Int[Array, ""]) -> Any:
        """Return the learning rate at a step."""
        return optax.exponential_decay(self.initial, self.every, self.factor, staircase=True)(count)


def torch_rmsprop(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """RMSprop with PyTorch's defaults, which most papers' code relies on and which optax's are not.

    Args:
        learning_rate: a number, or a schedule.

    Returns:
        The optimiser.
    """
    return optax.rmsprop(learning_rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)


def tensorflow_rmsprop(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """RMSprop with the defaults of TensorFlow 1, whose mean of squares starts at 1: the first steps are small.

    Args:
        learning_rate: a number, or a schedule.

    Returns:
        The optimiser.
    """
    return optax.rmsprop(learning_rate, decay=0.9, eps=1e-10, initial_scale=1.0)


def adversarial_adam(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """Adam with the short memory (0.5 and 0.9) that Wasserstein and maximum entropy generators are trained with.

    Args:
        learning_rate: a number, or a schedule.

    Returns:
        The optimiser.
    """
    return optax.adam(learning_rate, b1=0.5, b2=0.9)
