"""Every test runs on the same samples, and alternatives have the moments that their names state."""

import numpy as np
import pytest

from experiments.mmd import power


@pytest.mark.slow
def test_every_alternative_is_tested_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(
        power, "ALTERNATIVES", {name: power.ALTERNATIVES[name] for name in ("equal distributions", "wider by a half")}
    )
    monkeypatch.setattr(power.importlib.util, "find_spec", lambda name: None)
    (table,) = power.Experiment(draws=3, quick=True, cache_dir=tmp_path).run()
    assert len(table.rows) == 2 * len(power.TESTS)
    assert all(bool(row.values) != row.title.split(": ")[1].startswith("hyppo") for row in table.rows)
    assert "hyppo is not installed" in (tmp_path / "quick" / "power.md").read_text()


def test_alternatives_have_the_moments_that_their_names_say():
    generator = np.random.default_rng(0)
    draw = lambda name: power.ALTERNATIVES[name][1](generator, 4000)
    np.testing.assert_allclose(draw("shifted by 0.4").mean(0), [0.4, 0], atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(draw("wider by a half").std(0), [1.5, 1], rtol=0.07)
    np.testing.assert_allclose(draw("square, with equal moments").std(0), [1, 1], rtol=0.04)
    assert draw("ten dimensions, shifted by 0.6 in one").shape == (4000, 10)
