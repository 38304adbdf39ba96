"""Convolutions as matrix products, where XLA's CPU backend has no fast way of its own.

Images are `[n, h, w, channels]`, kernels `[rows, columns, channels, features]`, and results `[n, ..., features]`.
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
    """Convolve as one matrix product over what each output sees."""
    zeros = [(0, 0, 0), *((*pad, step - 1) for pad, step in zip(pads, spread, strict=True)), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), zeros)
    reach = extents(kernel.shape[:2], dilation)
    rows, columns = ((n - far) // step + 1 for n, far, step in zip(x.shape[1:3], reach, strides, strict=True))
    at = lambda first, length, step: slice(first, first + (length - 1) * step + 1, step)
    seen = [
        x[:, at(i * dilation[0], rows, strides[0]), at(j * dilation[1], columns, strides[1])]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    matrix = kernel.reshape(-1, kernel.shape[3])
    return jnp.matmul(jnp.concatenate(seen, -1), matrix, precision=precision)


def by_adding(x: Array, kernel: Array, pads: Any, precision: Any) -> Array:
    """Convolve with stride 1 as one matrix product of every pixel with every entry of the kernel, added up."""
    (rows, columns), (height, width) = kernel.shape[:2], output_lengths(x, kernel, pads, (1, 1))
    products = jnp.tensordot(x, kernel, (3, 2), precision=precision)  # [n, h, w, rows, columns, outputs]
    around = [(0, 0, 0), *((*pad, 0) for pad in pads), *[(0, 0, 0)] * 3]
    products = lax.pad(products, jnp.zeros((), x.dtype), around)
    shares = [products[:, i : i + height, j : j + width, i, j] for i in range(rows) for j in range(columns)]
    return functools.reduce(jnp.add, shares)


def thin_gradient(x: Array, kernel: Array, g: Array, pads: Any, precision: Any) -> Array:
    """Return a kernel's gradient, with stride 1, as one matrix product of the pixels with the outputs that see them.

    Pixel `i` is seen by output `i + pad - k` through the entry `k`.
    """
    (height, width), (rows, columns) = x.shape[1:3], kernel.shape[:2]
    around = [
        (size - 1 - before, n + before - made, 0)
        for n, size, (before, _), made in zip(x.shape[1:3], kernel.shape[:2], pads, g.shape[1:3], strict=True)
    ]
    g = lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *around, (0, 0, 0)])
    seen = [
        g[:, rows - 1 - i : rows - 1 - i + height, columns - 1 - j : columns - 1 - j + width]
        for i in range(rows)
        for j in range(columns)
    ]
    summed = jnp.tensordot(x, jnp.stack(seen, 3), ((0, 1, 2), (0, 1, 2)), precision=precision)
    return summed.reshape(x.shape[3], *kernel.shape[:2], g.shape[3]).transpose(1, 2, 0, 3)


def by_folding(x: Array, kernel: Array, pads: Any, spread: Pair, precision: Any) -> Array:
    """Convolve an image whose pixels lie apart as one matrix product: each pixel's window, added up where they overlap.

    Pixel `i` adds the entry `k` of the kernel to output `s i + pad - k`.
    """
    (h, w), (rows, columns), (s0, s1), outputs = x.shape[1:3], kernel.shape[:2], spread, kernel.shape[3]
    windows = jnp.tensordot(x, kernel, (3, 2), precision=precision)  # [n, h, w, rows, columns, outputs]
    turns = (h + (rows - 1) // s0, w + (columns - 1) // s1)
    # Every phase of the stride has a plane of its own, so that what is added lies side by side.
    whole = jnp.zeros((x.shape[0], turns[0], s0, turns[1], s1, outputs), windows.dtype)
    for i in range(rows):
        for j in range(columns):
            (q0, r0), (q1, r1) = divmod(rows - 1 - i, s0), divmod(columns - 1 - j, s1)
            at = (0, q0, r0, q1, r1, 0)
            window = windows[:, :, None, :, None, i, j]
            there = lax.dynamic_slice(whole, at, window.shape)
            whole = lax.dynamic_update_slice(whole, there + window, at)
    whole = whole.reshape(x.shape[0], turns[0] * s0, turns[1] * s1, outputs)
    lows = [before - (size - 1) for size, (before, _) in zip((rows, columns), pads, strict=True)]
    lengths = output_lengths(x, kernel, pads, spread)
    cut = [(low, length - low - n, 0) for low, length, n in zip(lows, lengths, whole.shape[1:3], strict=True)]
    return lax.pad(whole, jnp.zeros((), whole.dtype), [(0, 0, 0), *cut, (0, 0, 0)])


def output_lengths(x: Array, kernel: Array, pads: Any, spread: Pair) -> tuple[int, ...]:
    """Return height and width of a convolution of stride 1."""
    return tuple(
        max(0, (n - 1) * step + before + after - size + 2)
        for n, step, (before, after), size in zip(x.shape[1:3], spread, pads, kernel.shape[:2], strict=True)
    )


def extents(lengths: Sequence[int], apart: Sequence[int]) -> tuple[int, ...]:
    """How far axes reach whose entries lie so far apart."""
    return tuple((length - 1) * step + 1 for length, step in zip(lengths, apart, strict=True))
