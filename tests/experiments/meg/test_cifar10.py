"""The experiment end to end on scikit-learn's small digits, with dense networks and a judge that is not trained."""

import dataclasses
import json

import numpy as np
import pytest
import tiny

import jaxgen
from experiments.common import feature_extractors
from experiments.meg import cifar10, image_models
from jaxgen import data


class Others:
    """Digits with which no images are compared."""

    def tables(self):
        return (data.Digits().tables()[0][1500:],)

    def labels(self):
        return data.Digits().labels()[1500:]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(image_models, "networks", tiny.adversaries)
    for name, value in {"TRAIN": data.Digits(), "TEST": Others()}.items():
        monkeypatch.setattr(cifar10, name, value)
    monkeypatch.setattr(image_models, "BLOCK", 50)
    feature_extractors.find.cache_clear()
    cifar10._features.cache_clear()


@pytest.mark.slow
def test_every_cell_is_judged_written_and_drawn(small, tmp_path, monkeypatch):
    experiment = cifar10.Experiment(
        ("meg",), steps=4, draws=120, judge_steps=100, extractor="tiny:looked", quick=True, cache_dir=tmp_path
    )
    table = cifar10.run(experiment)
    values = {row.title: row.values for row in table.rows}
    assert list(values) == [
        "test images (floor)",
        "other training images",
        "noise (chance)",
        "untrained",
        "MEG",
        "MEG, five latent steps",
    ]
    assert values["test images (floor)"]["frechet"][0] < values["untrained"]["frechet"][0]
    assert values["other training images"]["frechet"][0] < values["noise (chance)"]["frechet"][0]
    assert 0 < values["MEG, five latent steps"]["acceptance"][0] <= 1
    assert np.isfinite([number for row in values.values() for numbers in row.values() for number in numbers]).all()
    assert "tiny:looked" in table.remarks[0]
    assert (tmp_path / "quick" / "meg_cifar10.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "quick" / "meg_cifar10.json").read_text())["extractor"] == "tiny:looked"
    monkeypatch.setattr(image_models, "draws", None)  # again: nothing is computed a second time
    experiment = dataclasses.replace(experiment, cache_dir=tmp_path / "quick")
    assert [cifar10.trained(experiment, "meg", 0)["frechet"]] == values["MEG"]["frechet"]


def test_what_cannot_judge_is_told(small, tmp_path):
    with pytest.raises(SystemExit, match="no folder and no function nowhere:judge"):
        cifar10.extractor(cifar10.Experiment(extractor="nowhere:judge"))
    with pytest.raises(SystemExit, match="no function tiny:missing"):
        cifar10.extractor(cifar10.Experiment(extractor="tiny:missing"))
    jaxgen.train(tiny.config(tiny.Mean(), steps=1, steps_per_call=1, num_seeds=1), progress=False).save(
        tmp_path / "mean"
    )
    with pytest.raises(SystemExit, match="holds a Mean; name a saved Classifier"):
        cifar10.extractor(cifar10.Experiment(extractor=str(tmp_path / "mean")))


def test_few_draws_are_refused_at_once(small):
    with pytest.raises(SystemExit, match="32 images are too few"):
        cifar10.run(cifar10.Experiment(draws=32))
    assert cifar10.Experiment(paper=True).judged() == 1797 // 2


def test_unknown_models_are_told():
    with pytest.raises(SystemExit, match="choose from meg"):
        cifar10.run(cifar10.Experiment(("vae",)))
