"""Detector: scikit-learn's estimator checks, false positive rate, saving and pickling."""

import copy
import dataclasses
import pickle
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import PowerTransformer, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import jaxgen
from jaxgen import methods, metrics, nets
from jaxgen.detector.configuration import training_config

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(200, 3)) * [1.0, 1e-3, 1e4] + [0.0, 5.0, -1e5]
NEW = GENERATOR.normal(size=(50, 3)) * [1.0, 1e-3, 1e4] + [0.0, 5.0, -1e5]
FAR = NEW + np.array([[1e3, 0.0, 0.0]])


@dataclasses.dataclass(frozen=True)
class Norms(tiny.Mean):
    """Fits a mean that its scores do not depend on.

    Attributes:
        grain: scores are rounded to multiples of it; 0 does not round.
        broken: the squared norm above which a score is NaN.
    """

    grain: float = 0.0
    broken: float = float("inf")

    def scores(self, state: Any, x: Any) -> dict[str, Any]:
        square = jnp.sum(x**2, -1)
        rounded = jnp.round(square / self.grain) * self.grain if self.grain else square
        return {"square": jnp.where(square > self.broken, jnp.nan, rounded), "largest": jnp.max(jnp.abs(x), -1)}


def detector(method: Any = Norms(), **changes: Any) -> jaxgen.Detector:
    return jaxgen.Detector(method, **{"steps": 2, "batch_size": 8, "random_state": 0, **changes})


# Two steps of a minimal method, since the checks concern the interface. Of 10 rows, 5 calibrate alpha=0.2.
@parametrize_with_checks([detector(calibration_fraction=0.5, alpha=0.2)])
def test_scikit_learn_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("rows", "alpha"), [(95, 0.1), (40, 0.25)])
def test_the_false_positive_rate_is_alpha(rows, alpha, monkeypatch):
    """Over calibration sets, the number of false positives is beta-binomial, with a mean share of at most alpha.

    The scores do not depend on training, so the model is trained once to save compilation.
    """
    trained = detector().fit(X[:, :2]).result_
    monkeypatch.setattr("jaxgen.detector.novelty.train", lambda config, progress: trained)
    generator, fits, new = np.random.default_rng(1), 300, 500
    draw = lambda n: generator.standard_t(3, size=(n, 2))
    positives = [np.sum(detector(alpha=alpha).fit(draw(rows)).predict(draw(new)) == -1) for _ in range(fits)]
    calibration = {95: 19, 40: 8}[rows]
    allowed = {95: 2, 40: 2}[rows]  # p-values of at most alpha: 1/20 and 2/20, 1/9 and 2/9
    expected = stats.betabinom(new, allowed, calibration + 1 - allowed)
    assert expected.mean() / new <= alpha + 1e-9
    assert abs(np.mean(positives) - expected.mean()) < 4 * expected.std() / np.sqrt(fits)
    assert stats.kstest(positives, expected.cdf).pvalue > 1e-4


@pytest.mark.parametrize("grain", [0.0, 0.5, 3.0, 1e9])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 1 / 3, 0.9])
def test_an_outlier_is_a_row_with_a_small_p_value_also_with_ties(grain, alpha):
    fitted = detector(Norms(grain=grain), alpha=alpha).fit(X)
    x = np.concatenate([X, NEW, FAR])
    p_values = fitted.p_values(x)
    np.testing.assert_array_equal(fitted.predict(x) == -1, p_values <= alpha)
    np.testing.assert_array_equal(fitted.decision_function(x) < 0, p_values <= alpha)
    counted = [(1 + np.sum(fitted.calibration_ >= -score)) / 41 for score in fitted.score_samples(x)]
    np.testing.assert_allclose(p_values, counted, rtol=1e-12)


def test_score_samples_are_minus_the_method_s_scores():
    fitted = detector(score_name="largest").fit(X)
    scaled = (NEW - fitted.scaler_[-1].mean_) / fitted.scaler_[-1].scale_
    np.testing.assert_allclose(fitted.score_samples(NEW), -np.abs(scaled).max(1), rtol=1e-5)
    np.testing.assert_allclose(detector().fit(X).score_samples(NEW), -np.sum(scaled**2, 1), rtol=1e-5)


def test_units_and_constant_columns_change_nothing():
    fitted = detector().fit(X)
    for factors in (np.array([2.0**20, 1, 2.0**-30]), np.array([1e6, 1e-9, 3.6])):
        other = detector().fit(X * factors[None])
        np.testing.assert_allclose(other.score_samples(NEW * factors), fitted.score_samples(NEW), rtol=1e-4)
        np.testing.assert_array_equal(other.predict(NEW * factors), fitted.predict(NEW))
    wider = lambda x, last: np.concatenate([x, np.full((len(x), 1), last)], 1)
    other = detector().fit(wider(X, 1e9))
    np.testing.assert_array_equal(other.score_samples(wider(NEW, 1e9)), fitted.score_samples(NEW))


@pytest.mark.parametrize("scaler", [None, StandardScaler()])
def test_a_new_value_in_a_constant_column_has_the_least_p_value(scaler):
    wider = lambda x, last: np.concatenate([x, np.full((len(x), 1), last)], 1)
    fitted = detector(scaler=scaler).fit(wider(X, 0.1))
    np.testing.assert_array_equal(fitted.p_values(wider(NEW, 0.1 + 1e-9)), 1 / 41)
    np.testing.assert_array_equal(fitted.predict(wider(X[:5], 7.0)), -1)
    assert np.mean(fitted.predict(wider(X, 0.1)) == 1) > 0.8


@pytest.mark.filterwarnings("ignore:.*calibration rows differ in a column")
def test_constant_columns_keep_the_false_positive_rate(monkeypatch):
    """A column that is 1 in a few rows is constant in some training sets and not in others."""
    generator = np.random.default_rng(4)
    draw = lambda n: np.concatenate([generator.normal(size=(n, 2)), generator.random((n, 1)) < 0.01], 1)
    trained = detector().fit(X).result_
    monkeypatch.setattr("jaxgen.detector.novelty.train", lambda config, progress: trained)
    fits = [detector(scaler=StandardScaler()).fit(draw(95)) for _ in range(300)]
    assert 50 < sum(np.isfinite(fitted.constants_[2]) for fitted in fits) < 250
    rates = [np.mean(fitted.predict(draw(500)) == -1) for fitted in fits]
    assert np.mean(rates) < 0.1 + 4 * np.std(rates) / np.sqrt(300)
    assert np.mean(rates) > 0.05


def test_equal_random_states_give_equal_detectors():
    first, second, third = (detector(random_state=state).fit(X) for state in (3, 3, 4))
    np.testing.assert_array_equal(first.score_samples(NEW), second.score_samples(NEW))
    np.testing.assert_array_equal(first.result_.state.params, second.result_.state.params)
    assert np.any(first.calibration_ != third.calibration_)


def test_batches_are_limited_by_rows_and_steps_are_rounded_up():
    config = detector(batch_size=256, steps=1_009).fit(X).result_.config
    assert (config.batch_size, config.steps, config.steps_per_call) == (160, 1_011, 337)
    rows = np.ones((23, 3), np.float32)
    assert training_config(detector(tiny.meg(n_critic=5), batch_size=256), rows, 0).batch_size == 20


def test_large_tables_are_scored_in_pieces(monkeypatch):
    fitted = detector().fit(X)
    whole = fitted.score_samples(NEW)
    monkeypatch.setattr("jaxgen.detector.scoring.PIECE", 7)
    np.testing.assert_allclose(fitted.score_samples(NEW), whole, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_a_row_without_a_finite_score_is_an_outlier():
    fitted = detector().fit(X)
    np.testing.assert_array_equal(fitted.predict(np.full((2, 3), 1e300)), -1)
    assert np.isfinite(fitted.decision_function(np.full((2, 3), -1e300))).all()
    np.testing.assert_array_equal(detector(Norms(broken=1e4)).fit(X).predict(FAR), -1)
    with pytest.raises(ValueError, match=r"scores of the calibration set must be finite \(got 40 of 40"):
        detector(Norms(broken=-1.0)).fit(X)


def test_far_outliers_are_found_among_clusters():
    """Rows between clusters are normal in every single column, so the joint density must be learned."""
    generator = np.random.default_rng(2)
    centers = np.array([[-1.0, -1.0], [1.0, 1.0]])
    rows = lambda n: centers[generator.integers(2, size=n)] + 0.1 * generator.normal(size=(n, 2))
    flow = methods.Flow(nets.dense_flow(2, depth=4, widths=(16,)), learning_rate=5e-3)
    fitted = detector(flow, steps=400, batch_size=128).fit(rows(600))
    outliers = np.array([[-1.0, 1.0], [1.0, -1.0], [30.0, 0.0], [-2.5, -2.5]])
    assert metrics.auroc(-fitted.score_samples(rows(300)), -fitted.score_samples(outliers)) > 0.95
    assert np.all(fitted.predict(outliers) == -1)


@pytest.fixture(scope="module")
def default():
    return jaxgen.Detector(steps=2, random_state=0).fit(X)


def test_the_default_is_a_blend_of_flows_and_neighbors(default):
    fitted = default
    config = fitted.result_.config
    assert isinstance(config.method, methods.Flow)
    assert (config.num_seeds, fitted.blend_.num_neighbors) == (4, 3)
    assert config.method.noise == 0.47  # 6 / sqrt(160), which exceeds 0.4 * 160 ** (-1 / 7)
    assert (
        training_config(detector(None), np.ones((10_000, 3), np.float32), 0).method.noise == 0.11
    )  # 0.4 * 1e4 ** (-1 / 7)
    scaled = jnp.asarray(fitted._scaled(NEW))
    flows = np.mean([config.method.scores(fitted.result_.state_of(seed), scaled)["nll"] for seed in range(4)], 0)
    blend = fitted.blend_
    z = (flows - blend.score_scale[0]) / blend.score_scale[1]
    expected = np.sign(z) * np.log(1 + np.abs(z)) / 3 + 2 / 3 * blend.distances(np.asarray(scaled))
    np.testing.assert_allclose(-fitted.score_samples(NEW), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"default flow needs two columns that vary .*; give another method"):
        detector(None).fit(X[:, :1])


def test_the_default_false_positive_rate_is_alpha_and_its_threshold_the_quantile(default, monkeypatch):
    """The blend uses training rows alone, so the calibration scores are those of new rows."""
    trained = default.result_  # saves compilation
    monkeypatch.setattr("jaxgen.detector.novelty.train", lambda config, progress: trained)
    generator = np.random.default_rng(3)
    new = generator.normal(size=(4_000, 3))
    rates, ratios = [], []
    for rows in (50, 50, 50, 1_000):
        fitted = jaxgen.Detector(steps=2, calibration_fraction=0.5, random_state=0)
        fitted.fit(generator.normal(size=(rows, 3)))
        rates.append(np.mean(fitted.predict(new) == -1))
        ratios.append(fitted.offset_ / np.quantile(fitted.score_samples(new), 0.1))
    assert abs(np.mean(rates[:3]) - 2 / 26) < 0.1  # of 25 calibration rows, p <= 0.1 is beyond the second largest
    assert abs(rates[3] - 0.1) < 4 * np.sqrt(0.09 / 500)
    assert 1 / 1.5 < ratios[3] < 1.5


def test_saved_default_detectors_are_equal(default, tmp_path):
    fitted = default
    fitted.save(tmp_path / "detector")
    loaded = jaxgen.Detector.load(tmp_path / "detector")
    for other in (loaded, pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.score_samples(NEW), fitted.score_samples(NEW))


@pytest.mark.slow
def test_explanations_name_the_planted_column():
    """Correlated columns: the planted value is far from its conditional mean, and only one column is changed."""
    generator = np.random.default_rng(5)
    factors = generator.normal(size=(3, 20))
    draw = lambda n: generator.normal(size=(n, 3)) @ factors + 0.5 * generator.normal(size=(n, 20))
    fitted = jaxgen.Detector(random_state=0).fit(draw(500))
    planted, column = draw(100), generator.integers(20, size=100)
    planted[np.arange(100), column] += 6 * np.sqrt((factors**2).sum(0) + 0.25)[column]
    explanation = fitted.explain(planted)
    top = [f"column {number}" for number in column]
    assert np.mean([a == b for a, b in zip(explanation.top(), top, strict=True)]) >= 0.95
    assert explanation.values.shape == (100, 20)


def test_contributions_of_a_sum_of_squares_are_known():
    pandas = pytest.importorskip("pandas")
    frame = lambda x: pandas.DataFrame(x, columns=["width", "mass", "charge"])
    fitted = detector(score_name="square").fit(frame(X))
    explanation = fitted.explain(frame(NEW))
    scaler = fitted.scaler_[-1]
    scaled, typical = ((x - scaler.mean_) / scaler.scale_ for x in (NEW, fitted.typical_))
    np.testing.assert_allclose(explanation.values, scaled**2 - (typical**2).min(0), rtol=1e-3, atol=1e-4)
    first = ["width", "mass", "charge"][np.argmax(explanation.values[0])]
    assert repr(explanation).startswith(f"row 0: {first} ")
    assert "... 30 more rows" in repr(explanation)
    axes = explanation.plot(0)
    assert axes.get_yticklabels()[-1].get_text() == first
    assert len(axes.patches) == 3


def test_new_values_in_constant_columns_contribute_most():
    wider = lambda x, *last: np.concatenate([x, np.tile(last, (len(x), 1))], 1)
    fitted = detector().fit(wider(X, 1.0, 2.0))
    explanation = fitted.explain(wider(NEW, 1.5, 2.5))
    assert np.all(explanation.values[:, 3:] > 1e30)
    np.testing.assert_array_equal(explanation.values[:, :3], fitted.explain(wider(NEW, 1.0, 2.0)).values[:, :3])


@pytest.mark.parametrize(
    "scaler",
    [None, StandardScaler(), RobustScaler(), QuantileTransformer(n_quantiles=50), PowerTransformer()],
    ids=lambda scaler: type(scaler).__name__,
)
def test_saved_and_pickled_detectors_are_equal(scaler, tmp_path):
    import pandas

    frame = lambda x: pandas.DataFrame(x, columns=["width", "mass", "charge"])
    fitted = detector(score_name="largest", scaler=scaler).fit(frame(X))
    fitted.save(tmp_path / "detector")
    for other in (
        jaxgen.Detector.load(tmp_path / "detector", trusted=(__name__,)),
        pickle.loads(pickle.dumps(fitted)),
        copy.copy(fitted),
    ):
        np.testing.assert_array_equal(other.p_values(frame(NEW)), fitted.p_values(frame(NEW)))
        np.testing.assert_array_equal(other.predict(frame(NEW)), fitted.predict(frame(NEW)))
        assert repr(other) == repr(fitted)
        assert list(other.feature_names_in_) == ["width", "mass", "charge"]
    with pytest.raises(ValueError, match="feature names"):
        other.predict(pandas.DataFrame(NEW, columns=["a", "b", "c"]))


def test_rows_are_not_saved(tmp_path):
    detector().fit(X).save(tmp_path / "detector")
    files = [file.read_bytes() for file in (tmp_path / "detector").rglob("*") if file.is_file()]
    assert sum(map(len, files)) < 50_000
    learned = jaxgen.Detector.load(tmp_path / "detector", trusted=(__name__,))._scaled(X)
    assert not any(row.tobytes() in file for row in learned for file in files)


def test_saving_replaces_detectors_and_nothing_else(tmp_path):
    first, second = detector().fit(X), detector(random_state=1).fit(X)
    first.save(tmp_path / "detector")
    second.save(tmp_path / "detector")
    loaded = jaxgen.Detector.load(tmp_path / "detector", trusted=(__name__,))
    np.testing.assert_array_equal(loaded.calibration_, second.calibration_)
    assert [file.name for file in tmp_path.iterdir()] == ["detector"]
    second.result_.save(tmp_path / "result")
    with pytest.raises(FileExistsError, match="is not a detector of jaxgen; choose another path"):
        first.save(tmp_path / "result")
    assert jaxgen.load(tmp_path / "result", trusted=(__name__,)).steps == 2
    with pytest.raises(FileNotFoundError, match="holds no detector of jaxgen"):
        jaxgen.Detector.load(tmp_path / "result")
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="cannot be written"):
        first.save(tmp_path / "file" / "detector")
    whole = (tmp_path / "detector" / "detector.npz").read_bytes()
    damaged = [("detector.npz", whole[: len(whole) // 2]), *(("detector.json", text) for text in (b"{", b"{}", b"[]"))]
    for name, content in damaged:
        (tmp_path / "detector" / name).write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read"):
            jaxgen.Detector.load(tmp_path / "detector", trusted=(__name__,))


@pytest.mark.filterwarnings("ignore:.*cannot be imported by name")
def test_a_detector_with_a_lambda_is_not_saved(tmp_path):
    method = dataclasses.replace(tiny.meg(critic=nn.Dense(1), generator=nn.Dense(3)), optimizer=lambda r: optax.sgd(r))
    fitted = detector(method, steps=1).fit(X)
    with pytest.raises(ValueError, match=r"method.optimizer must be plain data or importable by name"):
        fitted.save(tmp_path / "detector")
    assert not (tmp_path / "detector").exists()
    np.testing.assert_array_equal(copy.copy(fitted).score_samples(NEW), fitted.score_samples(NEW))


def test_a_clone_shares_its_frozen_method():
    fitted = detector(tiny.meg(), scaler=StandardScaler()).set_params(alpha=0.3)
    other = clone(fitted)
    assert other.method is fitted.method
    assert other.scaler is not fitted.scaler
    assert repr(other) == repr(fitted)


def test_bad_input_raises_one_clear_sentence():
    with pytest.raises(ValueError, match="contains NaN"):
        detector().fit(np.where(X > 1, np.nan, X))
    with pytest.raises(ValueError, match="infinity"):
        detector().fit(X).predict(np.full((1, 3), np.inf))
    with pytest.raises(ValueError, match="2 features, but Detector is expecting 3"):
        detector().fit(X).predict(X[:, :2])
    with pytest.raises(ValueError, match="minimum of 3 is required"):
        detector().fit(X[:2])
    with pytest.raises(ValueError, match=r"training rows must differ \(got 16 equal rows\)"):
        detector().fit(np.ones((20, 2)))
    with pytest.raises(ValueError, match=r"score of Norms \(got 'energy'\); try one of \['square', 'largest'\]"):
        detector(score_name="energy").fit(X)
    with pytest.raises(TypeError, match=r"`method` is the class Flow; call it, as Flow\(\)"):
        detector(methods.Flow).fit(np.random.default_rng(0).normal(size=(20, 2)))
    with pytest.raises(TypeError, match=r"`method` must have `scores` \(got EVL\)"):
        detector(methods.EVL()).fit(X)
    with pytest.raises(TypeError, match="use tuples instead of lists"):
        detector(methods.OutlierDiscriminator(nets.MLP([8, 1]))).fit(X)
    for wrong in ({"alpha": 1.0}, {"calibration_fraction": 0.0}, {"steps": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} == "):
            detector(**wrong).fit(X)
    with pytest.raises(NotFittedError):
        detector().predict(X)


def test_too_small_a_calibration_set_warns_and_finds_no_outlier():
    with pytest.warns(UserWarning, match=r"calibration set of 4 rows has no p-value below 1 / 5, .* at alpha=0.1"):
        fitted = detector().fit(X[:20])
    np.testing.assert_array_equal(fitted.predict(NEW + 1e6), 1)
    np.testing.assert_allclose(fitted.p_values(FAR), 1 / 5)
    assert np.all(detector(alpha=0.2).fit(X[:20]).predict(FAR) == -1)
