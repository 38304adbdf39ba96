"""Optimizers with the defaults of other frameworks, which optax's differ from."""

import optax

__all__ = ["adversarial_adam", "tensorflow_rmsprop", "torch_rmsprop"]


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
    """Adam with the short opt_state (0.5 and 0.9) that Wasserstein and maximum entropy generators are trained with.

    Args:
        learning_rate: a number, or a schedule.

    Returns:
        The optimiser.
    """
    return optax.adam(learning_rate, b1=0.5, b2=0.9)
