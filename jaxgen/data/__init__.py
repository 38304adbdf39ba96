"""Datasets: arrays and files, synthetic data with known distributions, and image sets."""

from jaxgen.data.batches import plan, take, to_float
from jaxgen.data.conditional_toys import ConditionalToy, DoublePendulum, NoisyRing
from jaxgen.data.datasets import Arrays, Dataset, Table, Zip
from jaxgen.data.images import Digits, Images, Labeled, ScaledToTanh
from jaxgen.data.kdd99 import KDD99
from jaxgen.data.stacked_mnist import StackedMNIST
from jaxgen.data.stream import Stream
from jaxgen.data.toy import (
    Checkerboard,
    Cube,
    EightGaussians,
    GaussianMixture,
    Normal,
    PlanarSwissRoll,
    Rings,
    SwissRoll,
    Toy,
    TwentyFiveGaussians,
    TwoMoons,
)

__all__ = [
    "Arrays",
    "Checkerboard",
    "Cube",
    "Dataset",
    "Digits",
    "DoublePendulum",
    "EightGaussians",
    "GaussianMixture",
    "Images",
    "KDD99",
    "Labeled",
    "NoisyRing",
    "ConditionalToy",
    "Normal",
    "PlanarSwissRoll",
    "Rings",
    "ScaledToTanh",
    "StackedMNIST",
    "Stream",
    "SwissRoll",
    "Table",
    "Zip",
    "Toy",
    "TwentyFiveGaussians",
    "TwoMoons",
    "to_float",
    "plan",
    "take",
]
