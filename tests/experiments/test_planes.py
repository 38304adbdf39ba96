"""The measures of an energy in the plane."""

import numpy as np

from experiments import planes


def test_the_best_inverse_temperature_is_found():
    centres = (np.arange(planes.FINE.bins) + 0.5) * 4 / planes.FINE.bins - 2
    log_density = -0.5 * (centres[:, None] ** 2 + centres[None] ** 2).ravel() / 0.09
    counts = np.exp(3 * log_density)
    assert abs(planes._best(log_density, counts / counts.sum()) - 3) < 0.01
