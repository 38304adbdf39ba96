"""The experiment end to end on scikit-learn's small digits, with dense networks and an untrained extractor."""

import json

import numpy as np
import pytest
import tiny

import jaxgen
from experiments.common import cache, feature_extractors
from experiments.meg import cifar10, image_models
from jaxgen import data


class Others:
    """Digits that no images are compared with."""

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
    cifar10.training_features.cache_clear()


@pytest.mark.slow
def test_every_cell_is_evaluated_written_and_drawn(small, tmp_path, monkeypatch):
    experiment = cifar10.Experiment(
        models=("meg",),
        steps=4,
        num_samples=120,
        classifier_steps=100,
        extractor="tiny:looked",
        quick=True,
        cache_dir=tmp_path,
    )
    (table,) = experiment.run()
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
    assert (tmp_path / "quick" / "cifar10.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "quick" / "cifar10.json").read_text())["extractor"] == "tiny:looked"
    monkeypatch.setattr(cache, "write_whole", None)  # nothing is computed a second time
    assert experiment.run()[0].rows == table.rows


def test_an_extractor_that_cannot_be_found_is_an_error(small, tmp_path):
    find = lambda extractor: cifar10.find(cifar10.Experiment(extractor=extractor).evaluation())
    with pytest.raises(SystemExit, match=r"directory of a saved classifier \(got nowhere:features"):
        find("nowhere:features")
    with pytest.raises(SystemExit, match=r"directory of a saved classifier \(got tiny:missing"):
        find("tiny:missing")
    jaxgen.train(tiny.config(tiny.evl(), steps=1, steps_per_call=1, num_seeds=1), progress=False).save(
        tmp_path / "mean"
    )
    with pytest.raises(SystemExit, match=r"must be a saved Classifier \(got a EVL"):
        find(str(tmp_path / "mean"))


def test_few_samples_are_an_error_at_once(small, tmp_path):
    with pytest.raises(SystemExit, match=r"num_samples must be 64 or more \(got 32"):
        cifar10.Experiment(num_samples=32, cache_dir=tmp_path).run()
    assert cifar10.Experiment(paper=True).evaluation().num_samples == 1797 // 2


def test_another_saved_classifier_is_measured_anew(small, tmp_path):
    (tmp_path / "saved").mkdir()
    digests = []
    for content in ("one", "two"):
        (tmp_path / "saved" / "weights").write_text(content)
        settings = {str(cell.settings) for cell in cifar10.Experiment(extractor=str(tmp_path / "saved")).cells()}
        digests.append(settings)
    assert not digests[0] & digests[1]
    assert cifar10.digest("tiny:looked") == ""


def test_unknown_models_are_an_error():
    with pytest.raises(SystemExit, match="models must be among meg"):
        cifar10.Experiment(models=("vae",))
