"""The experiment end to end on scikit-learn's small digits, with dense networks."""

import json

import numpy as np
import pytest
import tiny

from experiments.common import cache, image_classifier
from experiments.meg import image_models, stacked_mnist
from jaxgen import data


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(image_models, "networks", tiny.adversaries)
    for name, value in {"TRAIN": data.Digits(), "TEST": data.Digits(), "SAMPLES_PER_MODE": 4}.items():
        monkeypatch.setattr(stacked_mnist, name, value)
    image_classifier.train.cache_clear()
    stacked_mnist.predicted_digits.cache_clear()


@pytest.mark.slow
def test_every_cell_is_counted_written_and_drawn(small, tmp_path, monkeypatch):
    models = ("wgan_released",)
    experiment = stacked_mnist.Experiment(
        models=models, stacks=(2,), steps=4, classifier_steps=20, quick=True, cache_dir=tmp_path
    )
    (table,) = experiment.run()
    values = {row.title.removeprefix("2 digits: "): row.values for row in table.rows}
    assert len(values) == len(stacked_mnist.REFERENCES) + 1 + len(models)
    assert values["an even sampler (floor)"]["covered"][0] >= 95  # of 100, each expected four times
    assert values["the training tuples"]["above"] == [0]
    assert values["untrained"]["covered"][0] < 60
    assert np.isfinite([number for row in values.values() for numbers in row.values() for number in numbers]).all()
    assert (tmp_path / "quick" / "stacked_mnist.png").stat().st_size > 10_000
    assert set(json.loads((tmp_path / "quick" / "stacked_mnist.json").read_text())["configs"]) == {"wgan_released, 2"}
    monkeypatch.setattr(cache, "write_whole", None)  # nothing is computed a second time
    assert experiment.run()[0].rows == table.rows


def test_the_paper_s_size_is_what_papers_say(monkeypatch):
    monkeypatch.setattr(stacked_mnist, "TRAIN", data.Digits())
    monkeypatch.setattr(image_models, "networks", lambda shape, width: tiny.adversaries(shape, width))
    experiment = stacked_mnist.Experiment(paper=True)
    config = experiment.config("meg_released", 3, 0)
    assert (config.steps, config.batch_size, experiment.size().width) == (100_000, 5 * 64, 512)
    assert (config.method.n_critic, config.method.penalty, config.method.latent_dim) == (5, 10.0, 128)


def test_unknown_models_are_an_error():
    with pytest.raises(SystemExit, match="models must be among meg"):
        stacked_mnist.Experiment(models=("vae",))
