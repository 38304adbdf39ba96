"""Experiments are tested for what they measure, keep and write, not for XLA's optimisations, which take time."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def quickly_compiled():
    """Compile without most of XLA's optimisations."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
