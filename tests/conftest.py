"""A stricter world than the user's: four devices, no silent broadcasting, warnings are errors, annotations checked."""

import os
import pathlib
import sys
import tempfile

# Before JAX is imported. XLA's thread pool must be at least twice as wide as the devices, or they can wait for ever.
SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "4",
    "NPROC": "16",
    # Most of a test's time is compilation. What depends on XLA's optimisations asks for them: `optimized`.
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
    """A few hundred points of a swiss roll."""
    from jaxgen import data

    return data.SwissRoll(n=256, test_n=1).tables()[0]


@pytest.fixture(autouse=True)
def few_programs():
    """Drop compiled programs before they exhaust what a process may map into its memory, 65,530 pieces on Linux."""
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture
def optimized():
    """Compile as the user does."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def unchecked():
    """Leave annotations unchecked, as the user does."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
