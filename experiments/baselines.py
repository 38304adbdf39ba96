"""What the extreme value paper compares with, and the bounds that it leaves out, on any data of known law."""

import dataclasses
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture

import jaxgen
from experiments import report
from jaxgen import methods
from jaxgen.descent import Cosine, Exponential

__all__ = ["again", "box", "empirical", "gan", "mixture", "mixture_density"]


def empirical(toy: Any) -> np.ndarray:
    """Return the training points."""
    return toy.tables()[0]


def mixture(toy: Any) -> np.ndarray:
    """Draw from scikit-learn's mixture of ten Gaussians, fitted as the released code does."""
    (x,) = toy.tables()
    return GaussianMixture(10, random_state=toy.seed).fit(x.astype(np.float64)).sample(toy.test_n)[0]


def box(toy: Any) -> np.ndarray:
    """Draw uniformly from the box around the training points: what no knowledge but the range achieves (chance)."""
    (x,) = toy.tables()
    return np.random.default_rng(toy.seed).uniform(x.min(0), x.max(0), (toy.test_n, x.shape[1]))


def again(toy: Any) -> np.ndarray:
    """Draw as many points as the test set holds from the truth itself: what a perfect model achieves (floor)."""
    return toy.points(toy.n + 2 * toy.test_n)[-toy.test_n :]


def gan(toy: Any, seed: int, *, epochs: int = 50, published: bool = False) -> jaxgen.Config:
    """Return the paper's unrolled relativistic network, by its protocol.

    Args:
        toy: the data.
        seed: of the training.
        epochs: of 200 rows a step, in a fixed order.
        published: whether to unroll as the released code does, four times and through the last layer alone.
    """
    epoch = toy.n // 200
    method = methods.RelativisticGAN(
        generator_rate=Exponential(1e-3, 0.99, every=epoch), discriminator_rate=Exponential(1e-3, 0.95, every=epoch)
    )
    if published:
        method = dataclasses.replace(method, unroll=4, unrolled=methods.last_layer)
    every = epoch * report.segment(epochs, 10)
    return jaxgen.Config(method, toy, steps=epoch * epochs, batch_size=200, every=every, seed=seed, shuffle=False)


def mixture_density(toy: Any, seed: int, *, components: int, steps: int = 4000) -> jaxgen.Config:
    """Return a mixture density network without inputs: a mixture of Gaussians fitted by gradient descent."""
    method = methods.MixtureDensity(components=components, learning_rate=Cosine(2e-2, steps))
    return jaxgen.Config(method, toy, steps=steps, batch_size=200, every=report.segment(steps, 10), seed=seed)
