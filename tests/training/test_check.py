"""`jaxgen.check` on models that are right, collapsed or too broad, and its p-values against enumeration."""

import dataclasses
import itertools
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen import data, methods, optim
from jaxgen.training.advice import scale_advice
from jaxgen.training.check import _p_value

X = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class WithoutDensity:
    """Normal samples of a known mean and scale; nothing is trained."""

    shift: float = 0.0
    scale: float = 1.0
    learning_rate: float | optim.Schedule = 1e-3
    axis_name: str | None = None

    def resolve(self, *row_specs):
        return self

    def init(self, key, rows):
        return jnp.zeros(rows.shape[1])

    def step(self, key, state, rows):
        return state, {"loss": jnp.zeros(())}

    def sample(self, key, state, n):
        return self.shift + self.scale * jax.random.normal(key, (n, *state.shape))


@dataclasses.dataclass(frozen=True)
class Known(WithoutDensity):
    """The same with a density."""

    def log_prob(self, state, x):
        z = (x - self.shift) / self.scale
        return jnp.sum(-0.5 * z**2 - jnp.log(self.scale) - 0.5 * jnp.log(2 * jnp.pi), -1)


def result(method, steps=0, **changes):
    config = jaxgen.Config(method, data.Arrays(X), steps=40, steps_per_call=40, batch_size=4, layout=tiny.ONE)
    made = jaxgen.untrained(config)
    return dataclasses.replace(made, history={"loss": np.zeros((1, steps))} if steps else {}, **changes)


@pytest.mark.parametrize("quantile", [0.99, 0.7])
def test_p_values_are_valid_by_enumeration(quantile):
    """All 126 orders of 5 own and 4 other distances are equally likely: P(p <= u) <= u, with equality at each p."""
    pooled = np.arange(9.0)
    p_values = []
    for others in itertools.combinations(range(9), 4):
        own = np.setdiff1d(pooled, pooled[list(others)])
        p_values.append(_p_value(pooled[list(others)], own, quantile))
    for u in np.unique(p_values):
        assert np.mean(np.array(p_values) <= u) == pytest.approx(u)
    assert len(np.unique(p_values)) == 5


def test_ties_do_not_reject():
    assert _p_value(np.zeros(50), np.zeros(50)) == 1


def test_a_right_model_passes():
    report = jaxgen.check(result(Known(), 40), X)
    assert report.passed.all()
    assert report.advice == ""
    assert report.num_rows == 200
    assert report.off_data[0] < 0.04
    assert report.missed[0] < 0.04
    assert report.sliced_wasserstein[0] < 2 * report.floor
    expected = np.mean(-0.5 * (X.astype(np.float64) ** 2).sum(1) - np.log(2 * np.pi))
    np.testing.assert_allclose(report.log_likelihood, [expected], rtol=1e-5)
    assert "rejected" in str(report)


def test_a_right_model_is_rejected_at_most_at_the_level():
    """At level 0.3, 60 checks reject 18 times at most on average; 28 is three standard deviations above."""
    rejected = 0
    right = result(WithoutDensity())
    for number in range(60):
        draws = np.random.default_rng(number).normal(size=(2, 80, 2))
        with warnings.catch_warnings(action="ignore"):
            report = jaxgen.check(right, draws[0], samples=draws[1:], level=0.3, num_permutations=19, seed=number)
        rejected += int(not report.passed[0])
    assert rejected <= 28


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        (Known(scale=0.02), "misses .* of the data"),
        (Known(scale=8.0), "of its samples off the data"),
        (Known(shift=0.6), "can be distinguished from the data|off the data|misses"),
    ],
)
def test_wrong_models_are_rejected_with_one_sentence(method, fault):
    with pytest.warns(UserWarning, match=rf"^The model of seed 0 .*{fault}.*; let the learning rate fall.*\.$"):
        report = jaxgen.check(result(method, 40), X)
    assert not report.passed.any()
    assert report.sliced_wasserstein[0] > 2 * report.floor
    assert str(report).endswith(report.advice)


def test_a_collapsed_seed_among_right_ones_is_named():
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(3, 400, 2))
    samples[1] = 0.5 + 0.01 * rng.normal(size=(400, 2))
    three = jaxgen.untrained(
        jaxgen.Config(Known(), data.Arrays(X), steps=9, steps_per_call=9, batch_size=4, num_seeds=3, layout=tiny.ONE)
    )
    with pytest.warns(UserWarning, match=r"seed 1 misses .* finish the run, which has done 0 of 9 steps\."):
        report = jaxgen.check(three, X, samples=samples)
    np.testing.assert_array_equal(report.passed, [True, False, True])
    assert report.missed[1] > 0.5


def test_the_remedy_reads_the_history():
    falling = np.linspace(2, 1, 200)[None] + 0.01 * np.random.default_rng(0).normal(size=(1, 200))
    rate = optim.Cosine(1e-3, 40)
    for history, method, remedy in [
        (falling, Known(scale=0.1), "still falling at the end, so train longer, such as steps=80"),
        (np.ones((1, 200)), Known(scale=0.1, learning_rate=rate), "use a larger network"),
    ]:
        wrong = dataclasses.replace(result(method), history={"loss": history})
        with pytest.warns(UserWarning, match=remedy):
            jaxgen.check(wrong, X)


def test_the_figure_is_written(tmp_path):
    jaxgen.check(result(Known(), 40), X[:, :1], samples=X[None, :, 1:]).plot(tmp_path / "check.png")
    assert (tmp_path / "check.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (X[:39], {}, "n >= 40"),
        (np.full((50, 2), np.nan), {}, "must be finite"),
        (X, {"level": 1.0}, "between 0 and 1"),
        (X, {"num_permutations": 99}, "at least 3 / level - 1 = 299"),
        (X, {"samples": X[None, :300]}, "m >= 400"),
        (X[:, :1], {"samples": X[None]}, "of the same shape"),
        (X, {"samples": np.full((1, 400, 2), np.inf)}, "all samples must be finite"),
    ],
)
def test_unsuitable_arguments_raise(rows, options, message):
    with pytest.raises(ValueError, match=message):
        jaxgen.check(result(Known()), rows, **options)


def test_rows_that_are_not_one_array_of_numbers_raise():
    with pytest.raises(TypeError, match="must be one array"):
        jaxgen.check(result(Known()), (X, X[:, 0]))
    with pytest.raises(TypeError, match="must be numbers"):
        jaxgen.check(result(Known()), np.array([["a"]] * 50))


SCALES = np.array([1.0, 1000.0, 0.001], np.float32)
UNSCALED = np.random.default_rng(2).normal(size=(400, 3)).astype(np.float32) * SCALES
GIVEN = [methods.EVL, methods.MEG, methods.WGANGP, methods.RelativisticGAN, methods.MMDMap, methods.Classifier]


@pytest.mark.parametrize("kind", GIVEN, ids=lambda kind: kind.__name__)
def test_methods_that_use_columns_as_given_need_similar_scales(kind):
    advice = scale_advice(kind(), (UNSCALED,))
    low, high = (re.escape(f"{std:.2g}") for std in (UNSCALED[:, 2].std(), UNSCALED[:, 1].std()))
    assert re.fullmatch(
        r"scale the columns .*sklearn.preprocessing.StandardScaler, as "
        rf"{kind.__name__} uses them as given \(got standard deviations from {low} to {high}\)",
        advice,
    )
    labels = np.arange(400)
    assert scale_advice(kind(), ((UNSCALED, labels),)) == advice
    for scaled in (UNSCALED / SCALES, X, np.zeros((9, 2), np.float32), UNSCALED[:, :1], UNSCALED[:, :, None]):
        assert scale_advice(kind(), (scaled,)) == ""
    pixels = np.zeros((500, 2), np.float32)
    pixels[0, 0], pixels[::2, 1] = 1 / 255, 1  # the darkest and the brightest
    outlier = np.concatenate([X, [[1e6, 0]]]).astype(np.float32)
    outlier /= outlier.std(0)
    assert scale_advice(kind(), (pixels,)) == scale_advice(kind(), (outlier,)) == ""


def test_methods_that_scale_columns_need_no_scaling():
    for method in (methods.Flow(), methods.MixtureDensity(), Known()):
        assert scale_advice(method, (UNSCALED,)) == ""


@dataclasses.dataclass(frozen=True)
class AsGiven(WithoutDensity):
    """Columns of a method that uses them as given."""

    uses_columns_as_given = True


def test_columns_of_different_scale_are_advised_in_training_and_in_the_check():
    config = jaxgen.Config(AsGiven(), data.Arrays(UNSCALED), steps=1, steps_per_call=1, batch_size=4, layout=tiny.ONE)
    message = "scale the columns .* as AsGiven uses them as given"
    with pytest.warns(UserWarning, match=f"^Columns have very different scales; {message}"):
        trained = jaxgen.train(config, progress=False)
    with pytest.warns(UserWarning, match=f"^The model of seed 0 .*; {message}"):
        jaxgen.check(trained, UNSCALED)


def test_all_rejected_seeds_are_named_and_a_right_model_is_described():
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(3, 400, 2))
    samples[0] += 1
    samples[2] *= 0.01
    three = jaxgen.untrained(
        jaxgen.Config(Known(), data.Arrays(X), steps=9, steps_per_call=9, batch_size=4, num_seeds=3, layout=tiny.ONE)
    )
    with pytest.warns(UserWarning, match=r"^The models of seeds 0 and 2 are rejected, and that of seed . "):
        report = jaxgen.check(three, X, samples=samples)
    np.testing.assert_array_equal(report.passed, [False, True, False])
    lines = {line[:22].strip(): line[22:].split() for line in str(report).splitlines()[:-1]}
    assert lines["samples off the data"][:2] == lines["data not reached"][:2] == ["near", "1.0%"]
    assert lines["two-sample p-value"][:2] == ["above", "0.00333"]
    assert lines["sliced Wasserstein"][:2] == ["near", f"{report.floor:.3g}"]
