"""ADBench's classical datasets, and the split of each into training and test rows."""

import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

TUNING = ("14_glass", "29_Pima", "45_wine", "4_breastw")  # datasets that chose the settings
EVALUATED = (
    "10_cover",
    "16_http",
    "18_Ionosphere",
    "23_mammography",
    "26_optdigits",
    "28_pendigits",
    "2_annthyroid",
    "31_satimage-2",
    "32_shuttle",
    "34_smtp",
    "39_vertebral",
    "42_WBC",
    "7_Cardiotocography",
)
MOST_ROWS = 2_000  # training rows, test inliers and test outliers are at most this number each


class Split(NamedTuple):
    """Training rows and test rows, standardized by the training rows."""

    train: Float[np.ndarray, "n d"]
    test: Float[np.ndarray, "m d"]
    anomalous: Bool[np.ndarray, " m"]


def checked(folder: pathlib.Path | None, names: tuple[str, ...]) -> pathlib.Path:
    """Return the folder if it has a file for every dataset."""
    source = "get the files of adbench/datasets/Classical from github.com/Minqi824/ADBench, and give --folder PATH"
    if folder is None or not (folder := folder.expanduser()).is_dir():
        raise SystemExit(f"folder must be a directory of datasets (got {folder}); {source}.")
    if missing := [name for name in names if not (folder / f"{name}.npz").is_file()]:
        raise SystemExit(f"folder must hold {missing[0]}.npz (got {folder}, which does not); {source}.")
    return folder


def split(folder: pathlib.Path, name: str, seed: int) -> Split:
    """Split a dataset: half of its inliers are for training, the others and the outliers for testing.

    Of each kind, at most the first `MOST_ROWS` in a random order are used. Columns that are constant in training are
    dropped. The others are standardized.
    """
    return standardized(*_parts(folder, name, seed))


def contaminated(folder: pathlib.Path, name: str, seed: int, share: float) -> tuple[Split, Split]:
    """Split a dataset twice: with inliers alone to train on, and with some of them replaced by outliers.

    Both have the same number of training rows and the same test rows. The outliers among the training rows are no test
    rows; at most half of the outliers are taken.
    """
    train, inliers, outliers = _parts(folder, name, seed)
    number = min(max(1, round(len(train) * share)), len(outliers) // 2)
    mixed, tested = np.concatenate([train[number:], outliers[:number]]), outliers[number:]
    return standardized(train, inliers, tested), standardized(mixed, inliers, tested)


def _parts(folder: pathlib.Path, name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training inliers, test inliers and outliers in a random order."""
    with np.load(folder / f"{name}.npz") as arrays:
        x, anomalous = arrays["X"].astype(np.float64), arrays["y"] == 1
    generator = np.random.default_rng(seed)
    inliers = generator.permutation(np.flatnonzero(~anomalous))
    outliers = generator.permutation(np.flatnonzero(anomalous))
    half = len(inliers) // 2
    return x[inliers[:half][:MOST_ROWS]], x[inliers[half:][:MOST_ROWS]], x[outliers[:MOST_ROWS]]


def standardized(
    train: Float[np.ndarray, "n d"], inliers: Float[np.ndarray, "i d"], outliers: Float[np.ndarray, "o d"]
) -> Split:
    """Drop columns that are constant in training, standardize the others, and join inliers and outliers to test."""
    mean, std = train.mean(0), train.std(0)
    columns = np.flatnonzero(train.max(0) > train.min(0))
    scaled = lambda rows: ((rows - mean) / np.where(std, std, 1))[:, columns].astype(np.float32)
    test = np.concatenate([inliers, outliers])
    return Split(scaled(train), scaled(test), np.arange(len(test)) >= len(inliers))
