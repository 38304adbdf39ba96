"""Out-of-distribution scores from likelihoods of any model; higher is more out-of-distribution."""

import io

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

__all__ = ["png_bits_per_dim", "typicality", "waic"]


def png_bits_per_dim(images: ArrayLike) -> np.ndarray:
    """Size of images compressed as PNG, in bits per dimension: an estimate of their complexity.

    Subtract it from a model's bits per dimension for a score corrected for complexity. It includes the fixed part of a
    PNG file, about 60 bytes, the same for all images of one shape.

    Args:
        images: bytes, or numbers between 0 and 1, `[n, height, width, channels]`, with 1 or 3 channels.

    Returns:
        Bits per dimension, `[n]`.

    Raises:
        ValueError: if the array has another shape, dtype or range.

    References:
        Serra, Alvarez, Gomez, Slizovskaia, Nunez and Luque, Input complexity and out-of-distribution detection with
        likelihood-based generative models (2020), equation 1.
    """
    images = np.asarray(images)
    if jnp.issubdtype(images.dtype, jnp.floating):  # bfloat16 too, which NumPy does not know
        images = images.astype(np.float64)
    known = images.dtype == np.uint8 or (
        images.dtype == np.float64 and images.size and 0 <= images.min() <= images.max() <= 1
    )
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not known:
        raise ValueError(
            "`images` must be bytes, or numbers from 0 to 1, of shape [n, height, width, 1 or 3] "
            f"(got {images.dtype} {images.shape}); rescale or reshape them."
        )
    bytes_ = images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)
    return np.array([_png_bytes(image) for image in bytes_]) * 8 / np.prod(images.shape[1:])


def _png_bytes(image: np.ndarray) -> int:
    file = io.BytesIO()
    Image.fromarray(image if image.shape[-1] == 3 else image[..., 0]).save(file, "PNG", optimize=True)
    return file.tell()


def typicality(nats: ArrayLike, training: ArrayLike) -> np.ndarray:
    """Typicality: distance of each row's likelihood from the mean over training rows, in either direction.

    Args:
        nats: negative log-likelihoods of the rows, `[n]`, in any unit.
        training: negative log-likelihoods of training or validation rows, `[m]`, in the same unit.

    Returns:
        `|nats - mean(training)|`, `[n]`.

    Raises:
        ValueError: if an array is not one-dimensional, or `training` is empty.

    References:
        Nalisnick, Matsukawa, Teh and Lakshminarayanan, Detecting out-of-distribution inputs to deep generative models
        using typicality (2019), equation 5, for one row.
    """
    nats, training = np.asarray(nats, np.float64), np.asarray(training, np.float64)
    if nats.ndim != 1 or training.ndim != 1 or not len(training):
        raise ValueError(
            f"typicality needs `nats` [n] and `training` [m] with m >= 1 (got {nats.shape} and {training.shape}); "
            "flatten them, or give training rows."
        )
    return np.abs(nats - np.mean(training))


def waic(nats: ArrayLike) -> np.ndarray:
    """WAIC score: mean plus variance of each row's negative log-likelihood over an ensemble of models.

    Args:
        nats: negative log-likelihoods, `[models, n]`, by models of the same kind with different seeds. They must be in
            nats, since mean and variance scale differently with the unit.

    Returns:
        Mean plus variance over the models, `[n]`.

    Raises:
        ValueError: if the array is not two-dimensional, or has fewer than two models.

    References:
        Choi, Jang and Alemi, WAIC, but why? Generative ensembles for robust anomaly detection (2018), section 2.
    """
    nats = np.asarray(nats, np.float64)
    if nats.ndim != 2 or len(nats) < 2:
        raise ValueError(f"`nats` must be [models, n] with two models or more (got {nats.shape}); train more seeds.")
    return nats.mean(0) + nats.var(0, ddof=1)
