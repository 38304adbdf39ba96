"""Training step, learning-rate schedules and optimizers."""

from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import adversarial_adam, build_optimizer, tensorflow_rmsprop, torch_rmsprop
from jaxgen.optim.schedules import Cosine, Exponential, Schedule

__all__ = [
    "Cosine",
    "Exponential",
    "GradientStep",
    "Schedule",
    "TrainState",
    "adversarial_adam",
    "build_optimizer",
    "tensorflow_rmsprop",
    "torch_rmsprop",
]
