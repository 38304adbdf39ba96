"""What is trained and asked about, against what the paper printed."""

import pytest

from experiments import negvae_color
from jaxgen import data, methods


def test_every_line_of_the_paper_s_table_is_asked():
    listed = list(negvae_color.models(negvae_color.Experiment()))
    printed = {asked.title: asked.paper for asked in listed if any(asked.paper.values())}
    assert len(printed) == 15
    assert printed["CIFAR-10, quantised, adversarial"] == {"SVHN": {"bpd": 0.82, "kl": 0.82}}
    assert printed["SVHN, gaussian, adversarial"] == {"CIFAR-10": {"kl": 0.74}}  # bits are not printed


def test_who_has_seen_a_set_is_not_asked_about_it():
    for asked in negvae_color.models(negvae_color.Experiment()):
        shown = asked.config(1).data
        seen = shown.datasets if isinstance(shown, data.Together) else (shown,)
        assert ("CIFAR-100" in asked.strangers) == (data.Images("cifar100") not in seen)
        assert "its mirror image" in asked.strangers
        assert asked.known in seen
        assert isinstance(asked.config(1).method.negatives, methods.Auxiliary) == (len(seen) == 2)


def test_the_paper_s_length():
    of = lambda source: negvae_color.configure(negvae_color.Experiment(paper=True), "svhn", "gaussian", source, 1)
    assert (of("none").steps, of("adversarial").steps) == (100_000, 300_000)


def test_unknown_noise_is_told():
    with pytest.raises(SystemExit, match="there is no laplace; choose from bernoulli, gaussian, quantised"):
        negvae_color.run(negvae_color.Experiment(noises=("laplace",)))
