"""Tables of numbers from Parquet files, as pandas, polars and Spark write them."""

import pathlib

import numpy as np

__all__ = ["read_parquet"]


def read_parquet(path: pathlib.Path) -> np.ndarray:
    """Read a Parquet file of numbers; the index of pandas is dropped, and booleans are read as 1 and 0.

    Args:
        path: the file.

    Returns:
        Floats `[n, d]`.

    Raises:
        ModuleNotFoundError: if pyarrow is not installed.
        ValueError: if the file is damaged, or a column does not hold numbers or has missing ones.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "Parquet files need pyarrow, which is not installed; install it with python -m pip install "
            "'jaxgen[parquet]', or pass a DataFrame as data.Arrays(frame)."
        ) from missing
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} must be a complete Parquet file (got: {error}); write it again.") from error
    described = table.schema.pandas_metadata or {}
    index = {name for name in described.get("index_columns", ()) if isinstance(name, str)}
    table = table.drop_columns([name for name in table.column_names if name in index])
    wrong = {
        name: f"{column.type}, {column.null_count} missing"
        for name, column in zip(table.column_names, table.columns, strict=True)
        if column.null_count or not _is_numeric(column.type)
    }
    if wrong or not table.num_columns:
        raise ValueError(
            f"all columns of {path} must hold numbers without missing ones (got {wrong or 'no columns'}); drop, encode "
            "or impute them, and pass the DataFrame as data.Arrays(frame)."
        )
    arrays = [column.to_numpy() for column in table.columns]
    # As floats, since columns of bytes are not pixels.
    return np.stack([array if array.dtype.kind == "f" else array.astype(np.float64) for array in arrays], 1)


def _is_numeric(kind: object) -> bool:
    import pyarrow

    tests = (pyarrow.types.is_integer, pyarrow.types.is_floating, pyarrow.types.is_boolean)
    return any(test(kind) for test in tests)
