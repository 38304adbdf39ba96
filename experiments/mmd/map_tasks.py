"""Maps between distributions: sources, targets and networks, and how near mapped points come to the target."""

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

BANDWIDTH = 6.07  # the report's, as its curves show
POINTS = 20_000  # test points of source and target each
SCALES = 2.0 ** np.arange(-3, 4)  # of the test's bandwidths, relative to the target's median


@dataclasses.dataclass(frozen=True)
class Task:
    """A map from one distribution to another."""

    title: str
    source: Callable[..., data.Toy]  # of numbers of points and a seed
    target: Callable[..., data.Toy]
    median: float  # median squared distance within the target, rounded; the square's is 0.262
    paper: float  # the report's last MMD^2
    epochs: int  # the report's, of 8 minibatches of 100 points
    rate: float  # the report's learning rate
    penalty: float  # the report's weight of L2
    network: nets.MLP
    span: tuple[float, float] = (0.0, 1.0)  # range of the source in which a grid is drawn
    working_rate: float = 0.01  # a smaller one is better for the square, which has no tails

    def target_points(self, n: int, seed: int) -> data.Toy:
        """Points of the target, independent of the source's."""
        return self.target(n=n, test_n=POINTS, seed=10_000 + seed)


SIGMOID = nets.MLP((125, 125, 2), jax.nn.sigmoid, nets.he_normal, nets.he_normal)
LINE = functools.partial(data.Cube, dimensions=1)
TASKS = {
    "f1": Task("normal to square", data.Normal, data.Cube, 0.265, 0.087, 1000, 0.01, 0.01, SIGMOID, (-2.5, 2.5), 0.001),
    "f2": Task("square to normal", data.Cube, data.Normal, 2.7726, 0.097, 1600, 0.01, 0.01, SIGMOID),
    "f3": Task("line to normal", LINE, data.Normal, 2.7726, 0.0287, 300, 0.001, 0.001, nets.MLP((50, 50, 2), jnp.tanh)),
}


def working(task: Task, steps: int, noise_dim: int) -> methods.MMDMap:
    """Configuration that maps well."""
    return methods.MMDMap(
        nets.MLP((128, 128, 2), jnp.tanh),
        noise_dim=noise_dim,
        bandwidth=task.median,
        scales=(1 / 16, 1 / 4, 1.0, 4.0, 16.0),
        optimizer=optax.adam,
        learning_rate=Cosine(task.working_rate, steps),
    )


def transported(result: jaxgen.Result, x: Any) -> np.ndarray:
    """Map rows by the model of the first seed."""
    method: Any = result.config.method
    return np.asarray(method.transport(jax.random.key(1), result.state_of(0), jnp.asarray(x)))


def evaluated(task: Task, mapped: np.ndarray, target: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Compare mapped points with as many points of the target, `[POINTS, 2]` each.

    `own` and `reported` are MMD^2 of 10,000 points at the target's and at the report's bandwidth. `narrow` and `wide`
    are the smallest and largest standard deviation along an axis, relative to the target's.
    """
    own, reported = discrepancy(mapped[:10_000], target[:10_000], task.median, BANDWIDTH)
    ratio = mapped.std(0) / target.std(0)
    return {
        "own": own,
        "reported": reported,
        "sliced": metrics.sliced_wasserstein(mapped, target, seed=seed),
        "narrow": float(ratio.min()),
        "wide": float(ratio.max()),
        "p_value": tested(task, mapped[:1_000], target[:1_000], permutations=999, seed=seed),
        "rejected": rejected(task, mapped, target, n=1_000),
    }


def tested(task: Task, mapped: np.ndarray, target: np.ndarray, *, permutations: int, seed: int) -> float:
    """P-value of equal distributions, fused over bandwidths about the target's."""
    bandwidths = task.median * SCALES
    return metrics.permutation_test(
        mapped, target, bandwidths=bandwidths, num_permutations=permutations, seed=seed, standardize=False
    ).p_value


def rejected(task: Task, mapped: np.ndarray, target: np.ndarray, *, n: int) -> float:
    """Share of sets of `n` points that the test rejects at level 0.05."""
    sets = [slice(at, at + n) for at in range(0, len(mapped), n)]
    found = [tested(task, mapped[s], target[s], permutations=199, seed=at) for at, s in enumerate(sets)]
    return float(np.mean(np.array(found) <= 0.05))


def discrepancy(x: np.ndarray, y: np.ndarray, *bandwidths: float) -> list[float]:
    """Unbiased MMD^2 at each bandwidth."""
    return [float(value) for value in _mmd2(jnp.asarray(x), jnp.asarray(y), jnp.array(bandwidths, jnp.float32))]


@jax.jit
def _mmd2(x: jax.Array, y: jax.Array, bandwidths: jax.Array) -> jax.Array:
    return losses.mmd2(x, y, bandwidth=bandwidths)


def lines(task: Task, dimensions: int) -> np.ndarray:
    """Lines of a grid over the source's span, `[lines, 60, dimensions]`."""
    along = np.linspace(*task.span, 60)
    if dimensions == 1:
        return along[None, :, None].astype(np.float32)
    straight = [np.stack([np.full(60, at), along], 1) for at in np.linspace(*task.span, 11)]
    return np.array([*straight, *(line[:, ::-1] for line in straight)], np.float32)
