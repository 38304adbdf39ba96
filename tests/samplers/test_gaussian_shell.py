"""Gaussian shells: directions, radii and whitening against their distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen import samplers


def test_directions_are_uniform_and_radii_as_given():
    radii = jnp.linspace(1, 5, 20_000)
    x = samplers.shell(jax.random.key(0), 20_000, dimensions=3, radius=radii)
    np.testing.assert_allclose(jnp.linalg.norm(x, axis=1), radii, rtol=1e-5)
    # On a sphere in three dimensions each coordinate is uniform (Archimedes); false alarms in 1 of 1,000.
    assert all(stats.kstest(x[:, i] / radii, stats.uniform(-1, 2).cdf).pvalue > 1e-3 / 3 for i in range(3))


@pytest.mark.parametrize("dimensions", [1, 2, 50])
def test_the_share_of_normal_samples_beyond_the_radius_is_the_tail(dimensions):
    norms = np.linalg.norm(np.random.default_rng(0).normal(size=(100_000, dimensions)), axis=1)
    beyond = (norms > samplers.chi_radius(0.01, dimensions=dimensions)).sum()
    assert stats.binomtest(int(beyond), 100_000, 0.01).pvalue > 1e-3


@pytest.mark.parametrize(("dimensions", "tolerance"), [(2, 0.02), (30, 0.05)])
def test_extreme_radii_follow_the_largest_of_many_norms(dimensions, tolerance):
    """The CDF of the largest of n norms is the chi CDF to the power n; the Gumbel distribution is close to it."""
    radii = np.asarray(samplers.extreme_radii(jax.random.key(0), 20_000, dimensions=dimensions, draws=1_000))
    test = stats.kstest(radii, lambda r: stats.chi.cdf(r, dimensions) ** 1_000)
    # 20,000 samples of the same distribution stay below 0.014 in 999 of 1,000 cases.
    assert test.statistic < tolerance + 0.014


def test_a_shell_with_chi_radii_is_standard_normal():
    radii = samplers.chi_radii(jax.random.key(1), 20_000, dimensions=5)
    assert stats.kstest(radii, stats.chi(5).cdf).pvalue > 1e-3
    x = samplers.shell(jax.random.key(2), 20_000, dimensions=5, radius=radii)
    assert all(stats.kstest(x[:, i], stats.norm.cdf).pvalue > 1e-3 / 5 for i in range(5))


def test_no_radius_is_negative():
    assert samplers.extreme_radii(jax.random.key(0), 1_000, dimensions=1, draws=2).min() >= 0


def test_bungert_radii_match_the_thesis():
    """In the plane with s = 3: location 3.77 and scale 0.177. For images of 32 x 32 with s = 1.5: a shell at 47.7.

    The first location was computed with sqrt(2) rounded to 1.4, which changes it by 0.045.
    """
    radii = np.asarray(samplers.bungert_radii(jax.random.key(0), 100_000, dimensions=2, factor=3))
    assert radii.mean() == pytest.approx(3.77 + 0.177 * np.euler_gamma, abs=0.05)
    assert radii.std() == pytest.approx(0.177 * np.pi / np.sqrt(6), abs=0.005)
    radii = np.asarray(samplers.bungert_radii(jax.random.key(0), 10_000, dimensions=1024, factor=1.5))
    assert radii.mean() == pytest.approx(47.7, abs=0.2)
    assert radii.std() < 0.06


def test_whitening_and_its_inverse():
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(4, 4))
    x = jnp.asarray(generator.normal(size=(500, 4)) @ matrix + 3, jnp.float32)
    transform = samplers.whitening(x, ridge=1e-7)
    z = np.asarray(transform.whiten(x), np.float64)
    np.testing.assert_allclose(np.cov(z.T), np.eye(4), atol=1e-3)
    np.testing.assert_allclose(transform.unwhiten(transform.whiten(x)), x, atol=1e-3)
    x = np.asarray(x, np.float64)
    centered = x - x.mean(0)
    mahalanobis = np.sqrt(np.einsum("ni,ij,nj->n", centered, np.linalg.inv(np.cov(x.T)), centered))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), mahalanobis, rtol=1e-3)


@pytest.mark.parametrize(("rows", "rank", "dimensions"), [(50, 1, 3), (50, 784, 784), (2_000, 20, 300), (5, 0, 2)])
def test_degenerate_samples_can_be_whitened(rows, rank, dimensions):
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(rows, rank)) @ generator.normal(size=(rank, dimensions)) + 1, jnp.float32)
    assert np.isfinite(samplers.whitening(x).root).all()


def test_samples_of_any_dtype_can_be_whitened(unchecked):
    x = np.random.default_rng(0).integers(9, size=(50, 3))
    expected = samplers.whitening(jnp.float32(x))
    for rows in (x, x.astype(np.float64), x.astype(np.uint8)):
        jax.tree.map(np.testing.assert_array_equal, samplers.whitening(rows), expected)


def test_bad_arguments_raise():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="`radius` must have shape"):
        samplers.shell(key, 3, dimensions=2, radius=jnp.ones(2))
    with pytest.raises(ValueError, match="`tail` must be between 0 and 1"):
        samplers.chi_radius(0.0, dimensions=2)
    for draws in (1, np.inf):
        with pytest.raises(ValueError, match=rf"`draws` must be finite and at least 2 \(got {draws}\)"):
            samplers.extreme_radii(key, 3, dimensions=2, draws=draws)
    for dimensions, factor in (
        (2, 1.5),
        (2, 1.0),
        (784, 1.01),
    ):  # their logarithms of the number of draws, 0.5, 0 and 0.08, are below ln 2
        with pytest.raises(ValueError, match="at least two draws"):
            samplers.bungert_radii(key, 3, dimensions=dimensions, factor=factor)
    for dimensions, factor in ((0, 3.0), (2, np.inf)):
        with pytest.raises(ValueError, match=r"must be (finite|a whole number)"):
            samplers.bungert_radii(key, 3, dimensions=dimensions, factor=factor)
    with pytest.raises(ValueError, match="at least 2 samples"):
        samplers.whitening(jnp.ones((1, 2)))


@pytest.mark.parametrize("dimensions", [0, -1, 1.5, np.nan])
def test_dimensions_are_whole_numbers(unchecked, dimensions):
    key = jax.random.key(0)
    for call in (
        lambda: samplers.shell(key, 3, dimensions=dimensions, radius=1.0),
        lambda: samplers.chi_radius(0.1, dimensions=dimensions),
        lambda: samplers.chi_radii(key, 3, dimensions=dimensions),
        lambda: samplers.extreme_radii(key, 3, dimensions=dimensions, draws=10),
        lambda: samplers.bungert_radii(key, 3, dimensions=dimensions, factor=3),
    ):
        with pytest.raises(ValueError, match=r"`dimensions` must be a whole number of at least 1"):
            call()


def test_radii_and_ridges_are_not_negative():
    for radius in (-1.0, jnp.array([1.0, -1.0]), float("nan")):
        with pytest.raises(ValueError, match="`radius` must not be negative"):
            samplers.shell(jax.random.key(0), 2, dimensions=2, radius=radius)
    with pytest.raises(ValueError, match="`ridge` must be finite and at least 0"):
        samplers.whitening(jnp.ones((3, 2)), ridge=-1.0)
