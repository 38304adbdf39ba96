"""Strict test environment: four devices, no implicit rank promotion, warnings as errors, checked annotations."""

import functools
import gc
import importlib.metadata
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile

# Set before JAX is imported. With fewer XLA threads than twice the devices, collectives can deadlock.
SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "4",
    "NPROC": "16",
    # Compilation takes most of the test time. Tests that depend on XLA's optimizations are marked `optimized`.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_COMPILATION_CACHE_DIR": os.path.join(tempfile.gettempdir(), "jaxgen-xla-{}.{}".format(*sys.version_info)),
    # A small program is compiled again sooner than it is written.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
# With these XLA compiles in two thirds of the time. A test marked `optimized` is also run without them, by `.ci/run`.
FLAGS = (
    "--xla_cpu_opt_preset=FAST_COMPILE",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)


def known_flags() -> str:
    """The flags that this jaxlib knows: XLA ends a process given an unknown one, so each is tried once, in another."""
    release = "{}-{}.{}".format(importlib.metadata.version("jaxlib"), *sys.version_info)
    kept = pathlib.Path(tempfile.gettempdir(), f"jaxgen-xla-flags-{release}")
    if not kept.exists():
        ends = [
            subprocess.Popen(
                [sys.executable, "-c", "import jax; jax.devices()"],
                env={**os.environ, "XLA_FLAGS": flag},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for flag in FLAGS
        ]
        written = kept.with_suffix(f".{os.getpid()}")
        written.write_text(" ".join(flag for flag, end in zip(FLAGS, ends, strict=True) if end.wait() == 0))
        written.replace(kept)  # whole or not at all, for another run may read it
    return kept.read_text()


for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)
if "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = known_flags()

import jax
import jaxtyping
import numpy as np
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # for `tiny`, which tests and their subprocesses share


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections, which tracing causes by the thousand."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


@pytest.fixture(scope="session", autouse=True)
def all_programs_kept():
    """Keep every compiled training of a process, not the latest eight: tests train the same small methods."""
    from jaxgen.training import compilation

    with pytest.MonkeyPatch.context() as patch:
        kept = functools.lru_cache(maxsize=None)(compilation._programs.__wrapped__)
        patch.setattr(compilation, "_programs", kept)
        yield


@pytest.fixture
def roll() -> np.ndarray:
    """256 points of a swiss roll."""
    from jaxgen import data

    return data.SwissRoll(n=256, test_n=1).tables()[0]


TESTED = itertools.count(1)


@pytest.fixture(autouse=True)
def few_programs():
    """Drop compiled programs before they exceed the number of memory mappings per process, 65,530 on Linux."""
    yield
    maps = pathlib.Path("/proc/self/maps")  # which takes long to read: ten tests map a few thousand pieces
    if next(TESTED) % 10 == 0 and maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def optimized(request):
    """Compile tests marked `optimized` with XLA's default optimizations."""
    if not request.node.get_closest_marker("optimized"):
        yield
        return
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
