"""Standard normalizing flows of affine or spline couplings, for vectors and for images."""

import flax.linen as nn

from jaxgen.nets.bijections import ActNorm, Border, ComposedBijection, Flatten, Permutation, SpaceToDepth, Split
from jaxgen.nets.conditioners import ConvConditioner, DenseConditioner
from jaxgen.nets.coupling import AffineCoupling, CouplingStack
from jaxgen.nets.spline import SplineCoupling

__all__ = ["dense_flow", "image_flow", "spline_flow"]


def dense_flow(
    dimensions: int, *, depth: int = 8, widths: tuple[int, ...] = (128, 128), clamp: float = 2.0
) -> ComposedBijection:
    """Normalizing flow for vectors: activation normalization, then affine couplings of alternating halves.

    From three dimensions on, a fixed permutation of the features follows each pair of couplings but the last.

    Args:
        dimensions: d, number of features of a sample.
        depth: number of couplings.
        widths: hidden widths of the conditioner networks.
        clamp: bound on the log-scales.

    Returns:
        A bijection `[..., d] -> [..., d]`.

    Raises:
        ValueError: if `dimensions` is below 2 or `depth` is below 1.
    """
    return _stacked(AffineCoupling(DenseConditioner(widths), clamp=clamp), dimensions, depth)


def spline_flow(
    dimensions: int,
    *,
    depth: int = 6,
    widths: tuple[int, ...] = (64, 64),
    bins: int = 16,
    bound: float = 5.0,
) -> ComposedBijection:
    """Normalizing flow for vectors: activation normalization, then spline couplings of alternating halves.

    From three dimensions on, a fixed permutation of the features follows each pair of couplings but the last.

    Args:
        dimensions: d, number of features of a sample.
        depth: number of couplings.
        widths: hidden widths of the conditioner networks.
        bins: number of bins of each spline.
        bound: end of the interval that each spline transforms, in standard deviations of the first minibatch.

    Returns:
        A bijection `[..., d] -> [..., d]`.

    Raises:
        ValueError: if `dimensions` is below 2, `depth` or `bins` is below 1, or `bound` is not positive.

    References:
        Durkan, Bekasov, Murray and Papamakarios, Neural spline flows (2019), section 3.
    """
    return _stacked(SplineCoupling(DenseConditioner(widths), bins=bins, bound=bound), dimensions, depth)


def image_flow(
    shape: tuple[int, int, int],
    *,
    depth: int = 4,
    features: tuple[int, int] = (64, 64),
    widths: tuple[int, ...] = (256,),
    clamp: float = 1.5,
) -> ComposedBijection:
    """Multi-scale normalizing flow for images: affine couplings at a half and a quarter of the resolution.

    Activation normalization and a fixed permutation of the features precede each convolutional coupling. After the
    first resolution, half the features skip the remaining layers. Two dense couplings end the flow.

    If a side is not a multiple of 4, these layers transform the largest block of such sides at the top left. The up to
    three rows and columns of its border follow as a vector. Activation normalization and two dense couplings of all
    values then model the border conditional on the block, and the block conditional on the border.

    Args:
        shape: height, width and channels of an image; height and width must be at least 4.
        depth: number of couplings at each resolution.
        features: hidden features of the convolutional conditioner networks.
        widths: hidden widths of the dense conditioner networks.
        clamp: bound on the log-scales.

    Returns:
        A bijection `[..., *shape] -> [..., d]`.

    Raises:
        ValueError: if height or width is below 4.

    References:
        Bungert (2021), section 2.2, with its two resolutions and two dense couplings.
    """
    height, width, channels = shape
    if min(height, width) < 4:
        raise ValueError(
            f"image height and width must be at least 4 (got {height} x {width}); pad the images, or flatten them and "
            "use `spline_flow`."
        )
    if height % 4 or width % 4:
        block = (height - height % 4, width - width % 4, channels)
        onward = image_flow(block, depth=depth, features=features, widths=widths, clamp=clamp)
        couplings = [AffineCoupling(DenseConditioner(widths), flip=flip, clamp=clamp) for flip in (False, True)]
        return ComposedBijection((Border(onward, block, shape), ActNorm(), Permutation(2 * depth + 2), *couplings))

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


def _stacked(coupling: nn.Module, dimensions: int, depth: int) -> ComposedBijection:
    if dimensions < 2 or depth < 1:
        raise ValueError(
            f"`dimensions` must be at least 2 and `depth` at least 1 (got {dimensions} and {depth}); increase them."
        )
    return ComposedBijection((ActNorm(), CouplingStack(coupling, depth)))
