"""Convolutional networks, on a convolution whose gradients are as fast inside a loop as outside on a CPU."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxgen.nets.initialisers import Initialiser, orthogonal, uniform_bias
from jaxgen.nets.mlp import MLP
from jaxgen.types import Array, Float

__all__ = ["ConvNet", "convolve", "layer"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_ONES = (1, 1)

Pair = tuple[int, int]


class ConvNet(nn.Module):
    """Images to rows: convolutions that halve the pixels each, then dense layers.

    Attributes:
        features: of each convolution.
        widths: of the dense layers, the last of which is the output.
        activation: applied after every layer but the last.
    """

    features: Sequence[int] = (32, 64)
    widths: Sequence[int] = (128, 10)
    activation: Callable[[Array], Array] = jax.nn.relu

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... d"]:
        """Map images `[..., height, width, channels]` to rows `[..., widths[-1]]`."""
        for features in self.features:
            x = self.activation(layer(x, features, orthogonal, stride=2)(x))
        return MLP(self.widths, self.activation)(x.reshape(*x.shape[:-3], -1))


def layer(
    x: Array, features: int, kernel: Initialiser, *, stride: int = 1, convolution: Callable[..., Array] | None = None
) -> nn.Conv:
    """Return a convolution of 3 by 3 pixels that will be given `x`, by `convolve` unless another is named."""
    how, bias = convolution or convolve, uniform_bias(9 * x.shape[-1])
    return nn.Conv(features, (3, 3), stride, kernel_init=kernel, bias_init=bias, conv_general_dilated=how)


def convolve(
    lhs: Float[Array, "..."],
    rhs: Float[Array, "..."],
    window_strides: Sequence[int],
    padding: str | Sequence[Pair],
    *,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = _LAYOUT,
    feature_group_count: int = 1,
    precision: Any = None,
) -> Float[Array, "..."]:
    """Convolve images, as `jax.lax.conv_general_dilated` does: give it to `flax.linen.Conv(conv_general_dilated=...)`.

    XLA's CPU backend runs a convolution fast whose arrays lie in the order image, row, column, channel. It brings
    others into that order, as those of the usual gradients, but not within a loop, where they are 3 to 50 times slower.
    So the gradients are written out here in that order. On other backends, for groups and for other layouts this is
    `jax.lax.conv_general_dilated` itself. On a CPU there is no forward-mode derivative; reverse over reverse is exact.

    Args:
        lhs: images `[n, height, width, channels]`.
        rhs: kernel `[rows, columns, channels, features]`.
        window_strides: steps of the kernel along both axes.
        padding: `SAME`, `VALID`, or the number of zeros before and after each axis.
        lhs_dilation: distance of neighbouring pixels, by default 1.
        rhs_dilation: distance of neighbouring entries of the kernel, by default 1.
        dimension_numbers: order of the axes of images, kernel and result; other layouts change the shapes above.
        feature_group_count: groups of channels that do not mix.
        precision: of the products.

    Returns:
        The convolved images `[n, ..., ..., features]`.
    """
    ordered = lambda order: lax.conv_dimension_numbers(lhs.shape, rhs.shape, order)
    if (
        jax.default_backend() != "cpu"
        or lhs.ndim != 4
        or ordered(dimension_numbers) != ordered(_LAYOUT)
        or feature_group_count != 1
        or (isinstance(padding, str) and tuple(lhs_dilation or _ONES) != _ONES)  # which JAX refuses
    ):
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count=feature_group_count,
            precision=precision,
        )
    strides, spread, dilation = (tuple(pair or _ONES) for pair in (window_strides, lhs_dilation, rhs_dilation))
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], _extents(rhs.shape[:2], dilation), strides, padding)
    pads = tuple((int(before), int(after)) for before, after in padding)
    return _convolve(lhs, rhs, strides, pads, spread, dilation, precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5, 6))
def _convolve(x: Array, kernel: Array, strides: Pair, pads: Any, spread: Pair, dilation: Pair, precision: Any) -> Array:
    if math.prod(x.shape[1:3]) < math.prod(kernel.shape[:2]):
        # XLA lets an image and a larger kernel change places, out of the order that it runs fast: a convolution of
        # 2 x 2 pixels took a hundred times as long. So the zeros are laid around the image first.
        zeros = [(0, 0, 0), *((*pad, step - 1) for pad, step in zip(pads, spread, strict=True)), (0, 0, 0)]
        x, pads, spread = lax.optimization_barrier(lax.pad(x, jnp.zeros((), x.dtype), zeros)), ((0, 0), (0, 0)), _ONES
    return lax.conv_general_dilated(x, kernel, strides, pads, spread, dilation, _LAYOUT, precision=precision)


def _forward(x: Array, kernel: Array, *how: Any) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, *how), (x, kernel)


def _backward(
    strides: Pair, pads: Any, spread: Pair, dilation: Pair, precision: Any, kept: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    """Both gradients, by `_convolve` itself, so that theirs are as fast.

    With `y[o] = sum_k x[o s + k d - p] w[k]` on the spread-out `x`, the gradient at `x[i]` sums `g[o] w[k]`, and that
    at `w[k]` sums `g[o] x[o s + k d - p]`: convolutions in which stride and dilations change places.
    """
    x, kernel = kept
    image, window, output = (
        _extents(shape, apart)
        for shape, apart in ((x.shape[1:3], spread), (kernel.shape[:2], dilation), (g.shape[1:3], strides))
    )
    of_x, of_kernel = [], []
    for i, (before, _) in enumerate(pads):
        of_x.append((window[i] - 1 - before, image[i] - output[i] + before))
        of_kernel.append((before, output[i] + window[i] - 1 - image[i] - before))
    # The barriers keep XLA from folding a transposition into the convolution, which would undo the order of the axes.
    turned = lax.optimization_barrier(kernel[::-1, ::-1].swapaxes(2, 3))
    batched_x, batched_g = lax.optimization_barrier((x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3)))
    gradient_x = _convolve(g, turned, spread, tuple(of_x), strides, dilation, precision)
    gradient_kernel = _convolve(batched_x, batched_g, dilation, tuple(of_kernel), spread, strides, precision)
    return gradient_x, gradient_kernel.transpose(1, 2, 0, 3)


_convolve.defvjp(_forward, _backward)


def _extents(lengths: Sequence[int], apart: Sequence[int]) -> tuple[int, ...]:
    """How far axes reach whose entries lie so far apart."""
    return tuple((length - 1) * step + 1 for length, step in zip(lengths, apart, strict=True))
