"""Strict test environment: four devices, no implicit rank promotion, warnings as errors, checked annotations."""

import os
import pathlib
import sys
import tempfile

# Set before JAX is imported. With fewer XLA threads than twice the devices, collectives can deadlock.
SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "4",
    "NPROC": "16",
    # Compilation takes most of the test time. Tests that depend on XLA's optimizations use the fixture `optimized`.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_COMPILATION_CACHE_DIR": os.path.join(tempfile.gettempdir(), "jaxgen-xla-{}.{}".format(*sys.version_info)),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)

import jax
import jaxtyping
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # for `tiny`, which tests and their subprocesses share


@pytest.fixture
def roll() -> np.ndarray:
    """256 points of a swiss roll."""
    from jaxgen import data

    return data.SwissRoll(n=256, test_n=1).tables()[0]


@pytest.fixture(autouse=True)
def few_programs():
    """Drop compiled programs before they exceed the number of memory mappings per process, 65,530 on Linux."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture
def optimized():
    """Compile with XLA's default optimizations."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def unchecked():
    """Turn the runtime check of annotations off, as in normal use."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
