"""Arguments of the wrong kind end in a sentence that names them and says what to give."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgen
from jaxgen import data, methods, optim, parallel

X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
KEY = jax.random.key(0)
METHOD = methods.Archetypes(2, steps=1)


@pytest.fixture(autouse=True)
def without_type_checks(unchecked):
    """As users meet the functions: their arguments are not checked against type hints."""


def config(**changes):
    settings = {"steps": 1, "batch_size": 8, "steps_per_call": 1, "layout": jaxgen.Layout(devices=1)}
    return jaxgen.Config(METHOD, data.Arrays(X), **{**settings, **changes})


@functools.cache
def trained():
    return jaxgen.train(config(), progress=False)


CONFIGS = {
    "steps": [True, 1.0, None],
    "batch_size": [True, "8"],
    "num_seeds": [True],
    "steps_per_call": [True],
    "shuffle": [None, "no", 1],
    "layout": [None, "pmap", jaxgen.Layout, 1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in CONFIGS for value in CONFIGS[name]])
def test_fields_of_a_config(name, value):
    with pytest.raises((TypeError, ValueError), match=rf"`{name}` must be .* \(got "):
        config(**{name: value})
    assert config(shuffle=np.False_).shuffle is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("devices", 1.5),
        ("devices", "1"),
        ("devices", True),
        ("seeds", "batched"),
        ("transform", None),
        ("transform", 1),
    ],
)
def test_fields_of_a_layout(name, value):
    with pytest.raises(TypeError, match=rf"`{name}` must be .*; use "):
        jaxgen.Layout(**{name: value})
    assert jaxgen.Layout(parallel.serial, parallel.sharded, 1).devices == 1


@pytest.mark.parametrize("wrong", [None, METHOD, jaxgen.Config, {}])
def test_a_config_is_needed(wrong, tmp_path):
    trained().save(tmp_path / "run")
    for call in (jaxgen.train, jaxgen.untrained, lambda wrong: jaxgen.load(tmp_path / "run", config=wrong or 0)):
        with pytest.raises(TypeError, match=r"`config` must be a Config \(got .*jaxgen.Config\(method, data\)"):
            call(wrong)


def test_callbacks_are_functions():
    with pytest.raises(TypeError, match="`callback` must be a function of step and result"):
        jaxgen.train(config(), callback="print")


@pytest.mark.parametrize("wrong", [1, b"run", True, ""])
def test_paths_are_not_empty_and_not_bytes(wrong, tmp_path, monkeypatch):
    """An empty path is the current directory, whose content a result would replace."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("kept")
    for call in (
        lambda: jaxgen.train(config(), progress=False, checkpoint_dir=wrong),
        lambda: trained().save(wrong),
        lambda: jaxgen.load(wrong),
        lambda: jaxgen.Detector.load(wrong),
    ):
        with pytest.raises((TypeError, ValueError), match="a path must "):
            call()
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_only_a_result_is_replaced(tmp_path, monkeypatch):
    """A run in a directory with other files puts a description there; a result must not replace the whole directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("kept")
    jaxgen.train(config(), progress=False, checkpoint_dir=".")
    for path in (".", tmp_path):
        with pytest.raises(FileExistsError, match=r"nothing but a result of jaxgen.*also holds \['mine.txt'\]"):
            trained().save(path)
    assert (tmp_path / "mine.txt").read_text() == "kept"
    (tmp_path / "mine.txt").unlink()
    trained().save(pathlib.Path("."))  # over the run's own files
    monkeypatch.chdir(tmp_path)  # the directory was replaced, and Python 3.13.0 imports nothing in one that is gone
    assert jaxgen.load(tmp_path).steps == 1


@pytest.mark.parametrize("wrong", [None, 1, np, (np,), ("",), {"numpy"}])
def test_trusted_modules_are_names(wrong, tmp_path):
    """None must not switch the check off."""
    trained().save(tmp_path / "run")
    for load in (jaxgen.load, jaxgen.Detector.load):
        with pytest.raises(TypeError, match="`trusted` must be a tuple of names of modules"):
            load(tmp_path / "run", trusted=wrong)
    for names in ("numpy", ("numpy",), ["numpy"]):
        assert jaxgen.load(tmp_path / "run", trusted=names).steps == 1


@pytest.mark.parametrize("seed", [-1, 1, None, "0", 0.0, True])
def test_seeds_of_a_result(seed):
    with pytest.raises(IndexError, match="`seed` must be between 0 and 0"):
        trained().state_of(seed)


@pytest.mark.parametrize("n", [-1, 1.5, None, "3", True])
def test_numbers_of_samples(n):
    with pytest.raises(ValueError, match="`n` must be a whole number"):
        trained().sample(KEY, n)
    if n is not None:
        with pytest.raises(ValueError, match="`batch_size` must be a whole number"):
            trained().sample(KEY, 3, batch_size=0 if n == -1 else n)


@pytest.mark.parametrize("key", [0, None, "key", jax.random.split(KEY), jnp.zeros(2), np.uint32(0)])
def test_keys(key):
    with pytest.raises(TypeError, match=r"`key` must be a single JAX key .*; use jax.random.key\(0\)"):
        trained().sample(key, 3)
    assert trained().sample(jax.random.PRNGKey(0), 3).shape == (1, 3, 3)


SCORED = {
    "another width": (X[:, :2], ValueError, r"must have the shape \[n, 3\], .* \(got \(16, 2\)\)"),
    "one row": (X[0], ValueError, r"got \(3,\)\); for one row give x\[None\]"),
    "more axes": (X[None], ValueError, r"got \(1, 16, 3\)"),
    "a tuple": ((X, X), ValueError, "got tuple"),
    "a list": (X.tolist(), TypeError, r"got list\); use .*np.asarray\(rows\)"),
    "None": (None, TypeError, "got NoneType"),
    "text": (np.full((2, 3), "a"), TypeError, "must hold numbers"),
    "objects": (np.full((2, 3), None), TypeError, "must hold numbers"),
    "complex": (X * 1j, TypeError, "must hold numbers"),
    "a generator": ((x for x in X), TypeError, "got generator"),
    "too large": (np.float64(X) * 1e200, ValueError, "must fit float32"),
}


@pytest.mark.parametrize("name", SCORED)
def test_rows_to_score(name):
    x, kind, message = SCORED[name]
    with pytest.raises(kind, match=message):
        trained().scores(x)


def test_frames_are_scored_as_their_arrays():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    expected = trained().scores(X)["residual"]
    for x in (pandas.DataFrame(X), X.astype(np.float64), jnp.asarray(X)):
        np.testing.assert_array_equal(trained().scores(x)["residual"], expected)
        np.testing.assert_allclose(trained().scores(x, batch_size=8)["residual"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["alpha", "calibration_fraction"])
def test_shares_of_a_detector_are_numbers(name):
    with pytest.raises(ValueError, match=rf"`{name}` must be between 0 and 1 \(got nan\)"):
        jaxgen.Detector(METHOD, **{name: np.nan}).fit(X)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_columns_whose_squares_overflow_or_vanish_are_named(scale):
    """The variance of a tiny column is 0, so the scaler would drop it without a word."""
    with pytest.raises(ValueError, match=r"between 1e-150 and 1e150 \(got .* in column 1\); rescale"):
        jaxgen.Detector(METHOD).fit(np.float64(X) * [1, scale, 1])


@pytest.mark.parametrize("wrong", [None, METHOD, jaxgen.Result])
def test_results_to_check(wrong):
    with pytest.raises(TypeError, match=r"`result` must be the Result of a training"):
        jaxgen.check(wrong, X)
    for level in ("a", None, 0, float("nan")):
        with pytest.raises(ValueError, match="`level` must be between 0 and 1"):
            jaxgen.check(trained(), np.tile(X, (4, 1)), level=level)


@pytest.mark.parametrize(
    ("rate", "call"), [(optim.Cosine, r"optim.Cosine\(1e-3\)"), (optim.Exponential, r"optim.Exponential\(1e-3, 0.5\)")]
)
@pytest.mark.parametrize("kind", [methods.EVL, methods.Flow, methods.MEG])
def test_schedules_are_called(kind, rate, call):
    message = rf"`learning_rate` must be a number or a schedule \(got the class .*\); call the class, as {call}\."
    with pytest.raises(TypeError, match=message):
        jaxgen.Config(kind(learning_rate=rate), data.Arrays(X), batch_size=8).resolved()
    with pytest.raises(TypeError, match=message):
        optim.build_optimizer(optax.adam, rate)


def test_methods_have_resolve_and_init():
    class Method:
        step = init = scores = None

    class Other:
        step = resolve = scores = None

    for method, definition in (
        (Method(), r"got Method without `resolve`\); define resolve\(self, \*row_specs\)"),
        (Other(), r"got Other without `init`\); define init\(self, key, \*rows\)"),
    ):
        for call in (lambda: jaxgen.Config(method, data.Arrays(X)), lambda: jaxgen.Detector(method).fit(X)):  # noqa: B023
            with pytest.raises(TypeError, match=r"`method` must have `resolve`, `init` and `step` \(" + definition):
                call()


ONE_COLUMN = [
    methods.EVL(),
    methods.Flow(),
    methods.MEG(),
    methods.WGANGP(),
    methods.RelativisticGAN(),
    methods.MixtureDensity(),
]


@pytest.mark.parametrize("method", ONE_COLUMN, ids=lambda method: type(method).__name__)
def test_numbers_without_an_axis_of_columns(method):
    config = jaxgen.Config(method, data.Arrays(X[:, 0]), batch_size=8)
    with pytest.raises(ValueError, match=r"vectors.*\(got rows of shape \(\)\); use x\[:, None\]"):
        config.resolved()


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        (X[:, :2], ValueError, r"`rows` must have 3 columns, as in training \(got 2\); give the same columns"),
        (
            X[:, :, None],
            ValueError,
            r"shape \[n, 3\], as in training \(got \[n, 3, 1\]\); prepare them in the same way",
        ),
        (data.Arrays(X), TypeError, r"`rows` must be an array \(got Arrays\); pass .* `tables\(\)\[0\]`"),
    ],
    ids=["columns", "axes", "dataset"],
)
def test_rows_to_check(rows, kind, message):
    rows = rows if kind is TypeError else np.tile(rows, (4,) + (1,) * (rows.ndim - 1))
    with pytest.raises(kind, match=message):
        jaxgen.check(trained(), rows)


@pytest.mark.parametrize(
    "rows",
    [np.array([["a", "1"]] * 4), [["a", 1.0]] * 4, np.array([["a", 1.0]] * 4, object)],
    ids=["text", "list", "objects"],
)
def test_text_without_a_frame(rows):
    message = r"`X` must hold numbers \(got the text 'a'\); give text columns as a pandas DataFrame"
    with pytest.raises(ValueError, match=message):
        jaxgen.Detector(METHOD).fit(rows)


@pytest.mark.parametrize("path", ["h.csv", pathlib.Path("h.csv")], ids=["text", "path"])
def test_a_path_is_no_table(path):
    with pytest.raises(
        TypeError, match=r"`X` must be rows \[n, d\].*\(got the path 'h.csv'\).*pandas.read_csv\(path\)"
    ):
        jaxgen.Detector(METHOD).fit(path)
    fitted = jaxgen.Detector(METHOD, steps=1, calibration_fraction=0.5, alpha=0.5, random_state=0).fit(X)
    for call in (fitted.predict, fitted.explain):
        with pytest.raises(TypeError, match=r"\(got the path 'h.csv'\)"):
            call(path)
    with pytest.raises(ValueError, match=r"got the text 'a'\); give numbers, as in `fit`"):
        fitted.predict(np.full((2, 3), "a"))
