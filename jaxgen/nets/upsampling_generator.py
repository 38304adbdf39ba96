"""Image generator by nearest-neighbor upsampling, and a convolution fused with the upsampling."""

import itertools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.cnn import layer
from jaxgen.nets.compute_dtype import output_dtype
from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.initializers import orthogonal, torch_uniform
from jaxgen.types import Array, Float

__all__ = ["ConvGenerator", "convolve_upsampled"]


class ConvGenerator(nn.Module):
    """Convolutional image generator with nearest-neighbor upsampling.

    Each block upsamples by 2 and applies two 3 x 3 convolutions with ReLUs. The network starts from one pixel and crops
    the center of the last block's output. There is no activation after the last convolution. Hidden kernels are
    orthogonal with gain sqrt(2). The last kernel and all biases are uniform over +- 1 / sqrt(fan-in), as in the extreme
    value paper's code.

    Attributes:
        shape: height, width and channels of the images.
        widths: features of each block; height and width before cropping are `2 ** len(widths)`.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), section VI.
    """

    shape: Sequence[int] = (28, 28, 1)
    widths: Sequence[int] = (512, 256, 128, 128, 64)

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... height width channels"]:
        """Map latent vectors `[..., k]` to images `[..., *shape]`.

        Raises:
            ValueError: if the images are larger than `2 ** len(widths)` pixels.
        """
        (height, width, channels), side = self.shape, 2 ** len(self.widths)
        if max(height, width) > side:
            raise ValueError(
                f"height and width must be at most 2 ** len(widths) = {side} (got {height} x {width}); add widths."
            )
        x = z[..., None, None, :]
        for features in self.widths:
            x = jax.nn.relu(layer(x, features, orthogonal, convolution=convolve_upsampled)(x))
            x = jax.nn.relu(layer(x, features, orthogonal)(x))
        x = layer(x, channels, torch_uniform, dtype=output_dtype())(x)
        top, left = (side - height) // 2, (side - width) // 2
        return x[..., top : top + height, left : left + width, :]


def convolve_upsampled(
    lhs: Float[Array, "n height width channels"],
    rhs: Float[Array, "rows columns channels features"],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **how: Any,
) -> Float[Array, "n ... features"]:
    """Nearest-neighbor upsampling by 2 and a 3 x 3 convolution in one operation.

    Pass it to `flax.linen.Conv(conv_general_dilated=...)`. On an upsampled image, two of the kernel's three rows meet
    equal pixels: the last two at even rows, the first two at odd rows. The same holds for columns. On a CPU, kernel
    entries on equal pixels are therefore added first, which gives a convolution with input dilation 2. It returns the
    same values up to rounding, with 4/9 of the multiplications. Other backends convolve the upsampled image, since
    their libraries have faster algorithms for 3 x 3 kernels.

    Args:
        lhs: images before upsampling `[n, height, width, channels]`.
        rhs: kernel `[3, 3, channels, features]`.
        window_strides: must be 1 along both axes.
        padding: must be `SAME`.
        **how: other arguments of `convolve`; dilations must be 1.

    Returns:
        The convolved images `[n, 2 height, 2 width, features]`.

    Raises:
        ValueError: if kernel size, strides, padding or dilations are not supported.
    """
    dilations = [tuple(how.get(name) or (1, 1)) for name in ("lhs_dilation", "rhs_dilation")]
    if rhs.shape[:2] != (3, 3) or {*window_strides, *itertools.chain(*dilations)} != {1} or padding != "SAME":
        raise ValueError(
            "convolve_upsampled needs a 3 x 3 kernel, strides and dilations of 1, and padding SAME (got a kernel of "
            f"{rhs.shape[:2]}, strides {tuple(window_strides)}, padding {padding}, dilations {dilations}); upsample "
            "with jnp.repeat and use `convolve` for other convolutions."
        )

    def plain(lhs: Array, rhs: Array) -> Array:
        return convolve(jnp.repeat(jnp.repeat(lhs, 2, axis=1), 2, axis=2), rhs, window_strides, padding, **how)

    def fast(lhs: Array, rhs: Array) -> Array:
        # An upsampled image is the dilated image plus its copies shifted by one row, one column, and both.
        shifted = jnp.stack([jnp.pad(rhs, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1)])
        return convolve(lhs, shifted.sum(0), window_strides, ((2, 2), (2, 2)), **{**how, "lhs_dilation": (2, 2)})

    return jax.lax.platform_dependent(lhs, rhs, cpu=fast, default=plain)
