"""Faces of 64 by 64 pixels."""

import dataclasses

import numpy as np
from jaxtyping import Int8
from sklearn import datasets

__all__ = ["Olivetti"]


@dataclasses.dataclass(frozen=True)
class Olivetti:
    """scikit-learn's 400 grey faces, the same in all three colours; it downloads them to `SCIKIT_LEARN_DATA`."""

    def tables(self) -> tuple[Int8[np.ndarray, "n 64 64 3"]]:
        """Return the faces as the one table, in bytes with a sign.

        Raises:
            OSError: if they are neither there nor can be downloaded.
        """
        grey = np.round(datasets.fetch_olivetti_faces().images * 255).astype(np.uint8)
        return (np.repeat((grey ^ 128).view(np.int8)[..., None], 3, -1),)
