"""ADBench's classical sets: which there are, and how inliers are split into those to learn from and those to test."""

import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["CAP", "JUDGED", "ROWS", "TUNED", "Split", "present", "split"]

TUNED = ("14_glass", "29_Pima", "45_wine", "4_breastw")  # on which settings were chosen
# WBC is not among them, as its rows are a part of breastw's.
JUDGED = (
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
ROWS = 10_000  # to learn from, at the most
CAP = 10_000  # inliers among the test rows, at the most


class Split(NamedTuple):
    """Inliers to learn from, and test rows, all by the scale of the former."""

    train: Float[np.ndarray, "n d"]
    test: Float[np.ndarray, "m d"]
    anomalous: Bool[np.ndarray, " m"]


def present(folder: pathlib.Path | None, names: tuple[str, ...]) -> pathlib.Path:
    """Return the folder if it holds a file of every set.

    Args:
        folder: with `NAME.npz`.
        names: of sets.

    Raises:
        SystemExit: if there is no folder, or a set is not in it.
    """
    source = "get the files of adbench/datasets/Classical from github.com/Minqi824/ADBench, and give --folder PATH"
    if folder is None or not (folder := folder.expanduser()).is_dir():
        raise SystemExit(f"the folder of sets is {folder}; {source}.")
    if missing := [name for name in names if not (folder / f"{name}.npz").is_file()]:
        raise SystemExit(f"{folder} holds no {missing[0]}.npz; {source}.")
    return folder


def split(folder: pathlib.Path, name: str, seed: int) -> Split:
    """Split a set: half of its inliers are learned from, the others and all outliers are tested.

    Columns that are constant among the former are left out; the others get a mean of 0 and a deviation of 1 there, and
    stand in an order of the seed's. So networks that start from the same draw start apart on every seed.

    Args:
        folder: with `NAME.npz`, of rows `X [n, d]` and `y [n]`, which is 1 for outliers.
        name: of the set.
        seed: of the choice of rows, and of the order of columns.

    Returns:
        At most `ROWS` rows to learn from; the test rows, inliers first, of which there are at most `CAP`.
    """
    with np.load(folder / f"{name}.npz") as arrays:
        x, anomalous = arrays["X"], arrays["y"] == 1
    chance = np.random.default_rng(seed)
    usual = chance.permutation(np.flatnonzero(~anomalous))
    half = len(usual) // 2
    held = usual[half:][:CAP]
    seen = x[usual[:half][:ROWS]].astype(np.float64)
    tested = x[np.concatenate([held, np.flatnonzero(anomalous)])].astype(np.float64)
    mean, deviation = seen.mean(0), seen.std(0)
    kept = chance.permutation(np.flatnonzero(seen.max(0) > seen.min(0)))
    scaled = lambda rows: ((rows - mean) / np.where(deviation, deviation, 1))[:, kept].astype(np.float32)
    return Split(scaled(seen), scaled(tested), np.arange(len(tested)) >= len(held))
