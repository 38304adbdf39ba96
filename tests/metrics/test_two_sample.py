"""Permutation test against loops, its level with and without ties, its power; variance of the MMD."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxgen import losses, metrics

GENERATOR = np.random.default_rng(0)


def plain_statistic(z, member, bandwidths):
    """The fused statistic by its definition, with loops over pairs."""
    n, m = member.sum(), (1 - member).sum()
    found = []
    for r in bandwidths:
        sums = {2: 0.0, 1: 0.0, 0: 0.0}
        square = 0.0
        for i, a in enumerate(z):
            for j, b in enumerate(z):
                if i != j:
                    kernel = np.exp(-np.sum((a - b) ** 2) / r)
                    sums[member[i] + member[j]] += kernel
                    square += kernel**2
        estimate = sums[2] / (n * (n - 1)) + sums[0] / (m * (m - 1)) - sums[1] / (n * m)
        found.append(estimate / np.sqrt(square / (len(z) * (len(z) - 1))))
    scale = np.sqrt(min(n, m) * (min(n, m) - 1))
    return special.logsumexp(scale * np.array(found), b=1 / len(found)) / scale


@pytest.mark.parametrize(("n", "m"), [(6, 6), (4, 7), (7, 3)])
def test_statistics_and_p_value_equal_those_of_a_loop(n, m):
    x, y, bandwidths = GENERATOR.normal(size=(n, 2)), 1 + GENERATOR.normal(size=(m, 2)), [0.5, 2.0, 9.0]
    found = metrics.permutation_test(x, y, bandwidths=bandwidths, num_permutations=19, seed=3, standardize=False)
    member = np.repeat([1, 0], [n, m])
    permuted = np.random.default_rng(3).permuted(np.tile(member, (19, 1)), axis=1)
    z = np.concatenate([x, y])
    null = [plain_statistic(z, each, bandwidths) for each in permuted]
    statistic = plain_statistic(z, member, bandwidths)
    np.testing.assert_allclose(found.statistic, statistic, atol=2e-6)
    np.testing.assert_allclose(found.null, np.sort(null), atol=2e-6)
    assert found.p_value == (1 + np.sum(np.array(null) >= statistic - 1e-6)) / 20


def test_with_one_bandwidth_it_is_the_test_of_its_estimate():
    x, y = GENERATOR.normal(size=(2, 30, 3))
    found = metrics.permutation_test(x, y, bandwidths=2.0, num_permutations=9, standardize=False)
    z = np.concatenate([x, y])
    squared = np.sum((z[:, None] - z[None]) ** 2, -1)[~np.eye(60, dtype=bool)]
    estimate = float(losses.mmd2(jnp.float32(x), jnp.float32(y), bandwidth=2.0))
    np.testing.assert_allclose(found.statistic, estimate / np.sqrt(np.mean(np.exp(-squared))), atol=2e-6)


def level(draw, *, num_permutations, draws=2_000, **named):
    """Count the rejections at 0.05 of two samples with the same distribution."""
    return sum(
        metrics.permutation_test(*draw(), num_permutations=num_permutations, seed=seed, **named).p_value <= 0.05
        for seed in range(draws)
    )


LOW, HIGH = stats.binom(2_000, 0.05).ppf([0.0005, 0.9995])  # one correct test in 1,000 fails


@pytest.mark.parametrize(("n", "m"), [(8, 8), (5, 11)])
def test_the_level_is_exact_without_ties(n, m):
    generator = np.random.default_rng(n)
    draw = lambda: (generator.normal(size=(n, 2)), generator.normal(size=(m, 2)))
    assert LOW <= level(draw, num_permutations=39, bandwidths=[0.5, 4.0]) <= HIGH


@pytest.mark.slow
def test_the_level_is_not_exceeded_with_ties_or_default_bandwidths():
    generator = np.random.default_rng(1)
    whole = lambda: (generator.integers(0, 2, (6, 1)), generator.integers(0, 2, (9, 1)))
    assert level(whole, num_permutations=39, bandwidths=[1.0]) <= HIGH
    table = np.random.default_rng(2)  # a column of few values, a mostly constant one, and one with distant rows
    mixed = lambda n: np.stack([table.integers(0, 3, n), table.random(n) < 0.2, table.standard_cauchy(n) ** 9], 1)
    assert level(lambda: (mixed(6), mixed(9)), num_permutations=19, draws=1_000) <= stats.binom(1_000, 0.05).ppf(0.9995)
    normal = lambda: generator.normal(size=(2, 7, 2))
    assert level(normal, num_permutations=30, draws=500) <= stats.binom(500, 0.05).ppf(0.9995)  # by the pooled median


def test_ties_make_the_p_value_larger():
    same = np.zeros((5, 2))
    found = metrics.permutation_test(same, same, bandwidths=1.0, num_permutations=99)
    assert found.p_value == 1
    apart = metrics.permutation_test(same, same + 3, bandwidths=1.0, num_permutations=99)
    assert apart.p_value < 0.1


def test_the_quantile_is_the_critical_value():
    null = np.arange(1.0, 100.0)
    found = metrics.PermutationTestResult(0.0, 1.0, null)
    for level_ in (0.01, 0.05, 0.1, 0.5):
        least = found.critical_value(level_)
        p_value = lambda statistic: (1 + np.sum(null >= statistic)) / 100
        assert p_value(least + 0.5) <= level_ < p_value(least)
    assert found.critical_value(0.009) == np.inf


def test_quantile_and_p_value_agree_with_ties():
    generator = np.random.default_rng(5)
    for seed in range(60):
        x, y = generator.integers(0, 2, (2, 10, 1))
        found = metrics.permutation_test(x, y, bandwidths=1.0, num_permutations=19, seed=seed)
        assert (found.p_value <= 0.05) == (found.statistic > found.critical_value(0.05))
        assert (found.p_value <= 0.5) == (found.statistic > found.critical_value(0.5))


def test_default_bandwidths_are_positive_if_most_pairs_are_equal():
    rare = lambda share: (np.arange(40) < 40 * share).astype(float)[:, None]
    assert metrics.permutation_test(rare(0.05), rare(0.4), num_permutations=99).p_value <= 0.02


@pytest.mark.parametrize("scale", [1e-24, 1e20])
def test_units_do_not_matter(scale):
    x, y = GENERATOR.normal(size=(2, 20, 2))
    test = functools.partial(metrics.permutation_test, num_permutations=19)
    for standardize in (True, False):
        scaled = test(scale * x, scale * y, standardize=standardize)
        np.testing.assert_allclose(scaled.null, test(x, y, standardize=standardize).null, atol=1e-5)
    variance = metrics.mmd2_variance(scale * x, scale * y, bandwidth=2 * scale**2)
    np.testing.assert_allclose(variance, metrics.mmd2_variance(x, y, bandwidth=2.0), rtol=1e-4)


def test_neither_units_nor_a_distant_row_hide_a_difference():
    generator = np.random.default_rng(7)
    x, y = generator.normal(size=(2, 50, 2))
    y[:, 0] += 3
    in_other_units, with_distant_row = np.array([1, 1e6]), x.copy()
    with_distant_row[0] = 1e12
    assert metrics.permutation_test(x * in_other_units, y * in_other_units, num_permutations=199).p_value == 1 / 200
    assert metrics.permutation_test(with_distant_row, y, num_permutations=199).p_value == 1 / 200
    raw = metrics.permutation_test(x * in_other_units, y * in_other_units, num_permutations=199, standardize=False)
    assert raw.p_value > 0.05


def test_columns_are_compared_in_units_of_their_pooled_scale():
    x, y = GENERATOR.normal(size=(2, 15, 3)) * [1, 1e-3, 1e150]
    x[:, 2] = np.where(np.arange(15) < 3, x[:, 2], 0)  # its median absolute deviation and quartiles are 0
    x, y = np.insert(x, 1, 7.0, 1), np.insert(np.where([1, 1, 0], y, 0), 1, 7.0, 1)  # a constant column
    pooled = np.concatenate([x, y])
    centered = pooled - np.median(pooled, 0)
    scale = np.median(np.abs(centered), 0)
    scale[[1, 3]] = 1, np.abs(centered[:, 3]).mean()
    z = centered / scale
    found = metrics.permutation_test(x, y, bandwidths=[1.0, 4.0], num_permutations=19, seed=1)
    raw = metrics.permutation_test(
        z[:15], z[15:], bandwidths=[1.0, 4.0], num_permutations=19, seed=1, standardize=False
    )
    np.testing.assert_allclose(found.null, raw.null, atol=2e-6)
    assert found.p_value == raw.p_value


def test_it_has_power_against_a_difference_of_scale():
    power = np.mean(
        [
            metrics.permutation_test(
                GENERATOR.normal(size=(40, 2)), 1.7 * GENERATOR.normal(size=(40, 2)), num_permutations=99, seed=seed
            ).p_value
            <= 0.05
            for seed in range(40)
        ]
    )
    assert power > 0.6


def test_the_variance_is_that_over_samples():
    draw = lambda n, shift: shift + GENERATOR.normal(size=(n, 1))
    estimate = functools.partial(losses.mmd2, bandwidth=2.0)
    draws = [(draw(60, 0), draw(90, 1.0)) for _ in range(1_000)]
    values = jax.vmap(estimate)(*(jnp.float32(np.array(part)) for part in zip(*draws, strict=True)))
    estimated = np.mean([metrics.mmd2_variance(x, y, bandwidth=2.0) for x, y in draws[:200]])
    np.testing.assert_allclose(estimated, np.var(np.float64(values)), rtol=0.15)


def test_the_variance_equals_that_of_a_loop():
    x, y, r = GENERATOR.normal(size=(4, 2)), GENERATOR.normal(size=(6, 2)), 1.5
    kernel = lambda a, b: np.exp(-np.sum((a - b) ** 2) / r)
    rest = lambda rows, i: [b for j, b in enumerate(rows) if j != i]
    each = lambda rows, others: [
        2 * (np.mean([kernel(a, b) for b in rest(rows, i)]) - np.mean([kernel(a, b) for b in others]))
        for i, a in enumerate(rows)
    ]
    expected = np.var(each(x, y), ddof=1) / 4 + np.var(each(y, x), ddof=1) / 6
    np.testing.assert_allclose(metrics.mmd2_variance(x, y, bandwidth=r), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.permutation_test(np.ones((1, 2)), np.ones((5, 2))), "1 and 5"),
        (lambda: metrics.permutation_test(np.ones((5, 2)), np.ones((5, 3))), r"\[n, d\] and \[m, d\]"),
        (lambda: metrics.permutation_test(np.ones((5, 2)), np.full((5, 2), np.nan)), "not finite"),
        (lambda: metrics.permutation_test(np.ones((5, 2)), np.full((5, 2), np.inf)), "not finite"),
        (
            lambda: metrics.permutation_test(*GENERATOR.normal(size=(2, 5, 2)), num_permutations=0),
            "must be at least 1 .got 0",
        ),
        (
            lambda: metrics.permutation_test(*GENERATOR.normal(size=(2, 5, 2)), bandwidths=[1, -1]),
            "must be positive numbers",
        ),
        (
            lambda: metrics.permutation_test(*GENERATOR.normal(size=(2, 5, 2)), bandwidths=[]),
            "positive numbers .* with k >= 1",
        ),
        (lambda: metrics.mmd2_variance(np.ones((5, 2)), np.ones((1, 2)), bandwidth=1.0), "5 and 1"),
        (
            lambda: metrics.mmd2_variance(*GENERATOR.normal(size=(2, 5, 2)), bandwidth=-1.0),
            r"`bandwidth` must be positive \(got -1.0\)",
        ),
        (
            lambda: metrics.PermutationTestResult(0.0, 1.0, np.zeros(9)).critical_value(1.0),
            r"`level` must be between 0 and 1 \(got 1.0\)",
        ),
    ],
)
def test_bad_samples_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
