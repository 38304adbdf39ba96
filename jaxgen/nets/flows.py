"""Invertible networks as they are commonly composed: for vectors, and for images."""

import flax.linen as nn

from jaxgen.nets.bijections import ActNorm, ComposedBijection, Flatten, Permutation, SpaceToDepth, Split
from jaxgen.nets.conditioners import ConvConditioner, DenseConditioner
from jaxgen.nets.coupling import AffineCoupling, CouplingStack

__all__ = ["dense_flow", "image_flow"]


def dense_flow(
    dimensions: int, *, depth: int = 8, widths: tuple[int, ...] = (128, 128), clamp: float = 2.0
) -> ComposedBijection:
    """Return affine couplings of vectors, which move one half and the other in turn; features are scaled before.

    Args:
        dimensions: of a row; from 3 on the features are put into another order after each pair of couplings.
        depth: how many couplings.
        widths: of their networks' hidden layers.
        clamp: bound of a scale's logarithm.

    Returns:
        An invertible network `[..., d] -> [..., d]`.

    Raises:
        ValueError: if there are fewer than two dimensions, or there is no coupling.
    """
    if dimensions < 2 or depth < 1:
        raise ValueError(f"a flow got {dimensions} dimensions and {depth} couplings; it needs 2 and 1 at the least.")
    return ComposedBijection((ActNorm(), CouplingStack(AffineCoupling(DenseConditioner(widths), clamp=clamp), depth)))


def image_flow(
    shape: tuple[int, int, int],
    *,
    depth: int = 4,
    features: tuple[int, int] = (64, 64),
    widths: tuple[int, ...] = (256,),
    clamp: float = 1.5,
) -> ComposedBijection:
    """Return affine couplings of images at a half and at a quarter of their sides, and of what is left as vectors.

    At each size the features are put into another order before each coupling. Half the features leave after the first
    size; two dense couplings end the rest.

    Args:
        shape: height, width and features of an image, the sides multiples of four.
        depth: couplings at each size.
        features: of the convolutional networks' hidden layers.
        widths: of the dense ones'.
        clamp: bound of a scale's logarithm.

    Returns:
        An invertible network `[..., *shape] -> [..., d]`.

    Raises:
        ValueError: if sides are no multiples of four.

    References:
        Bungert (2021), section 2.2; two sizes and two dense couplings are its author's.
    """
    height, width, channels = shape
    if height % 4 or width % 4:
        raise ValueError(f"images of {height} x {width} pixels cannot be halved twice; give sides of multiples of 4.")

    def convolutional(first: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for seed in range(first, first + depth):
            coupling = AffineCoupling(ConvConditioner(features), flip=bool(seed % 2), clamp=clamp)
            layers += [ActNorm(axes=3), Permutation(seed), coupling]
        return layers

    last = (height // 4, width // 4, 8 * channels)
    dense = [
        layer
        for seed in (2 * depth, 2 * depth + 1)
        for layer in (Permutation(seed), AffineCoupling(DenseConditioner(widths), clamp=clamp))
    ]
    onward = ComposedBijection((SpaceToDepth(), *convolutional(depth), Flatten(last), *dense))
    return ComposedBijection(
        (SpaceToDepth(), *convolutional(0), Split(onward, (height // 2, width // 2, 4 * channels)))
    )
