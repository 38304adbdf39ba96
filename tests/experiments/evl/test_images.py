"""The experiment end to end on scikit-learn's small digits, with few steps and guesses."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.common import cache, image_classifier
from experiments.evl import images, images_models, images_report
from jaxgen import data


@pytest.fixture
def small(monkeypatch):
    pictures = images_models.Pictures(data.Digits(), data.Digits(), digits=True)
    monkeypatch.setattr(images_models, "IMAGE_SETS", {"mnist": pictures})
    monkeypatch.setattr(images_models, "WIDTHS", (8, 8, 4))
    monkeypatch.setattr(images_models, "TARGETS", 50)
    monkeypatch.setattr(images_report, "DRAWS", 200)
    ours = images_models.ours
    monkeypatch.setattr(images_models, "ours", lambda *given: dataclasses.replace(ours(*given), batch_size=40))


@pytest.mark.slow
def test_every_cell_is_measured_written_and_drawn(small, tmp_path, monkeypatch):
    experiment = images.Experiment(
        sets=("mnist",), steps=4, classifier_steps=10, guesses=1024, cache_dir=tmp_path, output_dir=tmp_path
    )
    image_classifier.train.cache_clear()
    nearest, digits = experiment.run()
    values = {row.title.split(": ")[1]: row.values for row in nearest.rows}
    for measured in values.values():
        assert np.isfinite([number for numbers in measured.values() for number in numbers]).all()
        curve = [measured[f"nearest_{n}"][0] for n in (1, 16, 64, 256, 1024)]
        assert curve == sorted(curve, reverse=True)
    (x,) = data.Digits().tables()
    targets = x[np.random.default_rng(0).permutation(len(x))[:50]]
    expected = np.mean((targets - x.mean(0)) ** 2)  # one guess, whatever n
    np.testing.assert_allclose(values["the mean training image (chance)"]["nearest_1024"], expected, rtol=1e-4)
    for row in digits.rows:
        assert np.isclose(sum(row.values[f"share_{digit}"][0] for digit in range(10)), 1)
    assert len(digits.rows) == 2 + 1 + 2 * 2  # labels and chance, training images, two networks weighted and not
    assert (tmp_path / "images_mnist.png").stat().st_size > 10_000
    assert len(json.loads((tmp_path / "images.json").read_text())["rows"]) == 4
    monkeypatch.setattr(cache, "write_whole", None)  # again: nothing is computed a second time
    assert [table.rows for table in experiment.run()] == [nearest.rows, digits.rows]


def test_the_paper_s_protocol_is_what_papers_say(small):
    config = images_models.paper("mnist", 3)
    method, epoch = config.method, 1797 // 50
    assert (config.steps, config.batch_size, config.shuffle, config.seed) == (20 * epoch, 50, False, 3)
    assert (method.candidates.num_candidates, method.latent_dim, method.ema_decay) == (512, 2, None)
    assert method.generator.widths == (512, 256, 128, 128, 64)
    assert method.weight_network.widths == (256, 256, 256, 256, 1)
    assert (method.learning_rate.initial, method.learning_rate.factor, method.learning_rate.transition_steps) == (
        1e-4,
        0.95,
        epoch,
    )


def test_frequencies_are_shares():
    certain = np.log(np.eye(3)[[0, 0, 1, 2]] * 0.98 + 0.01)
    found = image_classifier.frequencies(certain, np.array([0, 1, 1, 1]))
    assert (found["share_0"], found["share_1"], found["share_2"]) == (0.5, 0.25, 0.25)
    np.testing.assert_allclose((found["variation"], found["confidence"]), (0.5, 0.99))


def test_unknown_rows_are_an_error():
    with pytest.raises(SystemExit, match="rows must be among mean, training"):
        images.Experiment(rows=("gan",))
    with pytest.raises(SystemExit, match="sets must be among mnist, cifar10"):
        images.Experiment(sets=("letters",))
    with pytest.raises(SystemExit, match=r"guesses must be among 1, 16, .* \(got 1000\)"):
        images.Experiment(guesses=1000)


def test_the_map_is_colored_by_probability():
    times = np.ones((16, 16))
    times[0, 0], times[2, 1] = 0.1, 1.9
    picture = images_models.mosaic(np.ones((256, 2, 3, 1)), times)
    assert picture.shape == (32, 48, 3)
    red, blue, white = picture[0, 0], picture[5, 4], picture[-1, -1]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    np.testing.assert_allclose(white, 1)
