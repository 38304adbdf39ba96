"""An outlier detector of scikit-learn's kind, around any method that scores rows."""

import dataclasses
import functools
import numbers
import os
import pathlib
import typing
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.feature_selection import VarianceThreshold
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxgen import methods
from jaxgen.data.datasets import Arrays
from jaxgen.metrics.conformal import conformal_p_values
from jaxgen.parallel import Layout
from jaxgen.serialization import sklearn_json
from jaxgen.serialization.atomic import recover, replacing
from jaxgen.serialization.config_json import from_json, to_json, unnamed_fields
from jaxgen.training.config import Config
from jaxgen.training.loop import train
from jaxgen.training.result import Result, load
from jaxgen.types import Array, Float, Method, State
from jaxgen.validation import check_hashable

__all__ = ["Detector"]

PIECE = 1_024  # rows scored at a time: one program for tables of every length, and memory that does not grow with them
EVERY = 500  # steps that run as one program, at most
MOST = float(np.finfo(np.float32).max)  # the score of a row whose own is not finite


class Detector(OutlierMixin, BaseEstimator):
    """Learns what rows are like, and tells which others are unlike them at a rate of false alarms that is chosen.

    A share of the rows is held out of training and of scaling. A row is called an outlier where its conformal p-value
    among these is at most `alpha`; a new row of the same law then is so with at most that probability, whatever the
    method and however well it has learned. Rows the detector was fitted on are not new to it.

    Attributes:
        method: one with `scores`; None is `methods.Flow()`, the density of rows of two columns or more.
        score_name: of the method's score that is used; None is its first.
        steps: of training; rounded up to a multiple of their number between two looks from outside, 500 at most.
        batch_size: rows of a minibatch; as many as there are where these are fewer, and a multiple of `n_critic` for a
            method that has one.
        calibration_fraction: share of the rows that is held out.
        alpha: the rate of false alarms.
        scaler: an unfitted scikit-learn transformer, fitted to the rows trained on. None leaves out columns in which
            these rows are all equal, and brings the others to mean 0 and deviation 1.
        random_state: a whole number, for results that can be had again; a `RandomState`; or None.
        result_: the trained model, in scaled columns, as `train` returns it, but without the rows.
        scaler_: the fitted transformer.
        calibration_: the method's scores of the rows held out, `[n]`, higher meaning more out of distribution.
        offset_: the lowest `score_samples` that raises no alarm.
        n_features_in_: columns of a row.

    References:
        Bates, Candes, Lei, Romano and Sesia, Testing for outliers with conformal p-values (2023), section 2.
    """

    method: Method | None
    score_name: str | None
    steps: int
    batch_size: int
    calibration_fraction: float
    alpha: float
    scaler: Any
    random_state: int | np.random.RandomState | None

    @typing.no_type_check  # scikit-learn wants every value taken here, and looked at in `fit`
    def __init__(
        self,
        method: Method | None = None,
        *,
        score_name: str | None = None,
        steps: int = 2_000,
        batch_size: int = 256,
        calibration_fraction: float = 0.2,
        alpha: float = 0.1,
        scaler: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.method = method
        self.score_name = score_name
        self.steps = steps
        self.batch_size = batch_size
        self.calibration_fraction = calibration_fraction
        self.alpha = alpha
        self.scaler = scaler
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "Detector":
        """Scale, train, and score the rows held out.

        Args:
            X: rows `[n, d]`, finite, of three rows at least.
            y: unused.

        Returns:
            The detector.

        Raises:
            ValueError: if the rows are no table of finite numbers, too few, or all equal; if a parameter is out of its
                range, the method has no score of that name, or cannot score the rows held out.
            TypeError: if the method has no `scores` or no hash, or cannot learn from one table of rows.
            FloatingPointError: if training meets numbers that are not finite, and does not get over it.

        Warns:
            UserWarning: if too few rows are held out for an alarm at this level.
        """
        for name in ("steps", "batch_size"):
            check_scalar(getattr(self, name), name, numbers.Integral, min_val=1)
        for name in ("calibration", "level"):
            check_scalar(getattr(self, name), name, numbers.Real, min_val=0, max_val=1, include_boundaries="neither")
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=3)
        chance = check_random_state(self.random_state)
        learned, held_out = train_test_split(X, test_size=self.calibration_fraction, random_state=chance)
        if not np.ptp(learned, axis=0).any():
            raise ValueError(f"the {len(learned)} rows to train on are all equal; give rows that differ.")
        # The rows held out are strangers to the scaler as well: otherwise they were not like new ones.
        self.scaler_ = (_standard() if self.scaler is None else clone(self.scaler)).fit(learned)
        result = train(self._config(self._scaled(learned), int(chance.randint(2**31 - 1))), progress=False)
        absent = dataclasses.replace(result.config, data=from_json(to_json(result.config.data)))
        self.result_ = dataclasses.replace(result, config=absent)  # without the rows, which nothing needs any more
        self.calibration_ = self._scores(held_out)
        threshold = _threshold(self.calibration_, self.alpha)
        if threshold == MOST:
            bad = int(np.sum(self.calibration_ == MOST))
            raise ValueError(
                f"{bad} of {len(held_out)} rows held out have no finite score, so no row could be more of an outlier; "
                "use another scaler, score or method."
            )
        self.offset_ = -threshold
        if np.isinf(threshold):
            warnings.warn(
                f"{len(held_out)} rows held out make no p-value below 1 / {len(held_out) + 1}, so that there is no "
                f"alarm at level={self.alpha}; give more rows, or hold out a larger share by `calibration`.",
                stacklevel=2,
            )
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal rows are: minus the method's score.

        A score beyond single precision, or no number at all, counts as the largest single precision has: a row that
        the method cannot follow is as strange as any.

        Args:
            X: rows `[n, d]`.

        Returns:
            Numbers `[n]`, higher meaning more normal, as scikit-learn has it.

        Raises:
            ValueError: if the rows are no table of finite numbers, or not as wide as those fitted on.
            NotFittedError: if `fit` has not been called.
        """
        check_is_fitted(self)
        return -self._scores(validate_data(self, X, dtype=np.float64, reset=False))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return `score_samples - offset_`, `[n]`, below 0 for outliers; takes and raises what `score_samples` does."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for rows whose p-value is at most `alpha` and 1 for others, `[n]`; raises as `score_samples`."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> np.ndarray:
        """Return conformal p-values of the hypothesis that a row is like those fitted on.

        Args:
            X: rows `[n, d]`, none of them fitted on.

        Returns:
            Numbers `[n]` of at least 1 / (rows held out + 1). `metrics.benjamini_hochberg` takes them.

        Raises:
            ValueError: as `score_samples` does, and NotFittedError too.
        """
        return conformal_p_values(-self.score_samples(X), self.calibration_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector, without pickle and without the rows; `Detector.load` reads it.

        A detector that stands there already is replaced once the new one is whole.

        Args:
            path: a directory.

        Raises:
            FileExistsError: if the path holds something that is no detector.
            PermissionError: if it cannot be written.
            ValueError: if a parameter is neither plain data nor found by its name.
            NotFittedError: if `fit` has not been called.
        """
        check_is_fitted(self)
        target = pathlib.Path(path).expanduser().absolute()
        state = {name: value for name, value in self.__getstate__().items() if name != "result_"}
        with replacing(target, mark="detector.json", kind="detector") as fresh:
            self.result_.save(fresh / "model")
            sklearn_json.write(fresh, "detector", state)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Detector":
        """Read a detector that `save` wrote.

        The files name classes and functions, which are imported: load only what you trust.

        Args:
            path: the directory.

        Returns:
            The detector.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged.
        """
        target = pathlib.Path(path).expanduser().absolute()
        recover(target)
        if not (target / "detector.json").is_file():
            raise FileNotFoundError(f"{target} holds no detector of jaxgen; give the directory that one was saved to.")
        detector = cls()
        detector.__setstate__({**sklearn_json.read(target, "detector"), "result_": load(target / "model")})
        return detector

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: methods as they are described, since many activations can only be named."""
        state = dict(super().__getstate__())
        state["method"] = _portable(self.method)
        if "result_" in state:
            result = self.result_
            kept = (jax.tree.map(np.asarray, result.state), result.history, result.rows, result.tables, result.devices)
            state["result_"] = (_portable(result.config), *kept)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {**state, "method": _found(state["method"])}
        if isinstance(result := state.get("result_"), tuple):
            config, model, *others = result
            state["result_"] = Result(_found(config), jax.tree.map(jnp.asarray, model), *others)
        super().__setstate__(state)

    def __sklearn_clone__(self) -> "Detector":
        # A method is frozen and may be shared; in a deep copy its functions would no longer be found by their names.
        others = {name: value for name, value in self.get_params(deep=False).items() if name != "method"}
        return type(self)(self.method, **{name: clone(value, safe=False) for name, value in others.items()})

    def _config(self, rows: np.ndarray, seed: int) -> Config:
        """Return what to train, having looked whether the method has the score."""
        method = methods.Flow() if self.method is None else self.method
        if self.method is None and rows.shape[1] == 1:
            raise ValueError(
                "there is 1 feature(s) that varies, and a flow needs two; give another method, such as methods.MEG()."
            )
        if not hasattr(method, "scores"):
            raise TypeError(f"{type(method).__name__} has no `scores`; give a method that has, or None.")
        check_hashable(method)
        size = min(self.batch_size, len(rows))
        size = max(size - size % getattr(method, "n_critic", 1), 1)  # which such a method deals to so many updates
        segments = -(-self.steps // EVERY)
        every = -(-self.steps // segments)
        config = Config(
            method.resolve(jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype)),
            Arrays(rows),
            steps=every * segments,
            batch_size=size,
            steps_per_call=every,
            seed=seed,
            layout=Layout(devices=1),
        )
        if self.score_name is not None:
            _check_name(self.score_name, config, rows[:size])
        return config

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        """Return rows as the method sees them, in single precision and within it."""
        return np.clip(np.asarray(self.scaler_.transform(X), np.float64), -MOST, MOST).astype(np.float32)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        """Return finite scores, `[n]`, higher meaning more out of distribution."""
        scores = np.empty(len(X))
        for start in range(0, len(X), PIECE):
            rows = self._scaled(X[start : start + PIECE])
            padded = np.concatenate([rows, np.zeros((PIECE - len(rows), rows.shape[1]), np.float32)])
            found = _score(self.result_.state, padded, method=self.result_.config.method, name=self.score_name)
            scores[start : start + PIECE] = np.asarray(found)[: len(rows)]
        return np.nan_to_num(scores, nan=MOST, posinf=MOST, neginf=-MOST)


@functools.partial(jax.jit, static_argnames=("method", "name"))
def _score(states: State, x: Float[Array, "n d"], *, method: Any, name: str | None) -> Float[Array, " n"]:
    """Return one score of rows by the only seed; of two detectors of one method and width, one compiled program."""
    found = method.scores(jax.tree.map(lambda leaf: leaf[0], states), x)
    return found[next(iter(found)) if name is None else name]


def _check_name(name: str, config: Config, rows: np.ndarray) -> None:
    names: list[str] = []
    method: Any = config.method
    jax.eval_shape(lambda key, x: names.extend(method.scores(method.init(key, x), x)), jax.random.key(0), rows)
    if name not in names:
        raise ValueError(f"{type(method).__name__} has no score {name!r}; choose one of {names}.")


def _threshold(calibration: np.ndarray, alpha: float) -> float:
    """Return the score above which p-values are at most `alpha`, inf where there is none."""
    smallest = np.arange(1, len(calibration) + 1) / (len(calibration) + 1)  # p-values, as they are computed
    alarms = int(np.searchsorted(smallest, alpha, side="right"))
    return float(np.sort(calibration)[-alarms]) if alarms else np.inf


def _standard() -> Any:
    return make_pipeline(VarianceThreshold(), StandardScaler())


def _portable(value: Any) -> Any:
    """Describe a method or config where everything in it has a name, else return it."""
    described = to_json(value)
    return value if unnamed_fields(described) else described


def _found(value: Any) -> Any:
    return from_json(value) if isinstance(value, dict) else value
