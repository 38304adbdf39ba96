"""Olivetti faces, 64 by 64 pixels."""

import dataclasses

import numpy as np
from jaxtyping import Int8
from sklearn import datasets


@dataclasses.dataclass(frozen=True)
class Olivetti:
    """The 400 Olivetti faces, gray repeated over three channels; scikit-learn downloads them to `SCIKIT_LEARN_DATA`."""

    def tables(self) -> tuple[Int8[np.ndarray, "n 64 64 3"]]:
        """Return the faces as the one table, in int8: pixels between -1 and 1."""
        gray = np.round(datasets.fetch_olivetti_faces().images * 255).astype(np.uint8)
        return (np.repeat((gray ^ 128).view(np.int8)[..., None], 3, -1),)
