"""Targets: names are read as users write them, and wrong ones are explained."""

import pytest

from jaxgen.accelerators.targets import CHIPS, Target


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("v5e", (1, 1)),
        ("v5e:1", (1, 1)),
        ("v5e:8", (2, 4)),
        ("v5e:2x4", (2, 4)),
        ("v5e:16", (4, 4)),
        ("v6e:32", (4, 8)),
        ("v4:8", (2, 2, 2)),
        ("v4:4", (2, 2, 1)),
        ("v4:2x2x1", (2, 2, 1)),
        ("h100:8", (1, 8)),
        ("h200:2x8", (2, 8)),
        ("cpu", (1, 1)),
        ("cpu:4", (1, 4)),
    ],
)
def test_shapes(name, shape):
    target = Target(name)
    assert target.shape == shape
    product = 1
    for side in shape:
        product *= side
    assert target.devices == product
    assert target.chip is CHIPS[name.partition(":")[0]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a100:1", "must be one of v5e"),
        ("", "must be one of"),
        ("v5e:0", "number of devices, or a shape"),
        ("v5e:2x", "number of devices, or a shape"),
        ("v5e:-1", "number of devices, or a shape"),
        ("v5e:2x2x1", "has 2 numbers"),
        ("v4:2x2", "has 3 numbers"),
        ("h100:1x2x4", "has 2 numbers"),
    ],
)
def test_wrong_names_are_explained(name, words):
    with pytest.raises(ValueError, match=words):
        Target(name)
