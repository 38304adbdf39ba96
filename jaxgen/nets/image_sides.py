"""Height and width of images: the range with default networks, and how often they can be halved."""

from collections.abc import Sequence

from jaxgen.validation import rows_remedy

__all__ = ["check_image_shape", "halvings"]

SMALLEST, LARGEST = 8, 64  # sides of images with default networks, in pixels


def check_image_shape(shape: tuple[int, ...], remedy: str) -> None:
    """Check that there are default networks for images of a shape.

    Args:
        shape: of a row that is not a vector.
        remedy: which fields to set for other rows.

    Raises:
        ValueError: if the row is not an image, or a side is not between 8 and 64 pixels.
    """
    if len(shape) == 3 and min(shape[:2]) >= SMALLEST and max(shape[:2]) <= LARGEST and shape[2] > 0:
        return
    image = f"resize the images, or {remedy}" if len(shape) == 3 else remedy
    raise ValueError(
        f"default networks exist for vectors, and for images [height, width, channels] with sides of {SMALLEST} to "
        f"{LARGEST} pixels (got rows of shape {shape}); {rows_remedy(shape, image)}."
    )


def halvings(shape: Sequence[int], *, smallest: int) -> int:
    """Return how often the larger side of an image is halved, rounded up, until it is at most `smallest`."""
    side, count = max(shape[:2]), 0
    while side > smallest:
        side, count = -(-side // 2), count + 1
    return count
