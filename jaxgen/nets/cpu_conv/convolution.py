"""A convolution whose gradients are as fast inside a loop as outside on a CPU, and faster than XLA's own."""

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
        padding = lax.padtype_to_pads(lhs.shape[1:3], extents(rhs.shape[:2], dilation), strides, padding)
    pads = tuple((int(before), int(after)) for before, after in padding)
    return _convolve(lhs, rhs, strides, pads, spread, dilation, precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5, 6))
def _convolve(x: Array, kernel: Array, strides: Pair, pads: Any, spread: Pair, dilation: Pair, precision: Any) -> Array:
    if spread != _ONES and strides == dilation == _ONES:
        # Products of numbers that each way forms, up to what both have in common.
        phased = math.prod(
            -(-length // step) * -(-size // step) * step
            for length, size, step in zip(
                output_lengths(x, kernel, pads, spread), kernel.shape[:2], spread, strict=True
            )
        )
        fold = _is_small(x, kernel) and math.prod(x.shape[1:3]) * math.prod(kernel.shape[:2]) <= phased
        return (by_folding if fold else _by_phases)(x, kernel, pads, spread, precision)
    if _is_small(x, kernel):
        return by_product(x, kernel, strides, pads, spread, dilation, precision)
    if strides == dilation == _ONES and _is_thin(kernel) and _is_precise(x):
        return by_adding(x, kernel, pads, precision)
    return lax.conv_general_dilated(x, kernel, strides, pads, spread, dilation, _LAYOUT, precision=precision)


def _is_small(x: Array, kernel: Array) -> bool:
    """Tell whether an image has fewer pixels than the kernel.

    XLA lets such an image and the kernel change places, out of the order that it runs fast: a convolution of 2 x 2
    pixels took a hundred times as long. So these are matrix products.
    """
    return math.prod(x.shape[1:3]) < math.prod(kernel.shape[:2])


def _is_thin(kernel: Array) -> bool:
    """Tell whether a kernel makes a picture, of one or three colours, of many features.

    XLA's own convolution of these takes 2 to 7 times as long as the matrix product of all pixels with all entries of
    the kernel, and its kernel's gradient 4 to 12 times as long. A kernel as large as an image would make that product
    larger than the image.
    """
    rows, columns, features, colours = kernel.shape
    return colours <= 3 and rows * columns * colours <= 4 * features


def _is_precise(x: Array) -> bool:
    """Tell whether sums may be taken apart: in half precision each part would be rounded."""
    return x.dtype in (jnp.float32, jnp.float64)


def _by_phases(x: Array, kernel: Array, pads: Any, spread: Pair, precision: Any) -> Array:
    """Convolve an image whose pixels lie apart without multiplying the zeros between them.

    Every `s`-th output meets the same entries of the kernel, each `s` apart from the next. So each of the `s * s`
    phases is a convolution of the image as it is with a share of the kernel, and the outputs are laid out in turn.
    """
    rows = x.shape[1:3]
    lengths = output_lengths(x, kernel, pads, spread)
    turns = tuple(-(-length // step) for length, step in zip(lengths, spread, strict=True))
    axes = [
        [_phase(phase, n, step, before, size, length) for phase in range(step)]
        for n, step, (before, _), size, length in zip(rows, spread, pads, kernel.shape[:2], lengths, strict=True)
    ]
    planes = []
    for first, zeros, made in axes[0]:
        for other, concatenate_condition, wide in axes[1]:
            share = kernel[first :: spread[0], other :: spread[1]]
            if 0 in share.shape or 0 in (made, wide):
                plane = jnp.zeros((x.shape[0], made, wide, kernel.shape[3]), x.dtype)
            else:
                plane = _convolve(x, share, _ONES, (zeros, concatenate_condition), _ONES, _ONES, precision)
            planes.append(jnp.pad(plane, ((0, 0), (0, turns[0] - made), (0, turns[1] - wide), (0, 0))))
    whole = jnp.stack(planes, 3).reshape(x.shape[0], *turns, *spread, kernel.shape[3]).transpose(0, 1, 3, 2, 4, 5)
    whole = whole.reshape(x.shape[0], turns[0] * spread[0], turns[1] * spread[1], kernel.shape[3])
    return whole[:, : lengths[0], : lengths[1]]


def _phase(phase: int, n: int, step: int, before: int, size: int, length: int) -> tuple[int, Pair, int]:
    """Return of outputs `phase`, `phase + step` ...: the first entry they meet, the zeros around, and their number.

    Output `o` meets pixel `i` at the entry `step i - o + before`.
    """
    first = (before - phase) % step
    ahead = (before - phase - first) // step
    made = -(-(length - phase) // step)
    taps = -(-(size - first) // step)
    return first, (ahead, made - 1 + taps - n - ahead), made


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
        extents(shape, apart)
        for shape, apart in ((x.shape[1:3], spread), (kernel.shape[:2], dilation), (g.shape[1:3], strides))
    )
    of_x, of_kernel = [], []
    for i, (before, _) in enumerate(pads):
        of_x.append((window[i] - 1 - before, image[i] - output[i] + before))
        of_kernel.append((before, output[i] + window[i] - 1 - image[i] - before))
    # The barriers keep XLA from folding a transposition into the convolution, which would undo the order of the axes.
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    if not _is_small(g, turned):  # a matrix product sees through the transposition
        turned = lax.optimization_barrier(turned)
    gradient_x = _convolve(g, turned, spread, tuple(of_x), strides, dilation, precision)
    thin = strides == spread == dilation == _ONES and _is_thin(kernel) and not _is_small(x, kernel)
    if thin and _is_precise(x):
        return gradient_x, thin_gradient(x, kernel, g, pads, precision)
    shares = []
    for first, last in itertools.pairwise(_parts(g)):
        part = x[first:last].transpose(3, 1, 2, 0), g[first:last].transpose(1, 2, 0, 3)
        batched_x, batched_g = lax.optimization_barrier(part)
        shares.append(_convolve(batched_x, batched_g, dilation, tuple(of_kernel), spread, strides, precision))
    return gradient_x, functools.reduce(jnp.add, shares).transpose(1, 2, 0, 3)


_convolve.defvjp(_forward, _backward)


def _parts(g: Array) -> list[int]:
    """Return where to cut a batch for the kernel's gradient: into up to eight parts, of eight images at least.

    Each part is a convolution whose channels are its images, and of eight it takes half to nine tenths of the time that
    it does of fifty at once; but not where so few pixels are summed that the parts' overhead is more.
    """
    images, pixels = g.shape[0], math.prod(g.shape[1:3])
    count = min(8, images // 8) if pixels >= 32 and _is_precise(g) else 1
    return [0, *(images * part // count // 8 * 8 for part in range(1, count)), images]
