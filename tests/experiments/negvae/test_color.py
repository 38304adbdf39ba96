"""What is trained and asked about, against what the paper printed."""

import dataclasses

import numpy as np
import pytest
import tiny

from experiments.negvae import color, ood_evaluation
from jaxgen import data, methods, nets
from jaxgen.optim import Cosine


@dataclasses.dataclass(frozen=True)
class Made:
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
        (data, "Images", Made),
        (ood_evaluation, "BATCH", 8),
        (ood_evaluation, "ROWS", 10),
    ):
        monkeypatch.setattr(module, name, value)
    experiment = color.Experiment(
        inliers=("svhn",), sources=("none",), steps=2, rate=1e-3, tested=20, quick=True, cache_dir=tmp_path
    )
    table = color.run(experiment)
    assert [row.title for row in table.rows] == [
        "SVHN, bernoulli, no negatives / CIFAR-10",
        "SVHN, bernoulli, no negatives / its mirror image",
        "SVHN, bernoulli, no negatives / its training images",
    ]
    (remark,) = table.remarks
    assert "Trained 2 steps" in remark
    assert "at a rate that falls from 0.001 (the paper's: 0.0001). Images" in remark
    assert "20 test images of each set, 15 of its mirror image, 15 of its training images, 15 of SVHN;" in remark
    assert "its two sets have 30 images in common" in remark
    assert {path.name for path in (tmp_path / "quick").glob("negvae_color*")} == {
        "negvae_color.json",
        "negvae_color.md",
        "negvae_color-svhn-bernoulli.png",
    }


def test_every_line_of_the_paper_s_table_is_asked():
    listed = list(color.models(color.Experiment()))
    printed = {asked.title: asked.paper for asked in listed if any(asked.paper.values())}
    assert len(printed) == 15
    assert printed["CIFAR-10, quantised, adversarial"] == {"SVHN": {"bpd": 0.82, "kl": 0.82}}
    assert printed["SVHN, gaussian, adversarial"] == {"CIFAR-10": {"kl": 0.74}}  # bits are not printed


def test_who_has_seen_a_set_is_not_asked_about_it():
    for asked in color.models(color.Experiment()):
        shown = asked.config(1).data
        seen = shown.datasets if isinstance(shown, data.Zip) else (shown,)
        assert ("CIFAR-100" in asked.strangers) == (seen == (data.Images("cifar10"),))
        assert "its mirror image" in asked.strangers
        assert asked.known in seen
        assert asked.strangers["its training images"] == asked.known
        assert isinstance(asked.config(1).method.negatives, methods.Auxiliary) == (len(seen) == 2)


def test_the_paper_s_length():
    of = lambda source: color.configure(color.Experiment(paper=True), "svhn", "gaussian", source, 1)
    assert (of("none").steps, of("adversarial").steps) == (100_000, 300_000)


def test_the_rate_falls_where_one_is_given():
    of = lambda **choices: color.configure(color.Experiment(**choices), "cifar10", "bernoulli", "none", 1)
    assert of().method.learning_rate == of(paper=True).method.learning_rate == 1e-4
    assert of(rate=1e-3, steps=8).method.learning_rate == Cosine(1e-3, 8)


def test_unknown_choices_are_told():
    with pytest.raises(SystemExit, match="measured for cifar10 alone"):
        color.run(color.Experiment(inliers=("svhn",), noises=("quantised",)))
    with pytest.raises(SystemExit, match="there is no laplace; choose from bernoulli, gaussian, quantised"):
        color.run(color.Experiment(noises=("laplace",)))
