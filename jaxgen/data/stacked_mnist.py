"""Stacked MNIST: images of several digits, one per channel, for counting modes."""

import dataclasses

import numpy as np
from jaxtyping import Int, Int8

from jaxgen.data.images import Digits, Images, ScaledToTanh

__all__ = ["StackedMNIST"]


@dataclasses.dataclass(frozen=True)
class StackedMNIST:
    """Stacked MNIST: random tuples of training digits, one digit per channel.

    Three channels have 1,000 modes, four have 10,000.

    Attributes:
        stacks: number of digits (channels) of an image.
        n: number of images; None: 128 per mode, as in the maximum entropy generators paper (4 GB for four channels).
        seed: random seed of the tuples.
        images: image set of the single digits.
    """

    stacks: int = 3
    n: int | None = None
    seed: int = 111
    images: Images | Digits = dataclasses.field(default_factory=lambda: Images("mnist"))

    def __post_init__(self) -> None:
        if self.stacks < 1 or (self.n is not None and self.n < 1):
            raise ValueError(f"`stacks` and `n` must be 1 or more (got {self.stacks} and {self.n}); `n` may be None.")

    def tables(self) -> tuple[Int8[np.ndarray, "n height width stacks"]]:
        """Return one table: the images as `int8`, which a training step gets in [-1, 1].

        Raises:
            FileNotFoundError: if the image set is neither cached nor prepared.
            ValueError: if its images have more than one channel.
        """
        (x,), chosen = ScaledToTanh(self.images).tables(), self.chosen()
        if x.shape[-1] != 1:
            raise ValueError(f"`images` must have one channel (got {x.shape[-1]}); choose a grayscale image set.")
        stacked = np.empty((len(chosen), *x.shape[1:3], self.stacks), np.int8)
        for stack in range(self.stacks):
            stacked[..., stack] = x[chosen[:, stack], ..., 0]
        return (stacked,)

    def labels(self) -> Int[np.ndarray, "n stacks"]:
        """Return the digits of each image, `[n, stacks]`."""
        return self.images.labels()[self.chosen()]

    def chosen(self) -> Int[np.ndarray, "n stacks"]:
        """Return the row numbers in `images` of the digits of each image, `[n, stacks]`."""
        count = 128 * 10**self.stacks if self.n is None else self.n
        return np.random.RandomState(self.seed).randint(len(self.images.labels()), size=(count, self.stacks))
