"""Images as rows of a detector: their pixels as a table, and one scale for all pixels."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

__all__ = ["CommonScaler", "image_shape", "pixels"]


class CommonScaler(TransformerMixin, BaseEstimator):
    """Subtract the mean of each column, and divide all by one number: their root mean square standard deviation.

    For columns of one unit, such as pixels, whose differences in scale carry information. Dividing each by its own
    standard deviation would enlarge the noise of pixels at the edge, which are almost constant.

    Attributes:
        mean_: of each column, `[d]`.
        scale_: the number that all columns are divided by; 1 if all are constant.
    """

    mean_: np.ndarray
    scale_: float

    def fit(self, X: Any, y: Any = None) -> "CommonScaler":
        """Measure means and the common scale of rows `[n, d]`; `y` is unused."""
        self.mean_ = np.mean(X, 0)
        self.scale_ = float(np.sqrt(np.mean(np.var(X, 0)))) or 1.0
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return scaled rows `[n, d]`."""
        check_is_fitted(self)
        return (np.asarray(X) - self.mean_) / self.scale_


def image_shape(X: Any) -> tuple[int, ...] | None:
    """Return height, width and channels if rows are an array of images `[n, h, w, c]`, and else None."""
    return tuple(X.shape[1:]) if getattr(X, "ndim", None) == 4 else None


def pixels(X: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of images as rows.

    Args:
        X: images `[n, h, w, c]`.
        shape: height, width and channels of the images that the detector was fitted to.

    Returns:
        Rows `[n, h w c]`; bytes are divided by 255.

    Raises:
        ValueError: if the rows are not images of this shape.
    """
    if image_shape(X) != shape:
        height, width, channels = shape
        raise ValueError(
            f"`X` must be images [n, {height}, {width}, {channels}] as in `fit` (got shape {np.shape(X)}); give images "
            "of the same size, with an axis for the channels."
        )
    rows = np.asarray(X).reshape(len(X), -1)
    return rows / 255 if rows.dtype == np.uint8 else rows
