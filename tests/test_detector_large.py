"""Detector on a large table: processor time and memory, measured in a process of its own."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource, time
import numpy as np
from jaxgen.detector import Detector
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
generator = np.random.default_rng(0)
rows = generator.normal(size=(100_000, 5)) @ generator.normal(size=(5, 30)) + 0.3 * generator.normal(size=(100_000, 30))
before, start = peak(), time.process_time()
Detector(random_state=0).fit(rows).score_samples(rows)
print(json.dumps([time.process_time() - start, peak() - before]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of the peak is that of Linux")
def test_a_large_table_takes_less_than_a_minute_and_a_gibibyte():
    """Measured: 11 seconds of the processor and 0.36 GiB, to fit 100,000 x 30 and to score it."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    seconds, gibibytes = json.loads(found.stdout.splitlines()[-1])
    assert seconds < 60
    assert gibibytes < 1
