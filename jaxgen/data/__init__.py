"""Data: tables of rows, toys of known law, and image sets."""

from jaxgen.data.batches import fractions, plan, take
from jaxgen.data.connections import KDD99
from jaxgen.data.images import Digits, Images, Labelled, Signed
from jaxgen.data.outcomes import DoublePendulum, NoisyRing, Outcomes
from jaxgen.data.stacked import StackedMNIST
from jaxgen.data.tables import Arrays, Dataset, Table, Together
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
    "Labelled",
    "NoisyRing",
    "Outcomes",
    "Normal",
    "PlanarSwissRoll",
    "Rings",
    "Signed",
    "StackedMNIST",
    "SwissRoll",
    "Table",
    "Together",
    "Toy",
    "TwentyFiveGaussians",
    "TwoMoons",
    "fractions",
    "plan",
    "take",
]
