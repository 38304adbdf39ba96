"""Stacked MNIST: each channel is a digit with its label."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data


def test_each_channel_is_a_digit_with_its_label():
    kind = data.StackedMNIST(3, n=50, images=data.Digits())
    (x,), labels = kind.tables(), kind.labels()
    assert (x.shape, x.dtype, labels.shape) == ((50, 8, 8, 3), np.int8, (50, 3))
    (digits,), names = data.Digits().tables(), data.Digits().labels()
    pixels = (np.asarray(data.take(jnp.asarray(x), jnp.arange(50))) + 1) / 2
    for stack in range(3):
        apart = np.abs(pixels[:, None, ..., stack] - digits[None, ..., 0]).max((2, 3))
        assert (apart.min(1) < 1 / 255).all()
        assert (names[apart.argmin(1)] == labels[:, stack]).all()


def test_tuples_follow_the_seed_and_default_to_the_paper_s_number():
    same = [data.StackedMNIST(2, n=20, seed=seed, images=data.Digits()).labels() for seed in (1, 1, 2)]
    np.testing.assert_array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])
    assert data.StackedMNIST(1, images=data.Digits()).labels().shape == (1280, 1)


def test_invalid_stacks_and_images_raise(monkeypatch):
    with pytest.raises(ValueError, match=r"must be 1 or more \(got 0 and None\)"):
        data.StackedMNIST(0)
    monkeypatch.setattr(data.Images, "tables", lambda self: (np.zeros((4, 2, 2, 3), np.uint8),))
    monkeypatch.setattr(data.Images, "labels", lambda self: np.zeros(4, int))
    with pytest.raises(ValueError, match=r"must have one channel \(got 3\)"):
        data.StackedMNIST(2, n=3, images=data.Images("cifar10")).tables()
