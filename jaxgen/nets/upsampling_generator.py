"""Images that grow by doubling their pixels, and a convolution that does so without the doubled image."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.cnn import layer
from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.initializers import orthogonal, torch_uniform
from jaxgen.types import Array, Float

__all__ = ["ConvGenerator", "convolve_upsampled"]


class ConvGenerator(nn.Module):
    """Rows of noise to images: one pixel, doubled and convolved twice by each block, and the middle cut out.

    Hidden kernels are orthogonal with gain sqrt(2); the last kernel, after which there is no activation, and all
    biases are torch_uniform over +- 1 / sqrt(fan-in): the initialisation of the extreme value paper's code.

    Attributes:
        shape: height, width and channels of the images.
        widths: features of each block; so many blocks, so often the pixels double.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), section VI.
    """

    shape: Sequence[int] = (28, 28, 1)
    widths: Sequence[int] = (512, 256, 128, 128, 64)

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... height width channels"]:
        """Map rows `[..., k]` to images `[..., *shape]`.

        Raises:
            ValueError: if the images are larger than so many blocks make.
        """
        (height, width, channels), side = self.shape, 2 ** len(self.widths)
        if max(height, width) > side:
            raise ValueError(f"{len(self.widths)} blocks make {side} pixels, not {max(height, width)}; add widths.")
        x = z[..., None, None, :]
        for features in self.widths:
            x = jax.nn.relu(layer(x, features, orthogonal, convolution=convolve_upsampled)(x))
            x = jax.nn.relu(layer(x, features, orthogonal)(x))
        x = layer(x, channels, torch_uniform)(x)
        top, left = (side - height) // 2, (side - width) // 2
        return x[..., top : top + height, left : left + width, :]


def convolve_upsampled(
    lhs: Float[Array, "n height width channels"],
    rhs: Float[Array, "rows columns channels features"],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **how: Any,
) -> Float[Array, "n ... features"]:
    """Double an image's pixels and convolve it: give it to `flax.linen.Conv(conv_general_dilated=...)`.

    In a doubled image two of a kernel's three rows lie on equal pixels, the last two for a pixel of even place, the
    first two for one of odd place, and columns likewise. So on a CPU the taps on equal pixels are added first, which
    makes of it a convolution of pixels two apart: the same numbers up to rounding for 4/9 of the products. On other
    backends, whose libraries have faster ways for 3 by 3, the doubled image is convolved.

    Args:
        lhs: images before they are doubled `[n, height, width, channels]`.
        rhs: kernel `[3, 3, channels, features]`.
        window_strides: 1 along both axes.
        padding: `SAME`.
        **how: as of `convolve`; dilations of 1.

    Returns:
        The convolved images `[n, 2 height, 2 width, features]`.

    Raises:
        ValueError: if kernel, strides, padding or dilations are others.
    """
    dilated = any(set(how.get(name) or (1,)) != {1} for name in ("lhs_dilation", "rhs_dilation"))
    if rhs.shape[:2] != (3, 3) or set(window_strides) != {1} or padding != "SAME" or dilated:
        raise ValueError(
            f"convolve_doubled got a kernel of {rhs.shape[:2]}, strides {tuple(window_strides)} and padding {padding}; "
            "it needs a kernel of 3 by 3, strides and dilations of 1, and padding SAME."
        )
    if jax.default_backend() != "cpu":
        return convolve(jnp.repeat(jnp.repeat(lhs, 2, axis=1), 2, axis=2), rhs, window_strides, padding, **how)
    # A doubled image is one whose pixels lie two apart plus itself one row, one column, and both further on.
    moved = jnp.stack([jnp.pad(rhs, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1)])
    return convolve(lhs, moved.sum(0), window_strides, ((2, 2), (2, 2)), **{**how, "lhs_dilation": (2, 2)})
