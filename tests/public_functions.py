"""One table of the package's public functions on small arrays, for properties that hold for all of them.

Each entry is a function of arrays alone and its arguments in double precision. Names of several words stand for several
public names, or for a variant. A public name that no table has makes `test_precision.py` fail.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import losses, methods, metrics, nets, samplers

KEY = jax.random.key(0)


class Case(NamedTuple):
    """A public function of arrays, and arguments."""

    function: Callable[..., Any]
    arguments: tuple[np.ndarray, ...]
    draws: bool = False  # draws random numbers, or calls a function in half precision: values differ between dtypes
    data: int | None = None  # number of leading arguments that are data; further ones are hyperparameters. None: all


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(0, scale, shape)


def shares(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).uniform(0, 1, shape)


X, Y, IMAGES, LEVELS = (
    numbers(8, 3),
    numbers(8, 3, seed=1),
    shares(8, 2, 2, 1),
    np.arange(32.0).reshape(8, 2, 2, 1) / 31,
)
VECTOR, OTHER = numbers(8, seed=2), numbers(8, seed=3)
MIXTURE = numbers(2), numbers(2, 3), np.tril(numbers(2, 3, 3)) * 0.3 + np.eye(3)
PROBABILITIES = np.full((8, 4), 0.25)
UNIT = {"bandwidth": 2.0}

quadratic = lambda x: jnp.sum(x**2, tuple(range(1, x.ndim))) / 2


def weighted(noise: Any) -> Any:
    """A generator of samples and logits that acts on each row alone, in the precision of the noise."""
    return jnp.tanh(noise) * 2, noise[:, 0] - noise[:, 1]


def weighted_in_single(noise: Any) -> Any:
    """The same in single precision or better."""
    return weighted(noise.astype(jnp.promote_types(noise.dtype, jnp.float32)))


LOSSES = {
    "bernoulli_log_likelihood": Case(losses.bernoulli_log_likelihood, (IMAGES, numbers(8, 2, 2, 1))),
    "bits_per_dimension": Case(lambda nats: losses.bits_per_dimension(nats, 12), (VECTOR,)),
    "discretized_gaussian_log_likelihood": Case(
        lambda x, mean, scale: losses.discretized_gaussian_log_likelihood(x, mean, log_scale=scale, levels=32),
        (LEVELS, IMAGES, np.array(-1.0)),
        data=2,
    ),
    "discretized_gaussian_log_likelihood narrow": Case(
        lambda x, mean: losses.discretized_gaussian_log_likelihood(x, mean, log_scale=0.5, levels=32), (LEVELS, IMAGES)
    ),
    "extreme_value": Case(losses.extreme_value, (X, Y, VECTOR)),
    "extreme_value own": Case(lambda *a: losses.extreme_value(*a, power=1.5), (X, numbers(8, 4, 3), numbers(8, 4))),
    "extreme_value_pool": Case(
        lambda noise, x: losses.extreme_value_pool(weighted_in_single, noise, x, chunk=4), (X, Y)
    ),
    "extreme_value_pool half": Case(
        lambda noise, x: losses.extreme_value_pool(weighted, noise, x, chunk=4), (X, Y), draws=True
    ),
    "flow_nll": Case(losses.flow_nll, (X, VECTOR)),
    "gaussian_kl": Case(
        lambda mean, log_variance, prior: losses.gaussian_kl(mean, log_variance, prior_mean=prior),
        (X, Y, numbers(3)),
        data=2,
    ),
    "gaussian_log_likelihood": Case(
        lambda x, mean, scale: losses.gaussian_log_likelihood(x, mean, log_scale=scale),
        (IMAGES, IMAGES, np.array(-1.0)),
        data=2,
    ),
    "gradient_penalty": Case(lambda x: losses.gradient_penalty(quadratic, x), (X,)),
    "jsd_mutual_information": Case(losses.jsd_mutual_information, (VECTOR, OTHER)),
    "median_bandwidth": Case(losses.median_bandwidth, (X, Y)),
    "median_bandwidth wide": Case(losses.median_bandwidth, (numbers(8, 10),)),
    "mixture_log_density": Case(
        lambda x, *mixture: losses.mixture_log_density(x, losses.GaussianMixture(*mixture)), (X, *MIXTURE)
    ),
    "mmd2": Case(lambda x, y, r: losses.mmd2(x, y, bandwidth=r), (X, Y, np.array([1.0, 4.0])), data=2),
    "mmd2_biased": Case(lambda x, y: losses.mmd2_biased(x, y, **UNIT, chunk=4), (X, Y)),
    "mmd2_linear": Case(lambda x, y: losses.mmd2_linear(x, y, **UNIT), (X, Y)),
    "nearest": Case(lambda x, pool: losses.nearest(x, pool, chunk=4), (X, Y)),
    "nearest wide": Case(losses.nearest, (numbers(8, 10), numbers(8, 10, seed=1))),
    "negative_prior_kl": Case(lambda *a: losses.negative_prior_kl(*a, shift=2.0), (X, Y)),
    "pixel_gradient_penalty": Case(lambda x: losses.pixel_gradient_penalty(quadratic, x), (IMAGES,)),
    "pixel_score_penalty": Case(lambda x: losses.pixel_score_penalty(quadratic, x), (IMAGES,)),
    "relativistic_average": Case(losses.relativistic_average, (VECTOR, OTHER)),
    "score_penalty": Case(lambda x: losses.score_penalty(quadratic, x), (X,)),
}


def normal_density(x: Any) -> Any:
    """Log-density in the precision of the position."""
    return -0.5 * jnp.sum(x**2)


def normal_density_in_single(x: Any) -> Any:
    """The same in single precision or better."""
    return normal_density(x.astype(jnp.promote_types(x.dtype, jnp.float32)))


def stepped(process: Any, steps: int = 3) -> Callable[[Any], Any]:
    """The state after a few steps inside one loop, whose state must keep its dtypes."""

    def run(position: Any) -> Any:
        step = lambda state, index: process.step(jax.random.fold_in(KEY, index), state)
        return jax.lax.scan(step, process.init(position), jnp.arange(steps))[0]

    return run


def moved(position: Any, noise: Any) -> Any:
    mala = samplers.MALA(normal_density_in_single, 0.1, 0.9)
    return mala.move(noise, jnp.float32(0.3), mala.init(position))[1].acceptance


ADAPTED = samplers.StepSizeAdaptation(lambda size: samplers.Chains(samplers.MALA(normal_density, size)))
SAMPLERS = {
    "MALA": Case(moved, (X[0], Y[0]), draws=True),  # its proposal is rounded to the precision of the position
    "chi_radii": Case(lambda: samplers.chi_radii(KEY, 4, dimensions=3), (), draws=True),
    "bungert_radii": Case(lambda: samplers.bungert_radii(KEY, 4, dimensions=3, factor=2), (), draws=True),
    "extreme_radii": Case(lambda: samplers.extreme_radii(KEY, 4, dimensions=3, draws=9), (), draws=True),
    "effective_sample_size": Case(samplers.effective_sample_size, (VECTOR,)),
    "latent_log_density": Case(
        lambda z: samplers.latent_log_density(lambda x: jnp.sum(x) * 2.0, jnp.tanh)(z), (X[0],), draws=True
    ),
    "nearest_log_density": Case(
        lambda distances: samplers.nearest_log_density(distances, pool_size=9, dimensions=2), (shares(8, 3) + 0.1,)
    ),
    "pushforward_log_density": Case(lambda z: samplers.pushforward_log_density(jnp.sinh, z), (X,)),
    "reject": Case(lambda weights: samplers.reject(KEY, weights), (VECTOR,), draws=True),
    "resample": Case(lambda weights: samplers.resample(KEY, weights, 5), (VECTOR,)),
    "shell": Case(lambda radius: samplers.shell(KEY, 8, dimensions=3, radius=radius), (shares(8),), draws=True),
    "tilted_log_density": Case(lambda z: samplers.tilted_log_density(jnp.sum, jnp.tanh)(z), (X[0],), draws=True),
    "whitening": Case(lambda x: samplers.whitening(x), (X,)),
    "whitening Whitening": Case(lambda x, y: samplers.whitening(x).whiten(y), (X, Y)),
    "Whitening": Case(
        lambda x, mean: samplers.Whitening(mean, jnp.eye(3, dtype=mean.dtype)).unwhiten(x), (X, numbers(3))
    ),
    "zador_log_weights": Case(lambda q: samplers.zador_log_weights(q, dimensions=2, power=2.0), (VECTOR,)),
}
# Processes: their states keep their dtypes.
PROCESSES = {
    "MALA": Case(stepped(samplers.MALA(normal_density, 0.1)), (X[0],)),
    "MALA tree": Case(
        lambda x, y: stepped(samplers.MALA(lambda p: normal_density(p[0]) - p[1] @ p[1], 0.1))((x, y)), (X[0], Y[0])
    ),
    "Chains": Case(stepped(samplers.Chains(samplers.MALA(normal_density, 0.1))), (X,)),
    "StepSizeAdaptation": Case(stepped(ADAPTED), (X,)),
}


LABELS = np.array([0, 1, 2, 3, 0, 1, 2, 3])
HISTOGRAMS = np.array([0.5, 0.25, 0.25, 0.0]), np.array([0.25, 0.25, 0.25, 0.25])
DRAWS = numbers(2, 8, 3)
# Metrics run on the host, in double precision: arguments of any width give the result of their double copies.
METRICS = {
    "Grid": Case(metrics.Grid(bins=4, low=-2.0, high=2.0), (X,)),
    "acceptance_rate": Case(metrics.acceptance_rate, (shares(2, 8),)),
    "auroc": Case(metrics.auroc, (VECTOR, OTHER)),
    "benjamini_hochberg": Case(metrics.benjamini_hochberg, (shares(8),)),
    "bootstrap": Case(lambda x, y: metrics.bootstrap(x, y, num_resamples=9), (VECTOR, OTHER)),
    "bulk_ess": Case(metrics.bulk_ess, (DRAWS,)),
    "conformal_p_values": Case(metrics.conformal_p_values, (VECTOR, OTHER)),
    "detection": Case(metrics.detection, (VECTOR, OTHER)),
    "expected_calibration_error": Case(lambda p: metrics.expected_calibration_error(p, LABELS), (PROBABILITIES,)),
    "fisher_distance": Case(metrics.fisher_distance, HISTOGRAMS),
    "frechet_distance": Case(metrics.frechet_distance, (X, Y)),
    "inception_score": Case(lambda p: metrics.inception_score(p, 2), (PROBABILITIES,)),
    "kl_divergence": Case(metrics.kl_divergence, HISTOGRAMS),
    "mass_off_support": Case(metrics.mass_off_support, HISTOGRAMS),
    "mmd2_variance": Case(lambda x, y: metrics.mmd2_variance(x, y, bandwidth=2.0), (X, Y)),
    "permutation_test": Case(lambda x, y: metrics.permutation_test(x, y, num_permutations=9).p_value, (X, Y)),
    "png_bits_per_dim": Case(metrics.png_bits_per_dim, (shares(2, 8, 8, 1),)),
    "sliced_wasserstein": Case(lambda x, y: metrics.sliced_wasserstein(x, y, num_projections=5), (X, Y)),
    "split_rhat": Case(metrics.split_rhat, (DRAWS,)),
    "tail_ess": Case(metrics.tail_ess, (DRAWS,)),
    "to_arviz": Case(lambda x: np.asarray(metrics.to_arviz(x)["posterior"]["x"], np.float64), (DRAWS,)),
    "typicality": Case(metrics.typicality, (VECTOR, OTHER)),
    "waic": Case(metrics.waic, (numbers(3, 8),)),
}


def of(network: nn.Module, **named: Any) -> Callable[..., Any]:
    """Output of a network with fresh parameters."""
    return lambda *inputs: network.init_with_output(KEY, *inputs, **named)[0]


def there_and_back(bijection: nn.Module) -> Callable[..., Any]:
    """Both directions of a bijection with fresh parameters."""

    def both(*inputs: Any) -> Any:
        (z, log_det), params = bijection.init_with_output(KEY, *inputs)
        return z, log_det, bijection.apply(params, z, *inputs[1:], method="inverse")

    return both


SMALL = nets.DenseConditioner((4,))
NETS = {
    "ActNorm": Case(there_and_back(nets.ActNorm()), (X,)),
    "AdditiveCoupling": Case(there_and_back(nets.AdditiveCoupling(SMALL)), (X,)),
    "Affine": Case(of(nets.Affine()), (X,)),
    "AffineCoupling DenseConditioner": Case(there_and_back(nets.AffineCoupling(SMALL)), (X, numbers(8, 2))),
    "AffineCoupling ConvConditioner": Case(
        there_and_back(nets.AffineCoupling(nets.ConvConditioner((4, 4)))), (numbers(2, 4, 4, 2), numbers(2, 2))
    ),
    "BatchNorm": Case(of(nets.BatchNorm()), (X,)),
    "Border": Case(there_and_back(nets.Border(nets.Flatten((1, 2, 1)), (1, 2, 1), (2, 2, 1))), (IMAGES,)),
    "ComposedBijection": Case(there_and_back(nets.ComposedBijection((nets.ActNorm(), nets.Permutation(0)))), (X,)),
    "ConvDecoder": Case(of(nets.ConvDecoder((4, 4, 1), 4, ((2, 3, 2),))), (X,)),
    "ConvEncoder": Case(of(nets.ConvEncoder(((2, 3, 2),), 2)), (numbers(2, 4, 4, 1),)),
    "ConvGenerator convolve_upsampled": Case(of(nets.ConvGenerator((4, 4, 1), (4, 4))), (X,)),
    "ConvNet": Case(of(nets.ConvNet((2,), (3,))), (numbers(2, 4, 4, 1),)),
    "ConvTrunk": Case(of(nets.ConvTrunk(((2, 3, 2),))), (numbers(2, 4, 4, 1),)),
    "CouplingStack": Case(there_and_back(nets.CouplingStack(nets.AffineCoupling(SMALL), 2)), (X, numbers(8, 2))),
    "Flatten": Case(there_and_back(nets.Flatten((2, 2, 1))), (IMAGES,)),
    "MLP": Case(of(nets.MLP((4, 2))), (X,)),
    "PairNet": Case(of(nets.PairNet(nets.MLP((4, 1)))), (X, Y)),
    "Permutation": Case(there_and_back(nets.Permutation(0)), (X,)),
    "SpaceToDepth": Case(there_and_back(nets.SpaceToDepth()), (IMAGES,)),
    "SplineCoupling": Case(there_and_back(nets.SplineCoupling(SMALL, bins=2)), (X, numbers(8, 2))),
    "spline_flow": Case(there_and_back(nets.spline_flow(3, depth=2, widths=(4,), bins=2)), (X,)),
    "Split": Case(there_and_back(nets.Split(nets.ActNorm(), (4,))), (numbers(8, 4),)),
    "TransposedConv": Case(of(nets.TransposedConv(2, 3, 2, (4, 4))), (IMAGES,)),
    "TransposedGenerator": Case(of(nets.TransposedGenerator((4, 4, 1), (4, 4), ((3, 2), (3, 2)))), (X,)),
    "UpsamplingDecoder": Case(of(nets.UpsamplingDecoder((4, 4, 1), (4, 4))), (X,)),
    "WeightedGenerator": Case(of(nets.WeightedGenerator(nets.MLP((4, 3)), nets.MLP((4, 1)))), (X,)),
    "dense_flow": Case(there_and_back(nets.dense_flow(3, depth=2, widths=(4,))), (X,)),
    "image_flow": Case(
        there_and_back(nets.image_flow((4, 4, 1), depth=1, features=(4, 4), widths=(4,))), (numbers(2, 4, 4, 1),)
    ),
}
INITIALIZERS = {name: getattr(nets, name) for name in (
    "glorot", "he_normal", "normal", "normal_around_one", "normal_var_002", "orthogonal", "torch_uniform",
    "torch_uniform_transposed",
)}  # fmt: skip


def observed(model: Any) -> Case:
    """Log-likelihood of rows under an observation model."""
    return Case(lambda x, made: model.log_likelihood(model.init(), x, made), (LEVELS, numbers(8, 2, 2, 1)))


def chained(z: Any) -> Any:
    return methods.LatentMCMC(2)(KEY, lambda x: jnp.sum(x**2), jnp.tanh, z)[1]


def candidates(kind: Any) -> Case:
    draw = lambda count: jnp.asarray(numbers(count, 3), jnp.float32)
    return Case(lambda x: kind(weighted, draw, jnp.zeros((len(x), 0), x.dtype), x, 2.0), (X,))


METHOD_PARTS = {
    "Bernoulli": observed(methods.Bernoulli()),
    "DequantizedGaussian": observed(methods.DequantizedGaussian()),
    "DequantizedGaussian preprocess": Case(
        lambda x: methods.DequantizedGaussian().preprocess(KEY, x), (IMAGES,), draws=True
    ),
    "DiscretizedGaussian": observed(methods.DiscretizedGaussian()),
    "Gaussian": observed(methods.Gaussian()),
    "LatentMCMC": Case(chained, (X,), draws=True),
    "NoisyData": Case(lambda x: methods.NoisyData().draw(KEY, x, lambda: x), (IMAGES,), draws=True),
    "PerTarget": candidates(methods.PerTarget(4)),
    "SharedPool": candidates(methods.SharedPool(8, chunk=4)),
    "UnboundedGaussian": observed(methods.UnboundedGaussian()),
    "Uniform": Case(lambda x: methods.Uniform().draw(KEY, x, lambda: x), (IMAGES,), draws=True),
    "interpolate_pixels": Case(lambda x, y: methods.interpolate_pixels(KEY, x, y), (X, Y), draws=True),
    "interpolate_rows": Case(lambda x, y: methods.interpolate_rows(KEY, x, y), (X, Y), draws=True),
    "pooled_median": Case(lambda x, y: methods.pooled_median(x, y, axis_name=None), (X, Y)),
}
PROMOTED = {
    f"{package} {name}": case
    for package, cases in (("losses", LOSSES), ("samplers", SAMPLERS), ("nets", NETS), ("methods", METHOD_PARTS))
    for name, case in cases.items()
}
# What only moves numbers, or transforms each of them, keeps their dtype.
KEEPING = {
    "nets LeakyReLU": Case(nets.LeakyReLU(0.2), (X,)),
    "nets convolve": Case(lambda x, k: nets.convolve(x, k, (1, 1), "SAME"), (IMAGES, numbers(2, 2, 1, 3))),
    "nets convolve_upsampled": Case(
        lambda x, k: nets.convolve_upsampled(x, k, (1, 1), "SAME"), (IMAGES, numbers(3, 3, 1, 3))
    ),
    "methods all_params": Case(lambda x: methods.all_params({"kernel": x}), (X,)),
    "methods shuffled_columns": Case(lambda x: methods.shuffled_columns(KEY, x), (X,), draws=True),
    "methods shuffled_rows": Case(lambda x: methods.shuffled_rows(KEY, x), (X,), draws=True),
    "methods weight_matrices": Case(lambda x: methods.weight_matrices({"kernel": x}), (X,)),
}
# Types of arguments and results, factories of networks, and what is tested on another line.
OTHERS = {
    "losses": {"ExtremeValue", "Field", "GaussianMixture", "Generate"},
    "samplers": {"DualAveragingState", "MALAInfo", "MALAState", "chi_radius", "zador_exponent"},
    "metrics": {"Coverage", "Detection", "Histogram", "Interval", "MeanStd", "PermutationTestResult", "mode_coverage"},
    "nets": {
        *("Autoencoder", "Bijection", "MEGNetworks", "autoencoder", "dense_autoencoder", "output_shape"),
        *("dense_meg_networks", "digit_meg_networks", "image_meg_networks", "photo_meg_networks"),
    },
    "methods": {"Auxiliary", "ModelSamples", "all_layers", "last_layer", "latent_outliers"},
}


def covered(package: str) -> set[str]:
    """Public names of a package that a table of this module has, apart from its methods."""
    tables: dict[str, Any] = {"metrics": METRICS, "samplers": PROCESSES, "nets": INITIALIZERS}
    names = [name for name in (*PROMOTED, *KEEPING) if name.startswith(package)]
    return {word for name in (*names, *tables.get(package, {})) for word in name.split()} | OTHERS[package]
