"""Likelihood-based scores by hand, and PNG sizes of images of known complexity."""

import numpy as np
import pytest

from jaxgen import metrics


def test_noise_takes_more_bits_than_a_constant():
    generator = np.random.default_rng(0)
    noise = generator.integers(256, size=(3, 28, 28, 1), dtype=np.uint8)
    flat, ramp = np.zeros_like(noise), np.zeros_like(noise) + np.arange(28, dtype=np.uint8)[None, None, :, None]
    found = [metrics.png_bits_per_dim(images) for images in (flat, ramp, noise)]
    assert [len(bits) for bits in found] == [3, 3, 3]
    assert found[0].max() < found[1].min() < 1.2
    assert 8 < found[2].min() <= found[2].max() < 9.5  # eight bits, and the fixed part of a file


def test_floats_and_bytes_of_color_images_are_compressed_alike():
    bytes_ = np.random.default_rng(1).integers(256, size=(2, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(metrics.png_bits_per_dim(bytes_), metrics.png_bits_per_dim(bytes_ / np.float32(255)))


def test_typicality_is_the_distance_from_the_mean():
    np.testing.assert_allclose(metrics.typicality([1.0, 3.0, 9.0], [2.0, 4.0]), [2, 0, 6])
    for nats, training in (([1.0], []), ([[1.0]], [1.0]), ([1.0], [[1.0]])):
        with pytest.raises(ValueError, match=r"needs `nats` \[n\] and `training` \[m\]"):
            metrics.typicality(nats, training)


def test_waic_is_mean_and_variance_over_models():
    nats = np.random.default_rng(0).normal(size=(5, 4))
    expected = [np.mean(column) + np.sum((column - np.mean(column)) ** 2) / 4 for column in nats.T]
    np.testing.assert_allclose(metrics.waic(nats), expected)


def test_bad_input_raises():
    for bad in (np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 2), np.uint8), np.full((1, 8, 8, 1), 2.0)):
        with pytest.raises(ValueError, match="must be bytes, or numbers from 0 to 1"):
            metrics.png_bits_per_dim(bad)
    with pytest.raises(ValueError, match="with two models or more"):
        metrics.waic(np.zeros((1, 4)))
