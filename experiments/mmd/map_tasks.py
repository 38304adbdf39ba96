"""What is carried where, by which networks, and how near what arrives is to where it should: maps between laws."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgen
from jaxgen import data, losses, methods, metrics, nets
from jaxgen.optim import Cosine

__all__ = [
    "BANDWIDTH",
    "POINTS",
    "TASKS",
    "Task",
    "carried",
    "discrepancy",
    "identity",
    "judged",
    "lines",
    "rejected",
    "working",
]

BANDWIDTH = 6.07  # the report's, as its curves show
POINTS = 20_000  # new ones, of source and target each
SCALES = 2.0 ** np.arange(-3, 4)  # of the test's bandwidths


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be carried where.

    Attributes:
        title: in the table.
        source: takes numbers of points and a seed.
        target: the same.
        median: about that of the target's squared distances; the square's is 0.262.
        paper: the report's last discrepancy.
        epochs: of the report, of 8 minibatches of 100 points.
        rate: the report's learning rate.
        penalty: the report's weight of L2.
        network: the report's.
        span: of the source, in which a grid is drawn.
        working_rate: learning rate of the working configuration; the square has no tails to be stretched to, and gains
            from a smaller one.
    """

    title: str
    source: Callable[..., data.Toy]
    target: Callable[..., data.Toy]
    median: float
    paper: float
    epochs: int
    rate: float
    penalty: float
    network: nets.MLP
    span: tuple[float, float] = (0.0, 1.0)
    working_rate: float = 0.01

    def aim(self, n: int, seed: int) -> data.Toy:
        """Return the target's points, drawn apart from the source's."""
        return self.target(n=n, test_n=POINTS, seed=10_000 + seed)


SIGMOID = nets.MLP((125, 125, 2), jax.nn.sigmoid, nets.he_normal, nets.he_normal)
LINE = functools.partial(data.Cube, dimensions=1)
TASKS = {
    "f1": Task("normal to square", data.Normal, data.Cube, 0.265, 0.087, 1000, 0.01, 0.01, SIGMOID, (-2.5, 2.5), 0.001),
    "f2": Task("square to normal", data.Cube, data.Normal, 2.7726, 0.097, 1600, 0.01, 0.01, SIGMOID),
    "f3": Task("line to normal", LINE, data.Normal, 2.7726, 0.0287, 300, 0.001, 0.001, nets.MLP((50, 50, 2), jnp.tanh)),
}


def working(task: Task, steps: int, noise_dim: int) -> methods.MMDMap:
    """Return what maps well."""
    return methods.MMDMap(
        nets.MLP((128, 128, 2), jnp.tanh),
        noise_dim=noise_dim,
        bandwidth=task.median,
        scales=(1 / 16, 1 / 4, 1.0, 4.0, 16.0),
        optimizer=optax.adam,
        learning_rate=Cosine(task.working_rate, steps),
    )


def carried(result: jaxgen.Result, x: Any) -> np.ndarray:
    """Carry rows by the model of the one seed."""
    method: Any = result.config.method
    return np.asarray(method.transport(jax.random.key(1), result.state_of(0), jnp.asarray(x)))


def judged(task: Task, mapped: np.ndarray, aim: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Measure what was mapped against as many of the target's points.

    Args:
        task: says the target's bandwidth.
        mapped: points `[POINTS, 2]`.
        aim: the target's.
        seed: of permutations and projections.

    Returns:
        `own` and `reported`, discrepancies of 10,000 points at the target's and at the report's bandwidth; `sliced`
        Wasserstein distance; the `narrow`est and `wide`st axis' deviation as a share of the target's; the `p_value` of
        the first 1,000 points, and the share of all such sets that are `rejected`.
    """
    own, reported = discrepancy(mapped[:10_000], aim[:10_000], task.median, BANDWIDTH)
    ratio = mapped.std(0) / aim.std(0)
    return {
        "own": own,
        "reported": reported,
        "sliced": metrics.sliced_wasserstein(mapped, aim, seed=seed),
        "narrow": float(ratio.min()),
        "wide": float(ratio.max()),
        "p_value": tested(task, mapped[:1_000], aim[:1_000], permutations=999, seed=seed),
        "rejected": rejected(task, mapped, aim, n=1_000),
    }


def identity(task: Task) -> dict[str, Any]:
    """Return what `judged` depends on besides the points, for an identity."""
    return {"tested": (task.median * SCALES).tolist(), "reported": BANDWIDTH, "points": POINTS}


def tested(task: Task, mapped: np.ndarray, aim: np.ndarray, *, permutations: int, seed: int) -> float:
    """Return the p-value that both are of one law, fused over bandwidths about the target's."""
    bandwidths = task.median * SCALES
    return metrics.permutation_test(mapped, aim, bandwidths=bandwidths, permutations=permutations, seed=seed).p_value


def rejected(task: Task, mapped: np.ndarray, aim: np.ndarray, *, n: int) -> float:
    """Return the share of sets of `n` points that the test tells apart at level 0.05."""
    sets = [slice(at, at + n) for at in range(0, len(mapped), n)]
    found = [tested(task, mapped[s], aim[s], permutations=199, seed=at) for at, s in enumerate(sets)]
    return float(np.mean(np.array(found) <= 0.05))


def discrepancy(x: np.ndarray, y: np.ndarray, *bandwidths: float) -> list[float]:
    """Return the unbiased discrepancy at each bandwidth."""
    return [float(value) for value in _mmd2(jnp.asarray(x), jnp.asarray(y), jnp.array(bandwidths, jnp.float32))]


@jax.jit
def _mmd2(x: jax.Array, y: jax.Array, bandwidths: jax.Array) -> jax.Array:
    return losses.mmd2(x, y, bandwidth=bandwidths)


def lines(task: Task, dimensions: int) -> np.ndarray:
    """Return lines `[lines, 60, dimensions]` of a grid over the source's span: what a map bends."""
    along = np.linspace(*task.span, 60)
    if dimensions == 1:
        return along[None, :, None].astype(np.float32)
    straight = [np.stack([np.full(60, at), along], 1) for at in np.linspace(*task.span, 11)]
    return np.array([*straight, *(line[:, ::-1] for line in straight)], np.float32)
