"""Scores made of likelihoods, of any model that has one; higher is more out of distribution."""

import io

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

__all__ = ["png_bits_per_dim", "typicality", "waic"]


def png_bits_per_dim(images: ArrayLike) -> np.ndarray:
    """Return into how many bits for each dimension images are packed as PNG.

    A model's bits less these are its score corrected for complexity: what it needs beyond what any image of such
    simplicity does. A file's fixed part, about 60 bytes, is in them, alike for all images of one shape.

    Args:
        images: bytes, or numbers between 0 and 1, `[n, height, width, channels]`, of 1 or 3 channels.

    Returns:
        Bits for each dimension, `[n]`.

    Raises:
        ValueError: if they are no such images.

    References:
        Serra, Alvarez, Gomez, Slizovskaia, Nunez and Luque, Input complexity and out-of-distribution detection with
        likelihood-based generative models (2020), equation 1.
    """
    images = np.asarray(images)
    known = images.dtype == np.uint8 or (
        np.issubdtype(images.dtype, np.floating) and images.size and 0 <= images.min() <= images.max() <= 1
    )
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not known:
        raise ValueError(
            f"images are {images.dtype} {images.shape}; give [n, height, width, 1 or 3] bytes, or numbers from 0 to 1."
        )
    bytes_ = images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)
    return np.array([_packed(image) for image in bytes_]) * 8 / np.prod(images.shape[1:])


def _packed(image: np.ndarray) -> int:
    file = io.BytesIO()
    Image.fromarray(image if image.shape[-1] == 3 else image[..., 0]).save(file, "PNG", optimize=True)
    return file.tell()


def typicality(nats: ArrayLike, training: ArrayLike) -> np.ndarray:
    """Return how far rows' likelihoods are from what is usual, be they too small or too large.

    Args:
        nats: negative log-likelihoods, `[n]`, in any unit.
        training: those of training or held out rows, `[m]`, in the same.

    Returns:
        Distance from the mean of `training`, `[n]`.

    Raises:
        ValueError: if they are no vectors, or `training` is empty.

    References:
        Nalisnick, Matsukawa, Teh and Lakshminarayanan, Detecting out-of-distribution inputs to deep generative models
        using typicality (2019), equation 5, for one row.
    """
    nats, training = np.asarray(nats, np.float64), np.asarray(training, np.float64)
    if nats.ndim != 1 or training.ndim != 1 or not len(training):
        raise ValueError(f"typicality got {nats.shape} and {training.shape}; give [n] and [m], m of 1 at least.")
    return np.abs(nats - np.mean(training))


def waic(nats: ArrayLike) -> np.ndarray:
    """Return the mean and the variance, together, of what several models say of rows.

    Args:
        nats: negative log-likelihoods by models that were trained alike, `[models, n]`: in nats, since a variance has
            another unit than a mean.

    Returns:
        Mean plus variance over the models, `[n]`.

    Raises:
        ValueError: if there are not two models at least.

    References:
        Choi, Jang and Alemi, WAIC, but why? Generative ensembles for robust anomaly detection (2018), section 2.
    """
    nats = np.asarray(nats, np.float64)
    if nats.ndim != 2 or len(nats) < 2:
        raise ValueError(f"the likelihoods have shape {nats.shape}; give [models, n] of two models at least.")
    return nats.mean(0) + nats.var(0, ddof=1)
