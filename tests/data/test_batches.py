"""Minibatches: each row at most once an epoch, as a function of seed and absolute step only."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data

SHAPES = [(12, 4), (13, 4), (5, 5), (7, 3), (100, 1)]


@pytest.mark.parametrize(("n", "rows"), SHAPES)
def test_every_row_at_most_once_an_epoch(n, rows):
    per_epoch = n // rows
    found = data.plan([0], n, rows, 0, 3 * per_epoch).reshape(3, per_epoch * rows)
    for epoch in found:
        assert len(set(epoch)) == per_epoch * rows
        assert set(epoch) <= set(range(n))
    if n > 5:
        assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize(("n", "rows"), SHAPES)
@pytest.mark.parametrize("shuffle", [True, False])
def test_parts_of_a_plan_equal_the_whole_plan(n, rows, shuffle):
    plan = lambda start, length: data.plan([1], n, rows, start, length, shuffle=shuffle)
    whole = plan(0, 17)
    for start, length in ((0, 1), (3, 4), (5, 12), (16, 1)):
        np.testing.assert_array_equal(plan(start, length), whole[start : start + length])


def test_without_shuffling_rows_come_in_order():
    found = data.plan([0], 7, 3, 0, 3, shuffle=False)
    np.testing.assert_array_equal(found, [[0, 1, 2], [3, 4, 5], [0, 1, 2]])


def test_first_rows_are_uniform():
    """Over 2,000 seeds each of ten rows comes first about 200 times; chi-square of 9 degrees, fails once in 10,000."""
    first = [data.plan([2, seed], 10, 2, 0, 1)[0, 0] for seed in range(2000)]
    counts = np.bincount(first, minlength=10)
    assert np.sum((counts - 200) ** 2 / 200) < 33.7


def test_seeds_tables_and_epochs_have_orders_of_their_own():
    orders = [data.plan(seed, 50, 50, start, 1)[0] for seed in ([0, 0], [0, 1], [1, 0]) for start in (0, 1)]
    assert len({tuple(order) for order in orders}) == 6


def test_take_turns_bytes_into_numbers_between_0_and_1():
    table = {"image": jnp.array([[0], [51], [255]], jnp.uint8), "label": jnp.array([4, 5, 6], jnp.uint8)}
    batch = data.take(table, jnp.array([2, 1]))
    np.testing.assert_allclose(batch["image"], [[1.0], [0.2]])
    np.testing.assert_array_equal(batch["label"], [6, 5])
    assert batch["label"].dtype == jnp.uint8  # columns are not images


def test_take_turns_signed_bytes_into_numbers_between_minus_1_and_1():
    table = jnp.array([-128, -1, 0, 127], jnp.int8)
    batch = data.take(table.reshape(4, 1, 1), jnp.array([0, 1, 2, 3]))
    np.testing.assert_allclose(batch[:, 0, 0], [-1, -1 / 255, 1 / 255, 1], rtol=1e-6)
    np.testing.assert_array_equal(data.take(table, jnp.array([3, 0])), [127, -128])  # labels are left unchanged
