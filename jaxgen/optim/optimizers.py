"""Optimizers with the defaults of PyTorch, TensorFlow 1 and adversarial training."""

import optax

__all__ = ["adversarial_adam", "tensorflow_rmsprop", "torch_rmsprop"]


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
