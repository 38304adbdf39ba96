"""Experiments share what they compile, from cell to cell."""

import jax
import numpy as np
import pytest

from experiments.meg import kdd99_protocols
from jaxgen.data import kdd99


@pytest.fixture(autouse=True)
def programs_are_kept(monkeypatch):
    """Keep compiled programs, which experiments drop after each cell."""
    monkeypatch.setattr(jax, "clear_caches", lambda: None)


@pytest.fixture
def few_connections(monkeypatch):
    """KDD99 of 1,200 random connections, normal ones higher in every column, in small batches."""
    generator = np.random.default_rng(0)
    x, attack = generator.standard_normal((1200, 6)).astype(np.float32), generator.uniform(size=1200) < 0.8
    x[~attack] += 8
    monkeypatch.setattr(kdd99, "_connections", lambda distinct: (x, attack))
    monkeypatch.setattr(kdd99_protocols, "BATCH_SIZE", 64)
    monkeypatch.setattr(kdd99_protocols, "SCORE_BATCH_SIZE", 100)
