"""What is trained and evaluated, against the paper's table."""

import dataclasses

import numpy as np
import pytest
import tiny

from experiments.negvae import color, ood_evaluation
from jaxgen import data, methods, nets
from jaxgen.optim import Cosine


@dataclasses.dataclass(frozen=True)
class Noise:
    """Images of 8 by 8; few of one set."""

    name: str
    split: str = "train"

    def tables(self):
        count = 15 if self.name == "svhn_cropped" else 30
        return (np.random.default_rng(len(self.name)).integers(255, size=(count, 8, 8, 3), dtype=np.uint8),)


@pytest.mark.slow
def test_it_is_measured_written_and_drawn(tmp_path, monkeypatch):
    for module, name, value in (
        (nets, "autoencoder", tiny.autoencoder),
        (data, "Images", Noise),
        (ood_evaluation, "BATCH", 8),
        (ood_evaluation, "ROWS", 10),
    ):
        monkeypatch.setattr(module, name, value)
    experiment = color.Experiment(
        inliers=("svhn",), sources=("none",), steps=2, rate=1e-3, tested=20, quick=True, cache_dir=tmp_path
    )
    (table,) = experiment.run()
    assert [row.title for row in table.rows] == [
        "SVHN, bernoulli, no negatives / CIFAR-10",
        "SVHN, bernoulli, no negatives / its mirror image",
        "SVHN, bernoulli, no negatives / its training images",
    ]
    (remark,) = table.remarks
    assert "Trained 2 steps" in remark
    assert "at a rate that falls from 0.001 (the paper's: 0.0001). Training and test images" in remark
    assert "20 test images of each set, 15 of its mirror image, 15 of its training images, 15 of SVHN;" in remark
    assert "its two sets have 30 images in common" in remark
    assert {path.name for path in (tmp_path / "quick").glob("color*")} == {
        "color.json",
        "color.md",
        "color-svhn-bernoulli.png",
    }


def test_every_row_of_the_paper_s_table_is_there():
    printed = {model.title: model.paper for model in color.Experiment().models() if any(model.paper.values())}
    assert len(printed) == 15
    assert printed["CIFAR-10, quantized, adversarial"] == {"SVHN": {"bpd": 0.82, "kl": 0.82}}
    assert printed["SVHN, gaussian, adversarial"] == {"CIFAR-10": {"kl": 0.74}}  # bits are not printed


def test_no_model_is_evaluated_on_a_set_that_it_learned():
    for model in color.Experiment().models():
        shown = model.config(1).data
        seen = shown.datasets if isinstance(shown, data.Zip) else (shown,)
        assert ("CIFAR-100" in model.outliers) == (seen == (data.Images("cifar10"),))
        assert "its mirror image" in model.outliers
        assert model.training_images in seen
        assert model.outliers["its training images"] == model.training_images
        assert isinstance(model.config(1).method.negatives, methods.Auxiliary) == (len(seen) == 2)


def test_the_paper_s_length():
    of = lambda source: color.Experiment(paper=True).config("svhn", "gaussian", source, 1)
    assert (of("none").steps, of("adversarial").steps) == (100_000, 300_000)


def test_the_rate_falls_where_one_is_given():
    of = lambda **choices: color.Experiment(**choices).config("cifar10", "bernoulli", "none", 1)
    assert of().method.learning_rate == of(paper=True).method.learning_rate == 1e-4
    assert of(rate=1e-3, steps=8).method.learning_rate == Cosine(1e-3, 8)


def test_unknown_choices_are_an_error():
    with pytest.raises(SystemExit, match="needs the inlier set cifar10"):
        color.Experiment(inliers=("svhn",), noises=("quantized",))
    with pytest.raises(SystemExit, match=r"noises must be among bernoulli, gaussian, quantized \(got laplace"):
        color.Experiment(noises=("laplace",))
