"""Memory of many trainings in one process."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = """
import jax, numpy as np, psutil
import jaxgen
from jaxgen import data, methods, nets

x = np.random.default_rng(0).normal(size=(48, 2)).astype(np.float32)
network = nets.dense_flow(2, depth=2, widths=(8,))
for count in range(50):
    method = methods.Flow(network, learning_rate=1e-3 * (1 + count))
    config = jaxgen.Config(method, data.Arrays(x), steps=4, batch_size=48, steps_per_call=2)
    result = jaxgen.train(config, progress=False)
    result.sample(jax.random.key(0), 10), result.scores(x)
    print(psutil.Process().memory_info().rss / 2**20, flush=True)
"""


@pytest.mark.slow
def test_fifty_trainings_stay_within_400_mib_above_the_first():
    pytest.importorskip("psutil", reason="psutil is not installed")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}  # as users compile
    ran = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=3_000)
    assert ran.returncode == 0, ran.stderr[-3_000:]
    sizes = list(map(float, ran.stdout.split()))
    assert len(sizes) == 50
    assert max(sizes) - sizes[0] < 400, sizes
    assert sizes[-1] - sizes[24] < 100, sizes  # the caches are full by then
