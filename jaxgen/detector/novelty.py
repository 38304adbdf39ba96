"""Novelty detector with the scikit-learn interface, for any method with scores."""

import dataclasses
import numbers
import os
import typing
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.feature_selection import VarianceThreshold
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxgen.columns import UNSEEN, column_encoder, column_scaler, column_table, needs_encoding
from jaxgen.detector import files
from jaxgen.detector.calibration import threshold_score
from jaxgen.detector.configuration import choice, training_config
from jaxgen.detector.images import CommonScaler, image_shape, pixels
from jaxgen.detector.rows import check_not_a_path, validated_rows
from jaxgen.detector.scoring import LARGEST, mean_scores
from jaxgen.detector.trimming import suspected_inliers
from jaxgen.explanation import Explanation, contributions
from jaxgen.forking import check_not_forked
from jaxgen.metrics.conformal import conformal_p_values
from jaxgen.neighbors import LocalNeighborBlend, NeighborBlend
from jaxgen.serialization.config_json import from_json, to_json
from jaxgen.training.loop import train
from jaxgen.types import Method

__all__ = ["Detector"]

MAX_REFERENCES = 10_000  # rows searched for nearest neighbors, which bounds time and memory
TYPICAL = (0.1, 0.3, 0.5, 0.7, 0.9)  # quantiles of the values that replace others in an explanation


class Detector(OutlierMixin, BaseEstimator):
    """Novelty detector with a controlled false-positive rate (split conformal p-values).

    `fit` trains the method on one part of the rows and computes scores of the rest, the calibration set. A row is
    called an outlier if its conformal p-value is at most `alpha`. For a new row of the same distribution this has at
    most the probability `alpha`, for every method and however well it was trained. It does not hold for rows that the
    detector was fitted on.

    A row whose value in a column differs from all training rows, where these are equal, gets the highest score. The
    calibration set is scored by the same rule, so the false-positive rate stays bounded.

    Rows may be a pandas data frame with numbers, booleans, categories, text, dates, durations and missing values. A
    category that no training row has, or a missing value in a column without missing ones, then gets the highest score.

    Rows may be images `[n, height, width, channels]`. Bytes are divided by 255. A method gets the images as they are;
    the default takes their pixels as columns, with one scale for all. Constant pixels have no special rule.

    The default blends four small flows with distances to nearest neighbors. The page `systems/tabular.md` compares it
    with detectors of scikit-learn and PyOD.

    Attributes:
        method: a method with `scores`. None is a small `methods.Flow`, a density of rows with two columns or more. Its
            noise is 0.4 times Scott's bandwidth, at least `6 / sqrt(n)` for n rows, and its learning rate falls.
        score_name: which of the method's scores to use; None is the first.
        steps: training steps, rounded up to a multiple of the steps per call: the fewest calls of at most 500 steps.
            None is 400 for the default method, and 2,000 for others.
        num_seeds: number of models trained side by side, whose scores are averaged. None is 4 for the default method,
            and 1 for others.
        neighbors: number of nearest training rows whose mean distance is blended with the model's score. The distance
            is the larger of two, before and after decorrelating the columns. All are standardized on training rows and
            compressed to `sign(z) log(1 + |z|)`; the distance has two thirds of the weight. On images the second
            distance is that relative to the neighbors' own, and each has a weight of 0.45. 0 is the model alone. None
            is 3 for the default method, 5 if the rows are images, and 0 for others. With neighbors, the detector holds
            the scaled training rows: all of them, or a random 10,000.
        batch_size: rows of a minibatch. It is reduced to the number of training rows if these are fewer, and to a
            multiple of `n_critic` for a method that has one.
        calibration_fraction: share of the rows in the calibration set, between 0 and 1.
        alpha: bound on the false positive rate, between 0 and 1.
        trim_fraction: share of the training rows to remove before anything is fitted, from 0 up to 0.8: those farthest
            from a fifth of the others. If some rows of `fit` are outliers, use about twice their share. The calibration
            set keeps its outliers. So the bound `alpha` still holds for rows like the inliers, but fewer outliers are
            found unless `alpha` is well above their share.
        scaler: an unfitted scikit-learn transformer, fitted to the training rows. None drops constant columns, and
            scales the others to mean 0 and standard deviation 1. For a data frame with other columns than numbers it
            also replaces missing values by the median, marks them, and encodes categories one-hot. It gives pixels of
            images one common scale for the default method, and leaves them unchanged for others.
        random_state: a whole number for reproducible results, a `RandomState`, or None.
        result_: the trained models of scaled rows, as returned by `train`, without the rows.
        encoder_: a scikit-learn `ColumnTransformer` of a data frame to one number for each column, chosen by dtype.
            None for plain numbers. `column_table` prints what was done with each column.
        image_shape_: height, width and channels if the rows are images, else None. Pixels are then the columns, `d` in
            number, and names of columns are their positions.
        complete_: whether each column has no missing value in the training rows, `[d]`.
        constants_: value of each column that is constant in the training rows, NaN for the others, `[d]`.
        typical_: quantiles of each column of the training rows, which replace values in `explain`, `[5, d]`.
        blend_: the scaled training rows among which neighbors are searched, and both scales; None without neighbors.
        scaler_: the fitted transformer.
        calibration_: the method's scores of the calibration set, `[n]`, higher meaning more out-of-distribution.
        offset_: the smallest `score_samples` of a row that is not an outlier.
        n_features_in_: number of columns.

    References:
        Bates, Candes, Lei, Romano and Sesia, Testing for outliers with conformal p-values (2023), section 2.
    """

    method: Method | None
    score_name: str | None
    steps: int | None
    num_seeds: int | None
    neighbors: int | None
    batch_size: int
    calibration_fraction: float
    alpha: float
    trim_fraction: float
    scaler: Any
    random_state: int | np.random.RandomState | None

    @typing.no_type_check  # scikit-learn requires that `__init__` accepts every value and `fit` checks it
    def __init__(
        self,
        method: Method | None = None,
        *,
        score_name: str | None = None,
        steps: int | None = None,
        num_seeds: int | None = None,
        neighbors: int | None = None,
        batch_size: int = 256,
        calibration_fraction: float = 0.2,
        alpha: float = 0.1,
        trim_fraction: float = 0.0,
        scaler: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.method = method
        self.score_name = score_name
        self.steps = steps
        self.num_seeds = num_seeds
        self.neighbors = neighbors
        self.batch_size = batch_size
        self.calibration_fraction = calibration_fraction
        self.alpha = alpha
        self.trim_fraction = trim_fraction
        self.scaler = scaler
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "Detector":
        """Split off the calibration set, fit the scaler, train the method, and score the calibration set.

        Args:
            X: rows `[n, d]` with n >= 3: finite numbers, or a data frame; or images `[n, h, w, c]`.
            y: unused.

        Returns:
            The detector itself.

        Raises:
            ValueError: if the rows are not finite numbers, too few, or all equal; if a parameter is out of range; if
                the method has no score of that name, or too many scores of the calibration set are not finite.
            TypeError: if the method has no `scores`, is not hashable, or cannot be trained on one table of rows, or if
                `X` is a path or has a column of another kind.
            FloatingPointError: if numbers in training are not finite, also after its retries.
            RuntimeError: if this process was forked from one that has used JAX.

        Warns:
            UserWarning: if no row can be an outlier at this `alpha`, such as for a small calibration set; if a column
                of text has nearly as many values as rows.
        """
        for name, least in (("steps", 1), ("num_seeds", 1), ("neighbors", 0), ("batch_size", 1)):
            if getattr(self, name) is not None or name == "batch_size":
                check_scalar(getattr(self, name), name, numbers.Integral, min_val=least)
        for name in ("calibration_fraction", "alpha"):
            check_scalar(getattr(self, name), name, numbers.Real, min_val=0, max_val=1, include_boundaries="neither")
            if np.isnan(getattr(self, name)):
                raise ValueError(f"`{name}` must be between 0 and 1 (got nan); try 0.1.")
        check_scalar(self.trim_fraction, "trim_fraction", numbers.Real)
        if not 0 <= self.trim_fraction <= 0.8:
            raise ValueError(
                f"`trim_fraction` must be from 0 to 0.8 (got {self.trim_fraction}); try 0.1, or 0 for clean rows."
            )
        check_not_forked("Detector.fit")
        check_not_a_path(X)
        self.image_shape_ = image_shape(X)
        self.encoder_ = column_encoder(X) if needs_encoding(X) else None
        if self.encoder_ is None:
            X = X if self.image_shape_ is None else pixels(X, self.image_shape_)
            X = validated_rows(self, X, ensure_min_samples=3)
        else:
            validate_data(self, X, skip_check_array=True)
            if len(X) < 3:
                raise ValueError(f"`X` must have at least 3 rows (got {len(X)}); give more rows.")
        generator = check_random_state(self.random_state)
        training, calibration = train_test_split(X, test_size=self.calibration_fraction, random_state=generator)
        if self.encoder_ is not None:
            training, calibration = self.encoder_.fit_transform(training), self.encoder_.transform(calibration)
        if self.trim_fraction:
            training = training[self._kept(training)]
        missing, same = np.isnan(training), self._constant(training)
        self.complete_ = ~missing.any(0)
        if self.scaler is None:
            _check_squares(training)
        # The scaler is not fitted to the calibration set, which would then differ from new rows.
        self.scaler_ = self._new_scaler().fit(training)
        # Pixels at the edge are often constant, and their values in new images are no reason for an alarm.
        same &= self.image_shape_ is None
        self.constants_ = np.where(same, _first_values(training), np.nan)
        filled = np.where(missing, _first_values(training), training)
        self.typical_ = np.quantile(filled, TYPICAL, axis=0, method="nearest")
        rows = self._scaled(training)
        config = training_config(self, self._method_rows(rows), int(generator.randint(2**31 - 1)))
        result = train(config, progress=False)
        without_rows = dataclasses.replace(result.config, data=from_json(to_json(result.config.data)))
        self.result_ = dataclasses.replace(result, config=without_rows)
        self.blend_: NeighborBlend | LocalNeighborBlend | None = None
        if neighbors := choice(self, "neighbors"):
            rows = rows[:MAX_REFERENCES]  # a random subset, since the rows are in random order
            kind = NeighborBlend if self.image_shape_ is None else LocalNeighborBlend
            self.blend_ = kind.fit(rows, self._scores_of_scaled(rows), num_neighbors=neighbors)
        self.calibration_ = self._scores(calibration)
        self.offset_ = -threshold_score(self.calibration_, self._is_novel(calibration), self.alpha)
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
            TypeError: if `fit` got a data frame with other columns than numbers, and the rows are not a data frame.
            NotFittedError: if `fit` has not been called.
            RuntimeError: if this process was forked from one that has used JAX.
        """
        check_is_fitted(self)
        check_not_forked("Detector.score_samples")
        return -self._scores(self._numbers(X))

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

    def explain(self, X: Any) -> Explanation:
        """Compute how much each column contributes to the score of each row.

        The contribution is the decrease of the score after replacing one value by the best of five quantiles of its
        column, with the other columns unchanged. A new value in a constant column contributes the largest number, and
        is replaced by the constant for the other columns. Each row is scored `1 + 5 d` times.

        Args:
            X: rows `[n, d]`.

        Returns:
            Contributions `[n, d]` with the names of the columns; it prints as a table, and `plot(row)` draws bars.

        Raises:
            ValueError: if the rows are not finite numbers, or have another width than those of `fit`.
            NotFittedError: if `fit` has not been called.
        """
        check_is_fitted(self)
        check_not_forked("Detector.explain")
        X = self._numbers(X)
        positions = range(X.shape[1]) if self.image_shape_ is None else np.ndindex(self.image_shape_)
        title = "column" if self.image_shape_ is None else "pixel"
        names = getattr(self, "feature_names_in_", [f"{title} {position}" for position in positions])
        novel = self._novel_values(X)
        values = contributions(self._scores, np.where(novel, self.typical_[len(TYPICAL) // 2], X), self.typical_)
        return Explanation(tuple(map(str, names)), np.where(novel, LARGEST, values))

    def column_table(self) -> str:
        """Return a table of what was done with each column of a data frame.

        Raises:
            ValueError: if the rows of `fit` were plain numbers.
            NotFittedError: if `fit` has not been called.
        """
        check_is_fitted(self)
        if self.encoder_ is None:
            raise ValueError("rows were plain numbers (got no other columns); print `scaler_` instead.")
        return column_table(self.encoder_, self.feature_names_in_, self.constants_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector without pickle; `Detector.load` reads it.

        The rows are not written, except those of `blend_` if the detector uses nearest neighbors.
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
        files.save(self, path)

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
            TypeError: if `trusted` is not a tuple or list of names.
        """
        return files.load(cls(), path, trusted=trusted)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, with methods as JSON: many activation functions cannot be pickled."""
        state = dict(super().__getstate__())
        state["method"] = files.to_portable(self.method)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "method": files.from_portable(state["method"])})

    def __sklearn_clone__(self) -> "Detector":
        # A frozen method can be shared. In a deep copy its functions would no longer be importable by name.
        others = {name: value for name, value in self.get_params(deep=False).items() if name != "method"}
        return type(self)(self.method, **{name: clone(value, safe=False) for name, value in others.items()})

    def _kept(self, training: np.ndarray) -> np.ndarray:
        """Return which training rows `[n, d]` are kept if some are outliers, `[n]`."""
        self._constant(training)
        if self.scaler is None:
            _check_squares(training)
        rows = np.asarray(self._new_scaler().fit_transform(training), np.float64)
        rows = np.clip(rows, -LARGEST, LARGEST).astype(np.float32)
        return suspected_inliers(rows, self.trim_fraction, decorrelate=self.image_shape_ is None)

    def _constant(self, training: np.ndarray) -> np.ndarray:
        """Return which columns have one value and perhaps missing ones, `[d]`; ValueError if all rows are equal."""
        missing = np.isnan(training)
        same = np.all(missing | (training == _first_values(training)), axis=0)
        if same.all() and not missing.any():
            less = f", or a `trim_fraction` below {self.trim_fraction}" if self.trim_fraction else ""
            raise ValueError(f"training rows must differ (got {len(training)} equal rows); give rows that vary{less}.")
        return same

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        """Return scaled rows in single precision, clipped to its range."""
        return np.clip(np.asarray(self.scaler_.transform(X), np.float64), -LARGEST, LARGEST).astype(np.float32)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        """Return finite scores, `[n]`, higher meaning more out-of-distribution."""
        return np.where(self._is_novel(X), LARGEST, self._scores_of_scaled(self._scaled(X)))

    def _is_novel(self, X: np.ndarray) -> np.ndarray:
        """Return whether a row differs in a column that is constant in the training rows, `[n]`."""
        return np.any(self._novel_values(X), axis=1)

    def _novel_values(self, X: np.ndarray) -> np.ndarray:
        # Calibration rows have no part in the constants, so that they are exchangeable with new rows.
        missing = np.isnan(X)
        novel = ~np.isnan(self.constants_) & (self.constants_ != X) & ~missing | missing & self.complete_
        if self.encoder_ is not None:
            category = np.array([name.startswith("category") for name, _, _ in self.encoder_.transformers])
            novel |= category & (X == UNSEEN)
        return novel

    def _numbers(self, X: Any) -> np.ndarray:
        """Return validated rows as numbers, `[n, d]`."""
        check_not_a_path(X)
        if self.encoder_ is None:
            X = X if self.image_shape_ is None else pixels(X, self.image_shape_)
            return validated_rows(self, X, reset=False)
        if not hasattr(X, "iloc"):
            raise TypeError(
                f"rows must be a data frame with the columns of `fit` (got {type(X).__name__}); give for example "
                "pandas.DataFrame(rows, columns=detector.feature_names_in_)."
            )
        validate_data(self, X, skip_check_array=True, reset=False)
        return np.asarray(self.encoder_.transform(X), np.float64)

    def _new_scaler(self) -> Any:
        if self.scaler is not None:
            return clone(self.scaler)
        if self.image_shape_ is not None:
            return CommonScaler() if self.method is None else FunctionTransformer()
        return (
            make_pipeline(VarianceThreshold(), StandardScaler())
            if self.encoder_ is None
            else column_scaler(self.encoder_)
        )

    def _method_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return scaled rows as the method takes them: images unless it is the default."""
        if self.image_shape_ is None or self.method is None:
            return rows
        return rows.reshape(len(rows), *self.image_shape_)

    def _scores_of_scaled(self, rows: np.ndarray) -> np.ndarray:
        scores = mean_scores(self.result_, self._method_rows(rows), self.score_name)
        return scores if self.blend_ is None else np.where(scores == LARGEST, LARGEST, self.blend_(rows, scores))


def _first_values(x: np.ndarray) -> np.ndarray:
    """Return the first value of each column that is not missing, `[d]`."""
    return x[np.argmax(~np.isnan(x), axis=0), np.arange(x.shape[1])]


def _check_squares(x: np.ndarray) -> None:
    """Raise ValueError if the squares of a column, which the default scaler needs, are infinite or 0."""
    largest = np.nanmax(np.abs(x), axis=0, initial=0.0)
    for number in np.flatnonzero((largest > 1e150) | ((largest > 0) & (largest < 1e-150))):
        raise ValueError(
            f"largest absolute values of columns must be between 1e-150 and 1e150 (got {largest[number]:g} in column "
            f"{number}); rescale the column."
        )
