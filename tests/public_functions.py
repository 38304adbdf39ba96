"""One table of the package's public functions on small arrays, for properties that hold for all of them.

Each entry is a function of arrays alone and its arguments in double precision. `TYPES` lists the public names that are
no functions: types of arguments and results.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import losses, methods, metrics, nets, samplers
from jaxgen.optim import GradientStep

KEY = jax.random.PRNGKey(0)  # of 32 bits with and without x64


class Case(NamedTuple):
    """A public function of arrays, and arguments."""

    function: Callable[..., Any]
    arguments: tuple[np.ndarray, ...]
    draws: bool = False  # random numbers, which differ between dtypes


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(0, scale, shape)


def shares(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(0, 1, shape)


X, Y, IMAGES, LEVELS = (
    numbers(8, 3),
    numbers(8, 3, seed=1),
    shares(8, 2, 2, 1),
    np.arange(32.0).reshape(8, 2, 2, 1) / 31,
)
VECTOR, OTHER = numbers(8, seed=2), numbers(8, seed=3)
MIXTURE = numbers(2), numbers(2, 3), np.tril(numbers(2, 3, 3)) * 0.3 + np.eye(3)
PROBABILITIES = np.full((8, 4), 0.25)
UNIT = {"bandwidth": 2.0}

quadratic = lambda x: jnp.sum(x**2, tuple(range(1, x.ndim))) / 2


def weighted(noise: Any) -> Any:
    """A generator of samples and logits that acts on each row alone."""
    return jnp.tanh(noise) * 2, noise[:, 0] - noise[:, 1]


LOSSES = {
    "bernoulli_log_likelihood": Case(losses.bernoulli_log_likelihood, (IMAGES, numbers(8, 2, 2, 1))),
    "bits_per_dimension": Case(lambda nats: losses.bits_per_dimension(nats, 12), (VECTOR,)),
    "discretized_gaussian_log_likelihood": Case(
        lambda x, mean, scale: losses.discretized_gaussian_log_likelihood(x, mean, log_scale=scale, levels=32),
        (LEVELS, IMAGES, np.array(-1.0)),
    ),
    "discretized_gaussian_log_likelihood narrow": Case(
        lambda x, mean: losses.discretized_gaussian_log_likelihood(x, mean, log_scale=0.5, levels=32), (LEVELS, IMAGES)
    ),
    "extreme_value": Case(losses.extreme_value, (X, Y, VECTOR)),
    "extreme_value own": Case(lambda *a: losses.extreme_value(*a, power=1.5), (X, numbers(8, 4, 3), numbers(8, 4))),
    "extreme_value_pool": Case(lambda noise, x: losses.extreme_value_pool(weighted, noise, x, chunk=4), (X, Y)),
    "flow_nll": Case(losses.flow_nll, (X, VECTOR)),
    "gaussian_kl": Case(
        lambda mean, log_variance, prior: losses.gaussian_kl(mean, log_variance, prior_mean=prior), (X, Y, numbers(3))
    ),
    "gaussian_log_likelihood": Case(
        lambda x, mean, scale: losses.gaussian_log_likelihood(x, mean, log_scale=scale),
        (IMAGES, IMAGES, np.array(-1.0)),
    ),
    "gradient_penalty": Case(lambda x: losses.gradient_penalty(quadratic, x), (X,)),
    "jsd_mutual_information": Case(losses.jsd_mutual_information, (VECTOR, OTHER)),
    "median_bandwidth": Case(losses.median_bandwidth, (X, Y)),
    "median_bandwidth wide": Case(losses.median_bandwidth, (numbers(8, 10),)),
    "mixture_log_density": Case(
        lambda x, *mixture: losses.mixture_log_density(x, losses.GaussianMixture(*mixture)), (X, *MIXTURE)
    ),
    "mmd2": Case(lambda x, y, r: losses.mmd2(x, y, bandwidth=r), (X, Y, np.array([1.0, 4.0]))),
    "mmd2_biased": Case(lambda x, y: losses.mmd2_biased(x, y, **UNIT, chunk=4), (X, Y)),
    "mmd2_linear": Case(lambda x, y: losses.mmd2_linear(x, y, **UNIT), (X, Y)),
    "nearest": Case(lambda x, pool: losses.nearest(x, pool, chunk=4), (X, Y)),
    "nearest wide": Case(losses.nearest, (numbers(8, 10), numbers(8, 10, seed=1))),
    "negative_prior_kl": Case(lambda *a: losses.negative_prior_kl(*a, shift=2.0), (X, Y)),
    "pixel_gradient_penalty": Case(lambda x: losses.pixel_gradient_penalty(quadratic, x), (IMAGES,)),
    "pixel_score_penalty": Case(lambda x: losses.pixel_score_penalty(quadratic, x), (IMAGES,)),
    "relativistic_average": Case(losses.relativistic_average, (VECTOR, OTHER)),
    "score_penalty": Case(lambda x: losses.score_penalty(quadratic, x), (X,)),
}
