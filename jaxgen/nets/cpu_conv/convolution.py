"""Convolution whose gradients are as fast inside a loop as outside on XLA's CPU backend."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxgen.nets.cpu_conv.matmul import Pair, by_adding, by_folding, by_product, extents, output_lengths, thin_gradient
from jaxgen.types import Array, Float

__all__ = ["convolve"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_ONES = (1, 1)


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
    """Convolution with the signature of `jax.lax.conv_general_dilated`, fast inside loops on a CPU.

    Pass it to `flax.linen.Conv(conv_general_dilated=...)`. XLA's CPU backend has a fast convolution for the layouts
    NHWC and HWIO. Inside a loop it does not rearrange other layouts, such as those of the standard gradients, which
    makes them 3 to 50 times slower. So the gradients here are convolutions in the fast layouts.

    The platform is chosen where the program is lowered, so a program lowered for an accelerator has the plain
    convolution. For feature groups and for other layouts, this is `jax.lax.conv_general_dilated` itself. Otherwise
    there is no forward-mode derivative; reverse over reverse is exact.

    Args:
        lhs: images `[n, height, width, channels]`.
        rhs: kernel `[rows, columns, channels, features]`.
        window_strides: strides of the kernel along both axes.
        padding: `SAME`, `VALID`, or the number of zeros before and after each axis.
        lhs_dilation: dilation of the images along both axes (transposed convolution); None is 1.
        rhs_dilation: dilation of the kernel along both axes; None is 1.
        dimension_numbers: layouts of images, kernel and result; other layouts change the shapes above.
        feature_group_count: number of feature groups.
        precision: precision of the products, as in `jax.lax.conv_general_dilated`.

    Returns:
        The convolved images `[n, output height, output width, features]`.
    """
    ordered = lambda order: lax.conv_dimension_numbers(lhs.shape, rhs.shape, order)
    strides, spread, dilation = (tuple(pair or _ONES) for pair in (window_strides, lhs_dilation, rhs_dilation))
    plain = functools.partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        precision=precision,
    )
    if (
        lhs.ndim != 4
        or ordered(dimension_numbers) != ordered(_LAYOUT)
        or feature_group_count != 1
        or (isinstance(padding, str) and spread != _ONES)  # JAX raises the error
    ):
        return plain(lhs, rhs)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], extents(rhs.shape[:2], dilation), strides, padding)
    pads = tuple((int(before), int(after)) for before, after in padding)
    fast = lambda x, kernel: _convolve(x, kernel, strides, pads, spread, dilation, precision)
    return lax.platform_dependent(lhs, rhs, cpu=fast, default=plain)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5, 6))
def _convolve(x: Array, kernel: Array, strides: Pair, pads: Any, spread: Pair, dilation: Pair, precision: Any) -> Array:
    if spread != _ONES and strides == dilation == _ONES:
        # Compare the number of multiplications of both methods, up to their common factor.
        phase_products = math.prod(
            -(-length // step) * -(-size // step) * step
            for length, size, step in zip(
                output_lengths(x, kernel, pads, spread), kernel.shape[:2], spread, strict=True
            )
        )
        fold = _is_small(x, kernel) and math.prod(x.shape[1:3]) * math.prod(kernel.shape[:2]) <= phase_products
        return (by_folding if fold else _by_phases)(x, kernel, pads, spread, precision)
    if _is_small(x, kernel):
        return by_product(x, kernel, strides, pads, spread, dilation, precision)
    if strides == dilation == _ONES and _is_thin(kernel) and _is_precise(x):
        return by_adding(x, kernel, pads, precision)
    return lax.conv_general_dilated(x, kernel, strides, pads, spread, dilation, _LAYOUT, precision=precision)


def _is_small(x: Array, kernel: Array) -> bool:
    """Return whether an image has fewer pixels than the kernel.

    XLA then swaps image and kernel, which leaves the fast layouts: a convolution of 2 x 2 pixels took a hundred times
    as long. Such convolutions are computed as matrix products.
    """
    return math.prod(x.shape[1:3]) < math.prod(kernel.shape[:2])


def _is_thin(kernel: Array) -> bool:
    """Return whether a kernel maps many features to at most three channels.

    XLA's convolution with such a kernel takes 2 to 7 times as long as the matrix product of all pixels with all kernel
    entries. The kernel's gradient takes 4 to 12 times as long. The bound on the kernel's size limits the memory of that
    product to 4 times the image.
    """
    rows, columns, features, channels = kernel.shape
    return channels <= 3 and rows * columns * channels <= 4 * features


def _is_precise(x: Array) -> bool:
    """Return whether sums may be split into parts; in half precision each part would be rounded."""
    return x.dtype in (jnp.float32, jnp.float64)


def _by_phases(x: Array, kernel: Array, pads: Any, spread: Pair, precision: Any) -> Array:
    """Transposed convolution (input dilation `s`) that skips the zeros between the pixels.

    Every `s`-th output uses the same kernel entries, which lie `s` apart. So each of the `s * s` phases is a
    convolution of the undilated image with a part of the kernel. The outputs of the phases are interleaved.
    """
    lengths = output_lengths(x, kernel, pads, spread)
    periods = tuple(-(-length // step) for length, step in zip(lengths, spread, strict=True))
    axes = [
        [_phase(phase, n, step, before, size, length) for phase in range(step)]
        for n, step, (before, _), size, length in zip(
            x.shape[1:3], spread, pads, kernel.shape[:2], lengths, strict=True
        )
    ]
    planes = []
    for row, row_pads, height in axes[0]:
        for column, column_pads, width in axes[1]:
            part = kernel[row :: spread[0], column :: spread[1]]
            if 0 in part.shape or 0 in (height, width):
                plane = jnp.zeros((x.shape[0], height, width, kernel.shape[3]), x.dtype)
            else:
                plane = _convolve(x, part, _ONES, (row_pads, column_pads), _ONES, _ONES, precision)
            planes.append(jnp.pad(plane, ((0, 0), (0, periods[0] - height), (0, periods[1] - width), (0, 0))))
    out = jnp.stack(planes, 3).reshape(x.shape[0], *periods, *spread, kernel.shape[3]).transpose(0, 1, 3, 2, 4, 5)
    out = out.reshape(x.shape[0], periods[0] * spread[0], periods[1] * spread[1], kernel.shape[3])
    return out[:, : lengths[0], : lengths[1]]


def _phase(phase: int, n: int, step: int, before: int, size: int, length: int) -> tuple[int, Pair, int]:
    """Return first kernel entry, padding and number of the outputs `phase`, `phase + step`, ...

    Output `o` multiplies pixel `i` with the kernel entry `step * i - o + before`.
    """
    first = (before - phase) % step
    ahead = (before - phase - first) // step
    count = -(-(length - phase) // step)
    taps = -(-(size - first) // step)
    return first, (ahead, count - 1 + taps - n - ahead), count


def _forward(x: Array, kernel: Array, *settings: Any) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, *settings), (x, kernel)


def _backward(
    strides: Pair, pads: Any, spread: Pair, dilation: Pair, precision: Any, residuals: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    """Return the gradients of images and kernel.

    They are computed by `_convolve`, so that second derivatives are fast too. Let `y[o] = sum_k x[o s + k d - p] w[k]`
    with the dilated `x`. The gradient of `x[i]` sums `g[o] w[k]`, and that of `w[k]` sums `g[o] x[o s + k d - p]`. Both
    are convolutions in which stride and dilations are exchanged.
    """
    x, kernel = residuals
    image, window, output = (
        extents(shape, step)
        for shape, step in ((x.shape[1:3], spread), (kernel.shape[:2], dilation), (g.shape[1:3], strides))
    )
    pads_x, pads_kernel = [], []
    for i, (before, _) in enumerate(pads):
        pads_x.append((window[i] - 1 - before, image[i] - output[i] + before))
        pads_kernel.append((before, output[i] + window[i] - 1 - image[i] - before))
    # The barriers keep XLA from fusing a transposition into the convolution, which would change its layout.
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    if not _is_small(g, flipped):  # the matrix product is fast with a fused transposition
        flipped = lax.optimization_barrier(flipped)
    gradient_x = _convolve(g, flipped, spread, tuple(pads_x), strides, dilation, precision)
    thin = strides == spread == dilation == _ONES and _is_thin(kernel) and not _is_small(x, kernel)
    if thin and _is_precise(x):
        return gradient_x, thin_gradient(x, kernel, g, pads, precision)
    parts = []
    for first, last in itertools.pairwise(_parts(g)):
        swapped = x[first:last].transpose(3, 1, 2, 0), g[first:last].transpose(1, 2, 0, 3)
        batched_x, batched_g = lax.optimization_barrier(swapped)
        parts.append(_convolve(batched_x, batched_g, dilation, tuple(pads_kernel), spread, strides, precision))
    return gradient_x, functools.reduce(jnp.add, parts).transpose(1, 2, 0, 3)


_convolve.defvjp(_forward, _backward)


def _parts(g: Array) -> list[int]:
    """Return where to split a batch for the kernel's gradient.

    There are up to eight parts, of at least eight images. Each part is a convolution with the images as channels. With
    eight images per part it takes half to nine tenths of the time of fifty at once. Below 32 pixels the overhead of the
    parts is larger, so the batch is not split.
    """
    images, pixels = g.shape[0], math.prod(g.shape[1:3])
    count = min(8, images // 8) if pixels >= 32 and _is_precise(g) else 1
    return [0, *(images * part // count // 8 * 8 for part in range(1, count)), images]
