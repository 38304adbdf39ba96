"""The models of Table 1 that Table 3 shares, and its own."""

from experiments.negvae import grayscale, negatives
from jaxgen import methods


def test_all_sources_are_evaluated_on_mnist():
    experiment = negatives.Experiment(steps=40)
    listed = {model.name: model for model in experiment.models()}
    first = {model.name: model for model in grayscale.Experiment(steps=40).models()}
    shared = {f"fashion-bernoulli-{name}" for name in ("none", "auxiliary-letters", "adversarial", "untrained")}
    assert set(listed) == shared | {f"fashion-bernoulli-{name}" for name in negatives.SOURCES}
    for name, model in listed.items():
        assert "MNIST" in model.outliers
        if name in shared:  # the very cells, so that they are not computed twice
            assert model.config(2) == first[name].config(2)
            assert (model.inlier, model.training_images, model.outliers) == (
                first[name].inlier,
                first[name].training_images,
                first[name].outliers,
            )
    assert listed["fashion-bernoulli-noisy"].config(1).method.negatives == methods.NoisyData(0.25)
    assert listed["fashion-bernoulli-kmnist"].config(1).data.datasets[1] == negatives.KMNIST
