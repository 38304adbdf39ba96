"""Cell probabilities agree with samples, and samples of the distribution cover its peaks."""

import numpy as np
import pytest
from scipy import stats

from experiments.meg import toy_data
from jaxgen import metrics

KINDS = {"eight": (toy_data.EIGHT, 8), "twenty-five": (toy_data.TWENTY_FIVE, 25), "roll": (toy_data.ROLL, None)}
N = 200_000


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_cell_probabilities_are_those_of_the_data(kind):
    distribution, _ = kind
    grid = metrics.Grid(40, -2.0, 2.0)
    expected = distribution.cell_probabilities(grid)
    assert np.isclose(expected.sum(), 1)
    counts = grid(distribution.toy(n=N, test_n=1).tables()[0]) * N
    likely = expected * N > 20
    statistic = np.sum((counts - expected * N)[likely] ** 2 / (expected * N)[likely])
    assert stats.chi2(likely.sum() - 1).sf(statistic) > 1e-4


def test_samples_of_the_distribution_are_near_and_everywhere(kind):
    distribution, count = kind
    found = distribution.coverage(distribution.toy(n=20_000, test_n=1).tables()[0])
    # An isotropic Gaussian has 1 - exp(-8) within 4 standard deviations; a curve of them has a little more.
    assert abs(found["within"] - (1 - np.exp(-8))) < 5e-4 if count else found["within"] > 1 - np.exp(-8)
    assert found.get("covered") == count


def test_a_missing_peak_and_an_outlier_are_counted():
    distribution = toy_data.EIGHT
    x = np.repeat(distribution.centers[:7], 100, 0)
    x[0] += 5 * distribution.std
    assert distribution.coverage(x) == {"within": 699 / 700, "covered": 7.0}
