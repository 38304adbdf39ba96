"""Convolutions as matrix products, for shapes that XLA's CPU backend convolves slowly.

Images are `[n, h, w, channels]`, kernels `[rows, columns, channels, features]`, results `[n, out_h, out_w, features]`.
`pads` holds the zeros before and after each axis, `spread` the dilation of the images, `dilation` that of the kernel.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxgen.types import Array

__all__ = ["Pair", "by_adding", "by_folding", "by_product", "extents", "output_lengths", "thin_gradient"]

Pair = tuple[int, int]


def by_product(
    x: Array, kernel: Array, strides: Pair, pads: Any, spread: Pair, dilation: Pair, precision: Any
) -> Array:
    """Convolution as one matrix product of the patches of the images (im2col) with the kernel."""
    zeros = [(0, 0, 0), *((*pad, step - 1) for pad, step in zip(pads, spread, strict=True)), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), zeros)
    reach = extents(kernel.shape[:2], dilation)
    rows, columns = ((n - size) // step + 1 for n, size, step in zip(x.shape[1:3], reach, strides, strict=True))
    at = lambda first, length, step: slice(first, first + (length - 1) * step + 1, step)
    patches = [
        x[:, at(i * dilation[0], rows, strides[0]), at(j * dilation[1], columns, strides[1])]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    matrix = kernel.reshape(-1, kernel.shape[3])
    return jnp.matmul(jnp.concatenate(patches, -1), matrix, precision=precision)


def by_adding(x: Array, kernel: Array, pads: Any, precision: Any) -> Array:
    """Convolution of stride 1: product of all pixels with all kernel entries, then a shifted sum."""
    (rows, columns), (height, width) = kernel.shape[:2], output_lengths(x, kernel, pads, (1, 1))
    products = jnp.tensordot(x, kernel, (3, 2), precision=precision)  # [n, h, w, rows, columns, outputs]
    padding = [(0, 0, 0), *((*pad, 0) for pad in pads), *[(0, 0, 0)] * 3]
    products = lax.pad(products, jnp.zeros((), x.dtype), padding)
    shifted = [products[:, i : i + height, j : j + width, i, j] for i in range(rows) for j in range(columns)]
    return functools.reduce(jnp.add, shifted)


def thin_gradient(x: Array, kernel: Array, g: Array, pads: Any, precision: Any) -> Array:
    """Gradient of the kernel for stride 1: matrix product of pixels and shifted output gradients.

    Pixel `i` contributes to output `i + pad - k` through the kernel entry `k`.
    """
    (height, width), (rows, columns) = x.shape[1:3], kernel.shape[:2]
    padding = [
        (size - 1 - before, n + before - length, 0)
        for n, size, (before, _), length in zip(x.shape[1:3], kernel.shape[:2], pads, g.shape[1:3], strict=True)
    ]
    g = lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *padding, (0, 0, 0)])
    shifted = [
        g[:, rows - 1 - i : rows - 1 - i + height, columns - 1 - j : columns - 1 - j + width]
        for i in range(rows)
        for j in range(columns)
    ]
    summed = jnp.tensordot(x, jnp.stack(shifted, 3), ((0, 1, 2), (0, 1, 2)), precision=precision)
    return summed.reshape(x.shape[3], *kernel.shape[:2], g.shape[3]).transpose(1, 2, 0, 3)


def by_folding(x: Array, kernel: Array, pads: Any, spread: Pair, precision: Any) -> Array:
    """Transposed convolution (input dilation `spread`) as one matrix product.

    The product gives a window for each pixel, and overlapping windows are added. Pixel `i` contributes to output
    `spread * i + pad - k` through the kernel entry `k`.
    """
    (h, w), (rows, columns), (s0, s1), outputs = x.shape[1:3], kernel.shape[:2], spread, kernel.shape[3]
    windows = jnp.tensordot(x, kernel, (3, 2), precision=precision)  # [n, h, w, rows, columns, outputs]
    periods = (h + (rows - 1) // s0, w + (columns - 1) // s1)
    # Separate axes for the phases of the stride make every update contiguous.
    out = jnp.zeros((x.shape[0], periods[0], s0, periods[1], s1, outputs), windows.dtype)
    for i in range(rows):
        for j in range(columns):
            (q0, r0), (q1, r1) = divmod(rows - 1 - i, s0), divmod(columns - 1 - j, s1)
            at = (0, q0, r0, q1, r1, 0)
            window = windows[:, :, None, :, None, i, j]
            current = lax.dynamic_slice(out, at, window.shape)
            out = lax.dynamic_update_slice(out, current + window, at)
    out = out.reshape(x.shape[0], periods[0] * s0, periods[1] * s1, outputs)
    lows = [before - (size - 1) for size, (before, _) in zip((rows, columns), pads, strict=True)]
    lengths = output_lengths(x, kernel, pads, spread)
    crop = [(low, length - low - n, 0) for low, length, n in zip(lows, lengths, out.shape[1:3], strict=True)]
    return lax.pad(out, jnp.zeros((), out.dtype), [(0, 0, 0), *crop, (0, 0, 0)])


def output_lengths(x: Array, kernel: Array, pads: Any, spread: Pair) -> tuple[int, ...]:
    """Return output height and width of a convolution of stride 1, with input dilation `spread`."""
    return tuple(
        max(0, (n - 1) * step + before + after - size + 2)
        for n, step, (before, after), size in zip(x.shape[1:3], spread, pads, kernel.shape[:2], strict=True)
    )


def extents(lengths: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Return the lengths of dilated axes."""
    return tuple((length - 1) * step + 1 for length, step in zip(lengths, dilation, strict=True))
