"""Validation: dtypes, labels, ranges, weights and hashes, and what the error messages say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import validation
from jaxgen.data.batches import value_range


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32])
def test_floating_point_arrays_and_specs_pass(dtype):
    x = jnp.zeros((2, 3), dtype)
    assert validation.is_floating(x, jax.ShapeDtypeStruct((3,), dtype))
    assert validation.check_floating("loss", x) is x


@pytest.mark.parametrize("x", [np.zeros((2, 3), np.uint8), np.zeros((2, 3), bool), [1.0], (), 1.0])
def test_other_values_are_not_floating_point_arrays(unchecked, x):
    assert not validation.is_floating(x)
    assert not validation.is_floating(np.zeros(3, np.float32), x)
    with pytest.raises(TypeError, match="loss needs floating-point values"):
        validation.check_floating("loss", x)


def test_a_label_is_one_integer():
    assert validation.is_label(jax.ShapeDtypeStruct((), jnp.uint8))
    for other in (jax.ShapeDtypeStruct((1,), jnp.int32), jax.ShapeDtypeStruct((), jnp.float32), None, (), 3):
        assert not validation.is_label(other)


def test_labels_and_ranges_include_their_ends():
    validation.check_labels(np.array([0, 2]), 3)
    validation.check_range("Bernoulli", 0.0, 1.0)
    for low, high in ((-1e-6, 1.0), (0.0, 1.5), (np.nan, np.nan)):
        with pytest.raises(ValueError, match=r"Bernoulli needs values in \[0, 1\] \(got .*\); rescale the data"):
            validation.check_range("Bernoulli", low, high)


def test_the_range_of_a_table_is_that_of_a_training_step():
    """Bytes are converted as `take` converts them."""
    assert value_range(np.array([[0.5, -2.0], [3.0, 0.0]])) == (-2, 3)
    assert value_range(np.array([[0, 255]], np.uint8)) == (0, 1)
    assert value_range(np.array([[[-128, 127]]], np.int8)) == (-1, 1)


def test_hashable_methods_pass_and_others_are_named():
    @dataclasses.dataclass(frozen=True)
    class Method:
        widths: object

    validation.check_hashable(Method((1, 2)))
    with pytest.raises(
        TypeError, match=r"Method must be hashable.*unhashable type: 'list'.*use tuples instead of lists"
    ):
        validation.check_hashable(Method([1, 2]))
