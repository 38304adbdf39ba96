"""The experiment end to end on small synthetic images, with dense networks."""

import dataclasses
import json

import numpy as np
import pytest
import tiny

from experiments.negvae import grayscale, ood_evaluation, ood_figures, ood_table
from jaxgen import data, methods, nets
from jaxgen.optim import tensorflow_rmsprop


@dataclasses.dataclass(frozen=True)
class Bright:
    """Images of 8 by 8 that are bright in one place."""

    name: str
    split: str

    def tables(self):
        place = list(grayscale.SETS).index(self.name)
        x = np.random.default_rng(len(self.split)).integers(60, size=(120, 8, 8, 1), dtype=np.uint8)
        x[:, 2 * place : 2 * place + 3] += 150
        return (x,)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(grayscale.Experiment, "images", lambda self, name, split: Bright(name, split))
    monkeypatch.setattr(nets, "autoencoder", tiny.autoencoder)
    monkeypatch.setattr(nets, "ConvDecoder", lambda **layers: None)
    for name, value in {"ROWS": 40, "BATCH": 8}.items():
        monkeypatch.setattr(ood_evaluation, name, value)


@pytest.mark.slow
def test_every_cell_is_measured_and_written(small, tmp_path, monkeypatch):
    sources = ("none", "auxiliary", "untrained")
    experiment = grayscale.Experiment(sources=sources, steps=4, tested=60, quick=True, cache_dir=tmp_path)
    (table,) = experiment.run()
    others, names = ("MNIST", "Letters"), grayscale.SOURCES
    titles = [f"Fashion-MNIST, bernoulli, {names[source]} / {other}" for source in sources for other in others]
    assert sorted(row.title for row in table.rows) == sorted(titles)
    # With auxiliary negatives there are two models, each evaluated on the set that it has not seen.
    files = (tmp_path / "quick").glob("fashion-bernoulli-auxiliary-*.json")
    trained = [path.name.rsplit("-", 1)[0] for path in files]
    assert sorted(trained) == [f"fashion-bernoulli-auxiliary-{seen}-1" for seen in ("letters", "mnist")]
    for row in table.rows:
        scores = {name: values[0] for name, values in row.values.items() if name in ood_table.SCORES and values}
        missing = {"waic"} if "no negatives" in row.title else {"waic", "regret"}
        assert set(scores) == set(ood_table.SCORES) - missing
        assert all(0 <= value <= 1 for value in scores.values())
        assert bool(row.paper) == ("untrained" not in row.title)
    kept = json.loads((tmp_path / "quick" / "grayscale.json").read_text())["cells"][table.rows[0].title][0]
    low, high = kept["MNIST"]["interval"]["kl"]
    assert low <= kept["MNIST"]["auroc"]["kl"] <= high
    assert (tmp_path / "quick" / "grayscale-fashion-bernoulli.png").stat().st_size > 10_000
    monkeypatch.setattr(ood_figures, "draw", lambda *given: None)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "quick").glob("fashion-*.json")}
    (again,) = experiment.run()
    assert again.rows == table.rows
    assert written == {path: path.stat().st_mtime_ns for path in written}  # a second run measures nothing


def test_what_is_trained_is_the_released_protocol():
    experiment = grayscale.Experiment(paper=True)
    config = experiment.config("mnist", "gaussian", "auxiliary", "letters", 1)
    assert config.data == data.Zip((data.Images("mnist"), data.Images("emnist/letters")))
    assert (config.batch_size, config.method.learning_rate, config.method.shift) == (50, 1e-4, None)
    assert (config.steps, config.method.decoder) == (120_000, nets.ConvDecoder())
    assert config.method.optimizer is tensorflow_rmsprop
    assert isinstance(config.method.negatives, methods.Auxiliary)
    alone = experiment.config("mnist", "bernoulli", "none", "", 1)
    assert (alone.data, alone.method.negatives) == (data.Images("mnist"), None)


def test_the_paper_s_table_is_whole():
    published = grayscale.PUBLISHED
    assert len(published) == 12
    assert published["fashion", "mnist", "bernoulli"] == ((0.46, 0.61), (1.00, 1.00), (0.70, 0.88))


def test_images_are_turned():
    images = Bright("letters", "test")
    (x,) = images.tables()
    turned = lambda turn: ood_evaluation.Turned(images, turn).tables()[0]
    np.testing.assert_array_equal(turned(ood_evaluation.upright)[0, :, :, 0], x[0, :, :, 0].T)
    np.testing.assert_array_equal(turned(ood_evaluation.mirrored)[0, :, :, 0], np.fliplr(x[0, :, :, 0]))


def test_unknown_sets_are_an_error():
    with pytest.raises(SystemExit, match="inliers must be among fashion"):
        grayscale.Experiment(inliers=("cifar10",))


@pytest.mark.parametrize(("steps", "text"), [(600, "0.5 epochs"), (1_200, "1 epoch "), (3_600, "3 epochs")])
def test_epochs_are_counted(steps, text):
    assert text in grayscale.Experiment(steps=steps).size()
