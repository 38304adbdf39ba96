"""Novelty detector with the scikit-learn interface, for any method with scores."""

import dataclasses
import functools
import numbers
import os
import pathlib
import typing
import warnings
from collections.abc import Sequence
from typing import Any

import jax
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
from jaxgen.training.result import load
from jaxgen.types import Array, Float, Method, State
from jaxgen.validation import check_hashable

__all__ = ["Detector"]

PIECE = 1_024  # rows scored at a time, so that tables of all lengths need one program and the same memory
MAX_STEPS_PER_CALL = 500
LARGEST = float(np.finfo(np.float32).max)  # replaces scores that are NaN or infinite


class Detector(OutlierMixin, BaseEstimator):
    """Novelty detector with a controlled false-positive rate (split conformal p-values).

    `fit` trains the method on one part of the rows and computes scores of the rest, the calibration set. A row is
    called an outlier if its conformal p-value is at most `alpha`. For a new row of the same distribution this has at
    most the probability `alpha`, for every method and however well it was trained. It does not hold for rows that the
    detector was fitted on.

    Attributes:
        method: a method with `scores`; None is `methods.Flow()`, a density of rows with two columns or more.
        score_name: which of the method's scores to use; None is the first.
        steps: training steps, rounded up to a multiple of the steps per call: the fewest calls of at most 500 steps.
        batch_size: rows of a minibatch. It is reduced to the number of training rows if these are fewer, and to a
            multiple of `n_critic` for a method that has one.
        calibration_fraction: share of the rows in the calibration set, between 0 and 1.
        alpha: bound on the false positive rate, between 0 and 1.
        scaler: an unfitted scikit-learn transformer, fitted to the training rows. None drops constant columns, and
            scales the others to mean 0 and standard deviation 1.
        random_state: a whole number for reproducible results, a `RandomState`, or None.
        result_: the trained model of scaled rows, as returned by `train`, without the rows.
        scaler_: the fitted transformer.
        calibration_: the method's scores of the calibration set, `[n]`, higher meaning more out-of-distribution.
        offset_: the smallest `score_samples` of a row that is not an outlier.
        n_features_in_: number of columns.

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

    @typing.no_type_check  # scikit-learn requires that `__init__` accepts every value and `fit` checks it
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
        """Split off the calibration set, fit the scaler, train the method, and score the calibration set.

        Args:
            X: rows `[n, d]`, finite, with n >= 3.
            y: unused.

        Returns:
            The detector itself.

        Raises:
            ValueError: if the rows are not finite numbers, too few, or all equal; if a parameter is out of range; if
                the method has no score of that name, or too many scores of the calibration set are not finite.
            TypeError: if the method has no `scores`, is not hashable, or cannot be trained on one table of rows.
            FloatingPointError: if numbers in training are not finite, also after its retries.

        Warns:
            UserWarning: if the calibration set is so small that no row can be an outlier at this `alpha`.
        """
        for name in ("steps", "batch_size"):
            check_scalar(getattr(self, name), name, numbers.Integral, min_val=1)
        for name in ("calibration_fraction", "alpha"):
            check_scalar(getattr(self, name), name, numbers.Real, min_val=0, max_val=1, include_boundaries="neither")
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=3)
        generator = check_random_state(self.random_state)
        training, calibration = train_test_split(X, test_size=self.calibration_fraction, random_state=generator)
        if not np.ptp(training, axis=0).any():
            raise ValueError(f"training rows must differ (got {len(training)} equal rows); give rows that vary.")
        # The scaler is not fitted to the calibration set, which would then differ from new rows.
        self.scaler_ = (_standard() if self.scaler is None else clone(self.scaler)).fit(training)
        result = train(self._config(self._scaled(training), int(generator.randint(2**31 - 1))), progress=False)
        without_rows = dataclasses.replace(result.config, data=from_json(to_json(result.config.data)))
        self.result_ = dataclasses.replace(result, config=without_rows)
        self.calibration_ = self._scores(calibration)
        threshold = _threshold(self.calibration_, self.alpha)
        if threshold == LARGEST:
            bad = int(np.sum(self.calibration_ == LARGEST))
            raise ValueError(
                f"scores of the calibration set must be finite (got {bad} of {len(calibration)} that are not), or no "
                "row can be an outlier; use another scaler, score or method."
            )
        self.offset_ = -threshold
        if np.isinf(threshold):
            warnings.warn(
                f"a calibration set of {len(calibration)} rows has no p-value below 1 / {len(calibration) + 1}, so no "
                f"row is an outlier at alpha={self.alpha}; give more rows, or increase `calibration_fraction`.",
                stacklevel=2,
            )
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Compute minus the method's score of each row: higher means more normal, as in scikit-learn.

        A score that is NaN or exceeds single precision counts as its largest number: such a row is an outlier.

        Args:
            X: rows `[n, d]`.

        Returns:
            Numbers `[n]`.

        Raises:
            ValueError: if the rows are not finite numbers, or have another width than those of `fit`.
            NotFittedError: if `fit` has not been called.
        """
        check_is_fitted(self)
        return -self._scores(validate_data(self, X, dtype=np.float64, reset=False))

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute `score_samples - offset_`, `[n]`, below 0 for outliers; errors as in `score_samples`."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for rows with a p-value of at most `alpha`, else 1, `[n]`; errors as in `score_samples`."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> np.ndarray:
        """Compute conformal p-values of the hypothesis that a row has the distribution of the rows of `fit`.

        Args:
            X: rows `[n, d]` that the detector was not fitted on.

        Returns:
            P-values `[n]`, at least 1 / (size of the calibration set + 1), for example for
            `metrics.benjamini_hochberg`.

        Raises:
            ValueError: if the rows are not finite numbers, or have another width than those of `fit`.
            NotFittedError: if `fit` has not been called.
        """
        return conformal_p_values(-self.score_samples(X), self.calibration_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector, without pickle and without the rows; `Detector.load` reads it.

        A detector that is already there is replaced only after the new one is complete.

        Args:
            path: a directory.

        Raises:
            FileExistsError: if the path holds anything other than a detector.
            PermissionError: if it cannot be written; OSError if the disk is full.
            ValueError: if a parameter is neither plain data nor importable by name.
            NotFittedError: if `fit` has not been called.
        """
        check_is_fitted(self)
        target = pathlib.Path(path).expanduser().absolute()
        state = {name: value for name, value in self.__getstate__().items() if name != "result_"}
        with replacing(target, mark="detector.json", kind="detector") as fresh:
            self.result_.save(fresh / "model")
            sklearn_json.write(fresh, "detector", state)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, trusted: Sequence[str] = ()) -> "Detector":
        """Read a detector that `save` wrote.

        The files name classes and functions. They are imported only from jaxgen, flax.linen, jax.nn, jax.numpy, optax,
        sklearn and `trusted`, so a detector of others can be opened safely.

        Args:
            path: a directory that `save` wrote.
            trusted: further modules that the files may name, with their submodules, such as `("mypackage",)`.

        Returns:
            The detector.

        Raises:
            FileNotFoundError: if there is no detector at the path.
            ValueError: if a byte has changed since it was saved, or a name is not trusted.
        """
        target = pathlib.Path(path).expanduser().absolute()
        recover(target)
        if not (target / "detector.json").is_file():
            raise FileNotFoundError(f"{target} holds no detector of jaxgen; give a directory that one was saved to.")
        detector = cls()
        state = sklearn_json.read(target, "detector", trusted=trusted)
        result = load(target / "model", trusted=trusted)
        try:
            method = from_json(state["method"], trusted=trusted)  # `__setstate__` would import every name
            if isinstance(method, dict):
                raise ValueError("its method is a dict")
            detector.__setstate__({**state, "method": method, "result_": result})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{target / 'detector'} cannot be read ({error}); save it again.") from error
        return detector

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, with methods as JSON: many activation functions cannot be pickled."""
        state = dict(super().__getstate__())
        state["method"] = _to_portable(self.method)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "method": _from_portable(state["method"])})

    def __sklearn_clone__(self) -> "Detector":
        # A frozen method can be shared. In a deep copy its functions would no longer be importable by name.
        others = {name: value for name, value in self.get_params(deep=False).items() if name != "method"}
        return type(self)(self.method, **{name: clone(value, safe=False) for name, value in others.items()})

    def _config(self, rows: np.ndarray, seed: int) -> Config:
        """Return the training config, after checking that the method has the score."""
        method = methods.Flow() if self.method is None else self.method
        if self.method is None and rows.shape[1] == 1:
            raise ValueError(
                "the default flow needs two columns that vary (got 1 feature(s)); give another method, such as "
                "methods.MEG()."
            )
        if isinstance(method, type):
            raise TypeError(f"`method` is the class {method.__name__}; call it, as {method.__name__}().")
        if not hasattr(method, "scores"):
            raise TypeError(f"`method` must have `scores` (got {type(method).__name__}); give such a method, or None.")
        check_hashable(method)
        size = min(self.batch_size, len(rows))
        size = max(size - size % getattr(method, "n_critic", 1), 1)  # the batch is split over `n_critic` updates
        calls = -(-self.steps // MAX_STEPS_PER_CALL)
        steps_per_call = -(-self.steps // calls)
        config = Config(
            method.resolve(jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype)),
            Arrays(rows),
            steps=steps_per_call * calls,
            batch_size=size,
            steps_per_call=steps_per_call,
            seed=seed,
            layout=Layout(devices=1),
        )
        if self.score_name is not None:
            _check_name(self.score_name, config, rows[:size])
        return config

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        """Return scaled rows in single precision, clipped to its range."""
        return np.clip(np.asarray(self.scaler_.transform(X), np.float64), -LARGEST, LARGEST).astype(np.float32)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        """Return finite scores, `[n]`, higher meaning more out-of-distribution."""
        scores = np.empty(len(X))
        for start in range(0, len(X), PIECE):
            rows = self._scaled(X[start : start + PIECE])
            padded = np.concatenate([rows, np.zeros((PIECE - len(rows), rows.shape[1]), np.float32)])
            piece = _score(self.result_.state, padded, method=self.result_.config.method, name=self.score_name)
            scores[start : start + PIECE] = np.asarray(piece)[: len(rows)]
        return np.nan_to_num(scores, nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)


@functools.partial(jax.jit, static_argnames=("method", "name"))
def _score(states: State, x: Float[Array, "n d"], *, method: Any, name: str | None) -> Float[Array, " n"]:
    """Compute one score by the model of seed 0; detectors of equal method and width share the program."""
    scores = method.scores(jax.tree.map(lambda leaf: leaf[0], states), x)
    return scores[next(iter(scores)) if name is None else name]


def _check_name(name: str, config: Config, rows: np.ndarray) -> None:
    """Raise ValueError if the method has no score of this name."""
    names: list[str] = []
    method: Any = config.method
    jax.eval_shape(lambda key, x: names.extend(method.scores(method.init(key, x), x)), jax.random.key(0), rows)
    if name not in names:
        raise ValueError(f"`score_name` must be a score of {type(method).__name__} (got {name!r}); try one of {names}.")


def _threshold(calibration: np.ndarray, alpha: float) -> float:
    """Return the score above which p-values are at most `alpha`, or inf if there is none."""
    p_values = np.arange(1, len(calibration) + 1) / (len(calibration) + 1)  # with the rounding of conformal_p_values
    rank = int(np.searchsorted(p_values, alpha, side="right"))
    return float(np.sort(calibration)[-rank]) if rank else np.inf


def _standard() -> Any:
    return make_pipeline(VarianceThreshold(), StandardScaler())


def _to_portable(value: Any) -> Any:
    """Return a method as JSON, or the value itself if a part cannot be imported by name."""
    described = to_json(value)
    return value if unnamed_fields(described) else described


def _from_portable(value: Any) -> Any:
    """Return the method that `_to_portable` described."""
    return from_json(value, trusted=None) if isinstance(value, dict) else value
