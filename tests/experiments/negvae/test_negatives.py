"""The models of Table 1 that Table 3 shares, and its own."""

from experiments.negvae import grayscale, negatives
from jaxgen import methods


def test_all_sources_are_asked_about_mnist():
    experiment = negatives.Experiment(steps=40)
    listed = {asked.name: asked for asked in negatives.models(experiment)}
    first = {asked.name: asked for asked in grayscale.models(grayscale.Experiment(steps=40))}
    shared = {f"fashion-bernoulli-{name}" for name in ("none", "auxiliary-letters", "adversarial", "untrained")}
    assert set(listed) == shared | {f"fashion-bernoulli-{name}" for name in negatives.SOURCES}
    for name, asked in listed.items():
        assert "MNIST" in asked.strangers
        if name in shared:  # the very cells, so that they are not computed twice
            assert asked.config(2) == first[name].config(2)
            assert (asked.inlier, asked.known, asked.strangers) == (
                first[name].inlier,
                first[name].known,
                first[name].strangers,
            )
    assert listed["fashion-bernoulli-noisy"].config(1).method.negatives == methods.NoisyData(0.25)
    assert listed["fashion-bernoulli-kmnist"].config(1).data.datasets[1] == negatives.KMNIST
