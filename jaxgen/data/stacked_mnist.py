"""Images made of several digits, one to a channel: modes that can be counted."""

import dataclasses

import numpy as np
from jaxtyping import Int, Int8

from jaxgen.data.images import Digits, Images, ScaledToTanh

__all__ = ["StackedMNIST"]


@dataclasses.dataclass(frozen=True)
class StackedMNIST:
    """Tuples of training digits of MNIST, one to a channel, so that three make 1,000 modes and four 10,000.

    Attributes:
        stacks: digits in an image.
        n: images; None is 128 for each mode, as in the maximum entropy generators paper, which are 4 GB for four.
        seed: of the choice.
        images: the digits.
    """

    stacks: int = 3
    n: int | None = None
    seed: int = 111
    images: Images | Digits = dataclasses.field(default_factory=lambda: Images("mnist"))

    def __post_init__(self) -> None:
        if self.stacks < 1 or (self.n is not None and self.n < 1):
            raise ValueError(f"there are {self.stacks} stacks and {self.n} images; make both 1 at least.")

    def tables(self) -> tuple[Int8[np.ndarray, "n height width stacks"]]:
        """Return the images as the one table, in bytes with a sign.

        Raises:
            FileNotFoundError: if the digits are not there.
            ValueError: if they have colours.
        """
        (x,), chosen = ScaledToTanh(self.images).tables(), self.chosen()
        if x.shape[-1] != 1:
            raise ValueError(f"images of {x.shape[-1]} colours cannot be stacked; give grey ones.")
        stacked = np.empty((len(chosen), *x.shape[1:3], self.stacks), np.int8)
        for stack in range(self.stacks):
            stacked[..., stack] = x[chosen[:, stack], ..., 0]
        return (stacked,)

    def labels(self) -> Int[np.ndarray, "n stacks"]:
        """Return the digits of each image `[n, stacks]`."""
        return self.images.labels()[self.chosen()]

    def chosen(self) -> Int[np.ndarray, "n stacks"]:
        """Return which digits make up each image."""
        count = 128 * 10**self.stacks if self.n is None else self.n
        return np.random.RandomState(self.seed).randint(len(self.images.labels()), size=(count, self.stacks))
