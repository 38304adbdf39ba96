"""Optimizers with the defaults of PyTorch, TensorFlow 1 and adversarial training."""

import math
from collections.abc import Callable
from typing import Any

import optax

from jaxgen.optim.schedules import check_called

__all__ = ["adversarial_adam", "build_optimizer", "tensorflow_rmsprop", "torch_rmsprop"]


def build_optimizer(factory: Callable[..., optax.GradientTransformation], rate: Any) -> optax.GradientTransformation:
    """Optimizer from its factory and learning rate, after checking both.

    Args:
        factory: function from a learning rate to an optax gradient transformation, such as `optax.adam`, or to
            `optax.MultiSteps`.
        rate: a number of at least 0, or a schedule.

    Returns:
        An optax gradient transformation.

    Raises:
        TypeError: if the factory is not callable, for example because it is a gradient transformation already, or
            returns anything else, or the learning rate is the class of a schedule.
        ValueError: if the learning rate is negative, infinite or NaN.
    """
    if not callable(factory):
        raise TypeError(
            f"`optimizer` must be a function of the learning rate (got {type(factory).__name__}); use for example "
            "optimizer=optax.adam, learning_rate=1e-3."
        )
    check_called("learning_rate", rate)
    if isinstance(rate, int | float) and not 0 <= rate < math.inf:
        raise ValueError(f"the learning rate must be finite and at least 0 (got {rate}); try 1e-3.")
    optimizer = factory(rate)
    if isinstance(optimizer, optax.MultiSteps):
        return optimizer.gradient_transformation()
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"`optimizer` must return an optax gradient transformation (got {type(optimizer).__name__}); use for "
            "example optimizer=optax.adam."
        )
    return optimizer


def torch_rmsprop(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """RMSprop with PyTorch's defaults, which differ from those of optax.

    Args:
        learning_rate: a number or a schedule.

    Returns:
        An optax gradient transformation.
    """
    return optax.rmsprop(learning_rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)


def tensorflow_rmsprop(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """RMSprop with the defaults of TensorFlow 1.

    The mean of squared gradients starts at 1, so the first steps are small.

    Args:
        learning_rate: a number or a schedule.

    Returns:
        An optax gradient transformation.
    """
    return optax.rmsprop(learning_rate, decay=0.9, eps=1e-10, initial_scale=1.0)


def adversarial_adam(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """Adam with b1 = 0.5 and b2 = 0.9, the choice for Wasserstein GANs and maximum entropy generators.

    Args:
        learning_rate: a number or a schedule.

    Returns:
        An optax gradient transformation.
    """
    return optax.adam(learning_rate, b1=0.5, b2=0.9)
