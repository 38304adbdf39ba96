"""ADBench's classical datasets, and the split of each into training inliers and test rows."""

import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["EVALUATED", "TEST_INLIERS", "TRAIN_ROWS", "TUNING", "Split", "checked", "split"]

TUNING = ("14_glass", "29_Pima", "45_wine", "4_breastw")  # datasets that chose the settings
# Without WBC, whose rows are a part of breastw's.
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
    "7_Cardiotocography",
)
TRAIN_ROWS = 10_000  # most training rows
TEST_INLIERS = 10_000  # most inliers among the test rows


class Split(NamedTuple):
    """Training inliers and test rows, standardized by the training inliers."""

    train: Float[np.ndarray, "n d"]
    test: Float[np.ndarray, "m d"]
    anomalous: Bool[np.ndarray, " m"]


def checked(folder: pathlib.Path | None, names: tuple[str, ...]) -> pathlib.Path:
    """Return the folder if it has a file for every dataset.

    Args:
        folder: directory of the files `NAME.npz`.
        names: names of datasets.

    Raises:
        SystemExit: if there is no such directory, or a file is missing.
    """
    source = "get the files of adbench/datasets/Classical from github.com/Minqi824/ADBench, and give --folder PATH"
    if folder is None or not (folder := folder.expanduser()).is_dir():
        raise SystemExit(f"folder must be a directory of datasets (got {folder}); {source}.")
    if missing := [name for name in names if not (folder / f"{name}.npz").is_file()]:
        raise SystemExit(f"folder must hold {missing[0]}.npz (got {folder}, which does not); {source}.")
    return folder


def split(folder: pathlib.Path, name: str, seed: int) -> Split:
    """Split a dataset: half of its inliers are for training, the others and all outliers for testing.

    Columns that are constant in training are dropped. The others are standardized, and permuted by the seed: networks
    with the same initial parameters thus start differently for each seed.

    Args:
        folder: directory of `NAME.npz`, with rows `X [n, d]` and labels `y [n]`, 1 for outliers.
        name: name of the dataset.
        seed: seed of the choice of rows and of the order of columns.

    Returns:
        At most `TRAIN_ROWS` training rows. The test rows begin with inliers, at most `TEST_INLIERS`.
    """
    with np.load(folder / f"{name}.npz") as arrays:
        x, anomalous = arrays["X"], arrays["y"] == 1
    generator = np.random.default_rng(seed)
    inliers = generator.permutation(np.flatnonzero(~anomalous))
    half = len(inliers) // 2
    test_inliers = inliers[half:][:TEST_INLIERS]
    train = x[inliers[:half][:TRAIN_ROWS]].astype(np.float64)
    test = x[np.concatenate([test_inliers, np.flatnonzero(anomalous)])].astype(np.float64)
    mean, std = train.mean(0), train.std(0)
    columns = generator.permutation(np.flatnonzero(train.max(0) > train.min(0)))
    scaled = lambda rows: ((rows - mean) / np.where(std, std, 1))[:, columns].astype(np.float32)
    return Split(scaled(train), scaled(test), np.arange(len(test)) >= len(test_inliers))
