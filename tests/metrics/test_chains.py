"""Chain diagnostics against ArviZ, and on chains with a known autocorrelation."""

import math
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import metrics

RNG = np.random.default_rng


def autoregressive(rng, chains, draws, coefficient):
    """Stationary AR(1) chains."""
    x = np.empty((chains, draws))
    x[:, 0] = rng.standard_normal(chains)
    for t in range(1, draws):
        x[:, t] = coefficient * x[:, t - 1] + math.sqrt(1 - coefficient**2) * rng.standard_normal(chains)
    return x


def stuck(rng):
    x = rng.standard_normal((4, 200))
    x[2] = 0.7
    return x


CASES = {
    "independent": lambda rng: rng.standard_normal((4, 500)),
    "odd": lambda rng: rng.standard_normal((3, 501)),
    "correlated": lambda rng: autoregressive(rng, 4, 1000, 0.9),
    "alternating": lambda rng: autoregressive(rng, 4, 1000, -0.7),
    "hardly moving": lambda rng: autoregressive(rng, 2, 300, 0.999),
    "apart": lambda rng: rng.standard_normal((4, 200)) + np.arange(4)[:, None],
    "of other widths": lambda rng: rng.standard_normal((4, 200)) * np.arange(1, 5)[:, None],
    "drifting": lambda rng: rng.standard_normal((4, 200)) + np.linspace(0, 3, 200),
    "heavy tails": lambda rng: rng.standard_cauchy((4, 400)),
    "one chain": lambda rng: autoregressive(rng, 1, 400, 0.5),
    "one stuck": stuck,
    "all stuck apart": lambda rng: np.repeat(rng.standard_normal((4, 1)), 100, 1),
    "rejections": lambda rng: np.repeat(autoregressive(rng, 4, 100, 0.5), 5, 1),
    "ties": lambda rng: rng.integers(0, 3, (4, 300)).astype(float),
    "two values": lambda rng: (rng.random((4, 300)) < 0.01).astype(float),
    "constant": lambda rng: np.full((4, 100), 2.5),
    "almost constant": lambda rng: 2.5 + 1e-17 * rng.standard_normal((4, 100)),
    "large offset": lambda rng: 1e6 + rng.standard_normal((4, 100)),
    **{f"{n} draws": lambda rng, n=n: rng.standard_normal((3, n)) for n in range(1, 14)},
    **{f"{n} draws of one chain": lambda rng, n=n: rng.standard_normal((1, n)) for n in (4, 5, 7, 10)},
    **{f"{n} correlated draws": lambda rng, n=n: autoregressive(rng, 4, n, 0.95) for n in (8, 9, 20, 21)},
    **{f"random {n}": lambda rng: autoregressive(rng, 4, rng.integers(5, 60), rng.uniform(-1, 1)) for n in range(40)},
}
DIAGNOSTICS = {"bulk": metrics.bulk_ess, "tail": metrics.tail_ess, "rhat": metrics.split_rhat}


@pytest.mark.parametrize("name", DIAGNOSTICS)
@pytest.mark.filterwarnings("ignore")  # ArviZ's own, and its dependencies'
def test_equal_to_arviz(name):
    arviz = pytest.importorskip("arviz", reason="ArviZ is not installed")
    reference = {
        "bulk": lambda x: arviz.ess(x, method="bulk"),
        "tail": lambda x: arviz.ess(x, method="tail", prob=(0.05, 0.95)),
        "rhat": lambda x: arviz.rhat(x, method="rank"),
    }[name]
    for number, (case, make) in enumerate(CASES.items()):
        x = make(RNG(number))
        value, expected = DIAGNOSTICS[name](x), reference(x)
        if expected > 1e6:  # no chain moves: a distance divided by the rounding error of the width
            assert value > 1e6, case
        else:
            np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=case)


@pytest.mark.parametrize("coefficient", [-0.5, 0.0, 0.5, 0.9])
def test_ess_of_an_autoregression(coefficient):
    """Each draw counts as (1 - c) / (1 + c); the estimate over 20 runs of 4 x 5,000 draws is within 5 %."""
    found = metrics.bulk_ess(np.stack([autoregressive(RNG(i), 4, 5000, coefficient) for i in range(20)], -1))
    assert found.shape == (20,)
    expected = 20_000 * (1 - coefficient) / (1 + coefficient)
    assert found.mean() == pytest.approx(expected, rel=0.05)


def test_ess_predicts_the_error_of_the_mean():
    """The variance of the mean over many runs is the variance of the distribution over the ESS."""
    runs = np.stack([autoregressive(RNG(i), 4, 500, 0.8) for i in range(400)], -1)
    worth = 1 / runs.mean((0, 1)).var()
    assert np.median(metrics.bulk_ess(runs)) == pytest.approx(worth, rel=4 * math.sqrt(2 / 400))


def test_rhat_detects_differences_of_location_scale_and_time():
    alike = RNG(0).standard_normal((4, 1000, 3))
    found = metrics.split_rhat(alike + np.array([0, 0.0, 1.0]) * np.arange(4)[:, None, None])
    assert found[:2].max() < 1.01
    assert found[2] > 1.3
    wider = alike * np.array([1.0, 1.0, 3.0, 3.0])[:, None, None]
    assert metrics.split_rhat(wider).min() > 1.05
    drifting = alike + np.linspace(0, 2, 1000)[:, None]
    assert metrics.split_rhat(drifting).min() > 1.1


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_every_number_is_treated_separately(name):
    x = np.stack([make(RNG(1)) for make in CASES.values() if make(RNG(1)).shape == (4, 200)], -1).reshape(4, 200, -1, 2)
    found = DIAGNOSTICS[name](x)
    assert found.shape == x.shape[2:]
    for place in np.ndindex(found.shape):
        np.testing.assert_allclose(found[place], DIAGNOSTICS[name](x[:, :, *place]), rtol=1e-12)
    assert DIAGNOSTICS[name](x[..., 0, 0]).shape == ()


@pytest.mark.parametrize("name", DIAGNOSTICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_draw_that_is_not_finite_gives_nan(name, bad):
    x = RNG(0).standard_normal((4, 50, 2))
    x[1, 7, 0] = bad
    found = DIAGNOSTICS[name](x)
    assert np.isnan(found[0])
    assert np.isfinite(found[1])


def test_acceptance_by_chain():
    np.testing.assert_allclose(metrics.acceptance_rate([[1.0, 0.5], [0.0, 0.0]]), [0.75, 0.0])
    for wrong in ([0.5], [[1.5]], [[np.nan]], np.zeros((2, 0))):
        with pytest.raises(ValueError, match="give probabilities, such as"):
            metrics.acceptance_rate(wrong)


@pytest.mark.parametrize("name", DIAGNOSTICS)
@pytest.mark.parametrize("shape", [(), (5,), (0, 5), (4, 0), (4, 5, 0)])
def test_arrays_without_chains_raise(name, shape):
    with pytest.raises(ValueError, match=r"`draws` must be a non-empty array \[chains, draws, ...\]"):
        DIAGNOSTICS[name](np.zeros(shape))


@pytest.mark.filterwarnings("ignore")
def test_chains_are_converted_to_arviz():
    arviz = pytest.importorskip("arviz", reason="ArviZ is not installed")
    x, rate = RNG(0).standard_normal((4, 100, 2)), RNG(1).random((4, 100))
    converted = metrics.to_arviz(x, acceptance_rate=rate)
    np.testing.assert_array_equal(converted["posterior"]["x"].values, x)
    np.testing.assert_array_equal(converted["sample_stats"]["acceptance_rate"].values, rate)
    np.testing.assert_allclose(arviz.summary(converted, round_to="none")["ess_bulk"], metrics.bulk_ess(x), rtol=1e-6)


class Draws(NamedTuple):
    loc: np.ndarray
    scale: jax.Array


def test_diagnostics_of_trees_have_their_structure():
    x, y = RNG(0).standard_normal((3, 40, 2)), jnp.asarray(RNG(1).standard_normal((3, 40)), jnp.bfloat16)
    for make in (Draws, lambda a, b: (a, b), lambda a, b: {"loc": a, "deep": {"scale": b}}, lambda a, b: [a, b]):
        for measure in DIAGNOSTICS.values():
            found = measure(make(x, y))
            expected = make(measure(x), measure(np.asarray(y, np.float64)))
            assert jax.tree.structure(found) == jax.tree.structure(expected)
            jax.tree.map(np.testing.assert_array_equal, found, expected)
    for wrong in ({"loc": np.zeros(3)}, {"loc": np.full((2, 5), None)}, np.array([["a", "b"]])):
        with pytest.raises(ValueError, match=r"must be a non-empty array \[chains, draws, ...\] of numbers"):
            metrics.split_rhat(wrong)


@pytest.mark.filterwarnings("ignore")
def test_each_leaf_is_a_variable_of_arviz():
    arviz = pytest.importorskip("arviz", reason="ArviZ is not installed")
    x, y = RNG(0).standard_normal((3, 40, 2)), jnp.asarray(RNG(1).standard_normal((3, 40)), jnp.bfloat16)
    for draws, names in (
        (Draws(x, y), ["loc", "scale"]),
        ((x, y), ["x0", "x1"]),
        ({"a": x, "b": {"c": (y,)}}, ["a", "b.c.x0"]),
    ):
        posterior = metrics.to_arviz(draws, acceptance_rate=y)["posterior"]
        assert sorted(posterior.data_vars) == names
        np.testing.assert_array_equal(posterior[names[0]].values, x)
        np.testing.assert_array_equal(posterior[names[1]].values, np.asarray(y, np.float32))
        assert posterior[names[1]].dtype == np.float32
    labelled = metrics.to_arviz(Draws(x, y), coords={"axis": ["east", "north"]}, dims={"loc": ["axis"]})
    assert labelled["posterior"]["loc"].dims == ("chain", "draw", "axis")
    np.testing.assert_array_equal(labelled["posterior"]["loc"].sel(axis="north").values, x[..., 1])
    assert list(arviz.summary(labelled).index) == ["loc[east]", "loc[north]", "scale"]
    with pytest.raises(ValueError, match=r"`dims` must name variables of \['loc', 'scale'\] \(got \['width'\]\)"):
        metrics.to_arviz(Draws(x, y), dims={"width": ["axis"]})
    for axes in ("axis", ["axis", "other"], []):
        with pytest.raises(ValueError, match="`dims` must give 'loc' a list of 1 names"):
            metrics.to_arviz(Draws(x, y), dims={"loc": axes})
    with pytest.raises(ValueError, match="equal numbers of chains and draws"):
        metrics.to_arviz({"a": x, "b": x[:, :9]})
    for rate in (y[:, :9], y[0], np.float32(0.5)):
        with pytest.raises(ValueError, match=r"statistics must be \[chains, draws, ...\] as the draws"):
            metrics.to_arviz(x, acceptance_rate=rate)


def test_a_missing_arviz_raises_with_the_command_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        metrics.to_arviz(np.zeros((2, 5)))
