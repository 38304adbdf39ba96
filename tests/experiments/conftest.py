"""Experiments share what they compile, from cell to cell."""

import jax
import pytest


@pytest.fixture(autouse=True)
def programs_are_kept(monkeypatch):
    """Experiments drop their programs after each cell, so that its time is its own; here it would be spent twice."""
    monkeypatch.setattr(jax, "clear_caches", lambda: None)
