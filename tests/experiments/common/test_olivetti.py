"""Faces are gray and between -1 and 1."""

import types

import jax.numpy as jnp
import numpy as np
from sklearn import datasets

from experiments.common.olivetti import Olivetti
from jaxgen import data


def test_gray_faces_in_three_channels(monkeypatch):
    faces = np.random.default_rng(0).integers(0, 256, (5, 64, 64)).astype(np.float32) / 255
    monkeypatch.setattr(datasets, "fetch_olivetti_faces", lambda: types.SimpleNamespace(images=faces))
    (x,) = Olivetti().tables()
    assert x.shape == (5, 64, 64, 3)
    pixels = data.take(jnp.asarray(x), jnp.arange(5))
    np.testing.assert_allclose(pixels, np.repeat(2 * faces[..., None] - 1, 3, -1), atol=1e-6)
