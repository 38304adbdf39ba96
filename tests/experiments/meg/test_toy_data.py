"""The exact masses are those of the data, and samples of the truth keep to their peaks."""

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


def test_the_masses_are_those_of_the_data(kind):
    law, _ = kind
    grid = metrics.Grid(40, -2.0, 2.0)
    expected = law.masses(grid)
    assert np.isclose(expected.sum(), 1)
    counts = grid(law.toy(n=N, test_n=1).tables()[0]) * N
    likely = expected * N > 20
    statistic = np.sum((counts - expected * N)[likely] ** 2 / (expected * N)[likely])
    assert stats.chi2(likely.sum() - 1).sf(statistic) > 1e-4


def test_samples_of_the_truth_are_near_and_everywhere(kind):
    law, count = kind
    found = law.kept(law.toy(n=20_000, test_n=1).tables()[0])
    # A round normal has 1 - exp(-8) within 4 standard deviations; a line of them has a little more.
    assert abs(found["within"] - (1 - np.exp(-8))) < 5e-4 if count else found["within"] > 1 - np.exp(-8)
    assert found.get("found") == count


def test_a_missing_peak_and_a_sample_astray_are_seen():
    law = toy_data.EIGHT
    x = np.repeat(law.centres[:7], 100, 0)
    x[0] += 5 * law.deviation
    assert law.kept(x) == {"within": 699 / 700, "found": 7.0}
