"""Experiments share what they compile, from cell to cell."""

import jax
import numpy as np
import pytest

from experiments.meg import kdd99_protocols
from jaxgen import data


@pytest.fixture(autouse=True)
def programs_are_kept(monkeypatch):
    """Experiments drop their programs after each cell, so that its time is its own; here it would be spent twice."""
    monkeypatch.setattr(jax, "clear_caches", lambda: None)


@pytest.fixture
def few_connections(monkeypatch):
    """KDD99 of 1,200 made connections, normal ones higher in every column, in small batches."""
    generator = np.random.default_rng(0)
    x, attack = generator.standard_normal((1200, 6)).astype(np.float32), generator.uniform(size=1200) < 0.8
    x[~attack] += 8
    monkeypatch.setattr(data.connections, "_connections", lambda distinct: (x, attack))
    monkeypatch.setattr(kdd99_protocols, "BATCH", 64)
    monkeypatch.setattr(kdd99_protocols, "ROWS", 100)
