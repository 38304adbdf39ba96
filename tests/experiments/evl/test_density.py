"""The experiment end to end, with few steps and guesses; its estimators against known answers."""

import json

import numpy as np
import pytest
from scipy import stats

from experiments.common import cache
from experiments.evl import density, density_cells, density_data
from jaxgen import metrics

LINE = metrics.Grid(100, -5.0, 5.0)


@pytest.mark.slow
def test_every_cell_is_measured_written_and_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(density_cells, "DRAWS", 2000)
    monkeypatch.setattr(density_cells, "WEIGHED", 500)
    monkeypatch.setattr(density_cells, "LATTICE", {1: metrics.Grid(50, -5.0, 5.0), 2: metrics.Grid(8, -4.0, 4.0)})
    monkeypatch.setattr(density_cells, "RESOLVED", 8)
    monkeypatch.setattr(density_cells, "POWERS", (2.0,))
    experiment = density.Experiment(
        networks=("own", "shared", "valley"),
        guesses=(8,),
        planar=(),
        shown=8,
        num_seeds=1,
        steps=10,
        cache_dir=tmp_path / "runs",
        output_dir=tmp_path,
    )
    (table,) = experiment.run()
    # Two of the law, two shared, a valley; weights: three and a floor, one, three; three controls in each dimension.
    assert len(table.rows) == (2 + 2 + 1) + (2 * 4 + 2 * 1 + 3) + 6
    assert all(np.isfinite(values).all() for row in table.rows for values in row.values.values())
    written = json.loads((tmp_path / "density.json").read_text())
    assert [row["title"] for row in written["rows"]] == [row.title for row in table.rows]
    assert len(written["cells"]["d1_r2_k8"]) == 1
    assert (tmp_path / "density.png").stat().st_size > 10_000
    assert "learned weights" in capsys.readouterr().out
    monkeypatch.setattr(cache, "write_whole", None)  # again: no network is trained or measured a second time
    assert experiment.run()[0].rows == table.rows


@pytest.mark.parametrize("exponent", [0.0, 1 / 3, 0.8, 1.0])
def test_the_fit_recovers_known_slopes(exponent):
    masses = np.diff(stats.norm.cdf(np.linspace(-5, 5, 101)))
    shares = masses**exponent / np.sum(masses**exponent)
    assert density_data.slope(shares, 10**9, masses) == pytest.approx(exponent, abs=1e-6)
    n = 200_000
    draws = np.random.default_rng(0).multinomial(n, shares) / n
    assert density_data.slope(draws, n, masses) == pytest.approx(exponent, abs=0.02)  # four sigma


def test_masses_are_those_that_points_have():
    two = density_data.Hills(n=1, test_n=1, apart=4.0)
    n = 400_000
    assert two.masses(LINE).sum() == pytest.approx(1)
    np.testing.assert_allclose(LINE(two.points(n)), two.masses(LINE), atol=4 * np.sqrt(0.03 / n))


def mean_least(masses, places, shares, guesses, power, draws=4000):
    """E min |x - y|^r by drawing guesses and looking at each."""
    generator = np.random.default_rng(1)
    total = 0.0
    for _ in range(draws):
        chosen = places[generator.choice(len(places), guesses, p=shares), 0]
        x = places[generator.choice(len(places), 50, p=masses), 0]
        total += np.mean([min(abs(a - b) for b in chosen) ** power for a in x])
    return total / draws


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_exact_optimum_follows_the_law(power):
    grid = metrics.Grid(400, -5.0, 5.0)
    masses = density_data.Hills().masses(grid)
    places = (grid.low + (np.arange(grid.bins) + 0.5) / 40)[:, None]
    shares = density_data.optimum(masses, places, 32, power)
    assert shares.sum() == pytest.approx(1)
    # Guesses are a fifteenth apart in the middle, a third at the region's edge, and three cells of the lattice or more:
    # both cost the law one or two hundredths (0.482 and 0.327 here; halving the cells gives 0.486 for power 1).
    assert density_data.slope(shares, 10**12, masses) == pytest.approx(1 / (1 + power), abs=0.025)
    assert not density_data.empty(shares, masses)


LATTICE = metrics.Grid(14, -3.5, 3.5)
CENTERS = LATTICE.low + (np.arange(14) + 0.5) / 2
PLANE = np.stack(np.meshgrid(CENTERS, CENTERS, indexing="ij"), -1).reshape(-1, 2)


@pytest.mark.parametrize(("dimensions", "places"), [(1, CENTERS[:, None]), (2, PLANE)])
def test_the_exact_optimum_does_not_depend_on_where_it_is_looked_for(dimensions, places):
    masses = density_data.Hills(dimensions=dimensions).masses(LATTICE)
    inside = density_data.fitted(masses)
    uneven = np.random.default_rng(0).uniform(0.1, 10, len(masses))
    found = [
        density_data.optimum(masses, places, 16, 1.0, start=start) for start in (None, np.ones(len(masses)), uneven)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other[inside], found[0][inside], rtol=0.02, atol=1e-5)  # some are empty in the plane


def test_an_optimum_that_is_not_found_is_told(monkeypatch):
    monkeypatch.setattr(density_data, "CORRECTIONS", 1)
    with pytest.raises(RuntimeError, match="found within 1 corrections"):
        density_data.optimum(density_data.Hills().masses(LATTICE), CENTERS[:, None], 16, 1.0)


def test_few_guesses_leave_the_edge_of_the_region_empty():
    masses = density_data.Hills().masses(LATTICE)
    assert density_data.empty(density_data.optimum(masses, CENTERS[:, None], 3, 1.0), masses)
    assert not density_data.empty(masses, masses)


def test_the_exact_optimum_is_better_than_its_rivals():
    grid = metrics.Grid(40, -4.0, 4.0)
    masses = density_data.Hills().masses(grid)
    places = (grid.low + (np.arange(grid.bins) + 0.5) / 5)[:, None]
    shares = density_data.optimum(masses, places, 6, 2.0)
    found = mean_least(masses, places, shares, 6, 2.0, 400)
    for rival in (masses, np.full(40, 1 / 40)):
        assert found < 0.95 * mean_least(masses, places, rival, 6, 2.0, 400)


def test_bad_choices_are_an_error():
    with pytest.raises(SystemExit, match="networks must be among own, shared, valley"):
        density.Experiment(networks=("gan",))
    with pytest.raises(SystemExit, match="shown must be one of guesses"):
        density.Experiment(shown=5)
