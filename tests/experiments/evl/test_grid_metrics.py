"""Ways to count draws, against loops over guesses whose weights are known."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from experiments.evl import grid_metrics
from jaxgen import data, metrics

PLACES = np.array([-1.5, -0.5, 0.5, 1.5])
WEIGHTS = np.array([1.0, 2.0, 3.0, 4.0])
GRID = metrics.Grid(4, -2.0, 2.0)  # a cell for each place


class WeightedSamples(NamedTuple):
    samples: Any
    log_weights: Any


@dataclasses.dataclass(frozen=True)
class Known:
    """Guesses four places alike, and knows how much each weighs; the bandwidth moves all of them."""

    bandwidth: float = 0.0
    scale: float = 1.0  # of the weights
    axis_name: str | None = None

    def weighted_samples(self, key: Any, state: Any, n: int) -> WeightedSamples:
        which = jax.random.randint(key, (n,), 0, 4)
        block = jax.random.uniform(jax.random.fold_in(key, 1), minval=-9.0, maxval=9.0)  # weights of a block of its own
        log_weights = jnp.log(self.scale * jnp.asarray(WEIGHTS, jnp.float32))[which] + block
        return WeightedSamples(jnp.asarray(PLACES, jnp.float32)[which][:, None] + self.bandwidth, log_weights)

    def sample(self, key: Any, state: Any, n: int) -> Any:
        return self.weighted_samples(key, state, n).samples

    def resolve(self, *row_specs: Any) -> Any:
        return self

    init = step = sample  # never called


def result(**fields):
    """A result of zero steps."""
    config = jaxgen.Config(Known(**fields), data.Arrays(np.zeros((300, 1), np.float32)))
    return jaxgen.Result(config, np.zeros(1), {}, ())


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(grid_metrics, "GRID", GRID)
    monkeypatch.setattr(grid_metrics, "BLOCK", 2000)
    monkeypatch.setattr(grid_metrics, "POINTS", 1000)


def blocks(method):
    """Guesses and plain weights of each block, in double precision."""
    for block in range(grid_metrics.BLOCKS):
        made = method.weighted_samples(jax.random.key(block), None, grid_metrics.BLOCK)
        yield np.asarray(made.samples, float)[:, 0], np.exp(np.asarray(made.log_weights, float))


def test_guesses_are_counted_by_their_weights_block_by_block():
    found = grid_metrics.weigh(result())
    shares, worth = np.zeros(4), []
    for places, weights in blocks(Known()):
        for cell, place in enumerate(PLACES):
            shares[cell] += sum(weights[places == place]) / sum(weights) / grid_metrics.BLOCKS
        worth.append(sum(weights) ** 2 / sum(weights**2) / len(weights))
    np.testing.assert_allclose(found.shares, shares, rtol=1e-5)
    np.testing.assert_allclose(found.share, np.mean(worth), rtol=1e-5)
    assert found.points.shape == (1000, 1)
    picked = np.array([np.mean(found.points[:, 0] == place) for place in PLACES])
    assert np.all(np.abs(picked - WEIGHTS / 10) < 4 * np.sqrt(0.24 / 1000) + 0.05)  # of points, and of the first block


def test_rejection_keeps_in_proportion():
    found = grid_metrics.reject(result())
    expected = WEIGHTS / WEIGHTS.sum()
    assert np.all(np.abs(found.shares - expected) < 4 * np.sqrt(expected * (1 - expected) / 8000))
    made = 8000 / found.share  # or more
    mean = np.mean(WEIGHTS / WEIGHTS.max())
    assert abs(found.share - mean) < 4 * 0.5 / np.sqrt(made)
    assert found.points.shape == (1000, 1)


def test_bare_guesses_have_no_bandwidth():
    wide = result(bandwidth=1.0)
    np.testing.assert_array_equal(grid_metrics.bare(wide).shares, grid_metrics.weigh(result()).shares)
    assert grid_metrics.weigh(wide).shares[0] == 0  # all are one cell further


def test_draws_weigh_alike():
    found = grid_metrics.count_samples(result())
    points = result().sample(jax.random.key(0), 8000, batch_size=2000)[0, :, 0]
    shares = [np.mean(points == place) for place in PLACES]
    np.testing.assert_allclose(found.shares, shares, rtol=1e-6)
    assert found.share == 1


def test_scores_by_hand():
    found = grid_metrics.score(np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.3, 0.5]))
    kl = 0.5 * np.log(0.5 / 0.4) + 0.5 * np.log(0.5 / 0.6)  # the model's two fifths and three fifths of half its mass
    fisher = 2 * np.arccos(np.sqrt(0.1) + np.sqrt(0.15))
    assert found == pytest.approx({"kl": kl, "fisher": fisher, "off": 0.5})


@dataclasses.dataclass(frozen=True)
class Quarters:
    """Test points in every cell alike."""

    def test(self) -> np.ndarray:
        return np.repeat(PLACES, 5)[:, None]


def test_samples_of_a_model_without_steps_are_scored(tmp_path):
    measures = grid_metrics.measured_points(Quarters(), lambda toy: np.repeat(PLACES, [1, 1, 1, 2])[:, None], tmp_path)
    assert measures["kl"] == pytest.approx(-sum(0.25 * np.log(4 * share) for share in (0.2, 0.2, 0.2, 0.4)))
    assert sorted(map(tuple, measures["points"])) == [(-1.5,), (-0.5,), (0.5,), (1.5,), (1.5,)]
    assert measures["seconds"] >= 0


def test_another_grid_does_not_train_again(tmp_path, monkeypatch):
    rows = data.SwissRoll(n=100, test_n=200)
    config = dataclasses.replace(tiny.config(tiny.evl(), num_seeds=1, steps=8, steps_per_call=2), data=rows)
    monkeypatch.setattr(grid_metrics, "GRID", metrics.Grid(5))
    first = grid_metrics.measured(config, tmp_path / "training")
    assert [at["step"] for at in first["curve"]] == [2, 4, 6, 8]
    assert first["seconds"] > 0
    monkeypatch.setattr(grid_metrics, "GRID", metrics.Grid(6))
    steps = []
    train = jaxgen.train
    recorded = lambda *given, callback, **named: train(*given, callback=lambda at, result: steps.append(at), **named)
    monkeypatch.setattr(jaxgen, "train", recorded)
    second = grid_metrics.measured(config, tmp_path / "training")
    assert steps == []
    assert second["kl"] != first["kl"]
    assert "seconds" not in second
    assert [at["step"] for at in second["curve"]] == [8]


def test_the_bandwidth_is_the_residual():
    """The root mean square over the last steps of the distance per coordinate, which the history holds."""
    trained = jaxgen.train(tiny.config(tiny.evl(), num_seeds=1), progress=False)
    wanted = np.sqrt(np.mean(trained.history["distance"][0]))  # all steps, being fewer than 500
    np.testing.assert_allclose(grid_metrics.widened(trained).config.method.bandwidth, wanted, rtol=1e-6)


@pytest.mark.parametrize("way", [grid_metrics.weigh, grid_metrics.reject])
def test_weights_that_are_not_finite_are_told(way):
    with pytest.raises(FloatingPointError, match="see whether training diverged"):
        way(result(scale=float("nan")))
