"""Columns of data frames as numbers, by scikit-learn transformers chosen by dtype."""

import datetime
import numbers
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from jaxgen.types import Float

__all__ = ["UNSEEN", "column_encoder", "column_scaler", "column_table", "needs_encoding"]

UNSEEN = -1  # code of a category that no training row has
MIN_NAMED_ROWS = 10  # fewer rows may differ by chance


def needs_encoding(x: Any) -> bool:
    """Return whether the rows are a data frame with columns other than numbers, or with missing values."""
    if not hasattr(x, "iloc") or not hasattr(x, "dtypes") or not hasattr(x, "columns"):
        return False
    return any(_kind(x.iloc[:, i]) != "number" for i in range(x.shape[1])) or bool(x.isna().to_numpy().any())


def column_encoder(x: Any) -> ColumnTransformer:
    """Return an unfitted transformer of a data frame to numbers `[n, d]`, one for each column, NaN for missing values.

    Numbers and booleans become floats, dates seconds since 1970, durations seconds, and categories and text codes from
    0.

    Args:
        x: a data frame with d columns.

    Raises:
        ValueError: if there are no columns.
        TypeError: if a column holds anything else, such as complex numbers, periods or lists.

    Warns:
        UserWarning: for a category or text with nearly as many values as rows, such as a name.
    """
    if not x.shape[1]:
        raise ValueError("the data frame must have at least one column (got none); give columns.")
    kinds = [_kind(x.iloc[:, i]) for i in range(x.shape[1])]
    for i, kind in enumerate(kinds):
        _check_column(x.iloc[:, i], kind)
    return ColumnTransformer([(f"{kind} {i}", _encoder(kind), [i]) for i, kind in enumerate(kinds)])


def column_scaler(encoder: ColumnTransformer) -> Pipeline:
    """Return an unfitted scaler of the numbers of an encoder.

    Missing numbers become the median, with a column that marks them; categories become one column for each. Constant
    columns are then dropped, and the others scaled to mean 0 and standard deviation 1.
    """
    kinds = [name.split()[0] for name, _, _ in encoder.transformers]
    others = [i for i, kind in enumerate(kinds) if kind != "category"]
    categories = [i for i, kind in enumerate(kinds) if kind == "category"]
    parts = [
        ("numbers", SimpleImputer(strategy="median", keep_empty_features=True), others),
        ("missing", MissingIndicator(features="all"), others),
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
    ]
    return make_pipeline(ColumnTransformer([part for part in parts if part[2]]), VarianceThreshold(), StandardScaler())


def column_table(encoder: ColumnTransformer, names: Any, constants: Float[np.ndarray, " d"]) -> str:
    """Return a table of what is done with each column, one line each.

    Args:
        encoder: a fitted encoder.
        names: names of the columns.
        constants: value of each column that is constant in the training rows, NaN for the others.
    """
    lines = []
    for (name, part, _), column, constant in zip(encoder.transformers_, names, constants, strict=False):
        kind = name.split()[0]
        count = len(part[-1].categories_[0]) if kind == "category" else 0
        done = {
            "number": "median for missing, scaled",
            "boolean": "0 or 1, median for missing, scaled",
            "date": "seconds, median for missing, scaled",
            "category": f"one column for each of {count} values, scaled",
        }[kind]
        lines.append(f"{column}: {kind}; " + (done if np.isnan(constant) else "constant, other values are outliers"))
    return "\n".join(lines)


def as_floats(x: Any) -> Float[np.ndarray, "n d"]:
    """Convert numbers and booleans, with missing values, to floats."""
    return x.astype("Float64").to_numpy(np.float64, na_value=np.nan)


def as_seconds(x: Any) -> Float[np.ndarray, "n d"]:
    """Convert dates to seconds since 1970 and durations to seconds, NaN for missing ones."""
    # NumPy has no time zones, so dates with a zone are converted to UTC.
    columns = [x.iloc[:, i] for i in range(x.shape[1])]
    columns = [column.dt.tz_convert(None) if _zone(column) is not None else column for column in columns]
    dates = np.stack([column.to_numpy() for column in columns], 1)
    dates = dates.astype("timedelta64[ns]" if dates.dtype.kind == "m" else "datetime64[ns]")
    return np.where(np.isnat(dates), np.nan, dates.astype(np.int64) / 1e9)


def as_text(x: Any) -> np.ndarray:
    """Convert categories to text, with NaN for missing ones.

    Whole numbers have no decimals: pandas turns a column of integers into floats where one is missing.
    """
    cells, text = x.astype(object).to_numpy(), x.astype(str).to_numpy(object)
    text = np.vectorize(lambda cell, text: str(int(cell)) if _is_whole(cell) else text, otypes=[object])(cells, text)
    return np.where(x.isna().to_numpy(), np.array(np.nan, object), text)


def _is_whole(cell: Any) -> bool:
    return isinstance(cell, float | np.floating) and float(cell).is_integer() and abs(float(cell)) < 2**53


def _zone(column: Any) -> Any:
    """Return the time zone of a column of dates; None for other columns, and dates without one."""
    return getattr(column.dt, "tz", None) if getattr(column.dtype, "kind", "O") == "M" else None


def _kind(column: Any) -> str:
    kind = getattr(column.dtype, "kind", "O")
    if kind == "b" or str(column.dtype) == "boolean":
        return "boolean"
    if kind in "iuf":
        return "number"
    return "date" if kind in "mM" else "category"


def _check_column(column: Any, kind: str) -> None:
    """Raise TypeError for a column that has no kind, and warn of names of rows."""
    if kind != "category":
        return
    dtype = str(column.dtype)
    cells = column.dropna()
    others = [type(cell).__name__ for cell in cells if not isinstance(cell, str | bytes | numbers.Real | datetime.date)]
    if others or dtype.startswith(("period", "interval")):
        raise TypeError(
            f"column {column.name!r} must hold numbers, booleans, dates, durations, categories or text (got "
            f"{others[0] if others else dtype}); convert or drop it."
        )
    count = cells.nunique()
    if len(cells) >= MIN_NAMED_ROWS and count > len(cells) / 2:
        warnings.warn(
            f"column {column.name!r} has {count} different values in {len(cells)} rows, and new values are outliers; "
            "drop the column if it names the rows.",
            stacklevel=4,
        )


def _encoder(kind: str) -> BaseEstimator:
    if kind == "category":
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=UNSEEN)
        return make_pipeline(FunctionTransformer(as_text), codes)
    return FunctionTransformer(as_seconds if kind == "date" else as_floats)
