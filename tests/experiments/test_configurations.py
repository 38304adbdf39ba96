"""What each experiment trains, at its full size: rows, networks and steps fit together, checked by shapes alone."""

import dataclasses
import itertools
import math

import jax
import numpy as np
import pytest

import jaxgen
from experiments.evl import baselines, conditional, density_cells, gaussians, images_models, memory, swiss_roll
from experiments.flows import image_models
from experiments.meg import chains, cifar10, image_models, kdd99_protocols, mnist_anomaly, stacked_mnist, toy
from experiments.mmd import maps, regularization
from experiments.negvae import ablations, color, grayscale, negatives
from experiments.tabular import one_class_models
from jaxgen import data
from jaxgen.data.validation import row_specs


def fits(config):
    """Check that a step takes a state to one alike, and tells numbers, whatever is in the rows."""
    specs = row_specs(config.data.tables())
    method = config.method.resolve(*specs)
    batch = jax.tree.map(lambda spec: jax.ShapeDtypeStruct((config.batch_size, *spec.shape), spec.dtype), specs)
    key = jax.random.key(0)
    state = jax.eval_shape(method.init, key, *batch)
    after, metrics = jax.eval_shape(method.step, key, state, *batch)
    alike = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert alike(after) == alike(state)
    assert "loss" in metrics
    assert all(metric.shape == () for metric in metrics.values())
    assert config.steps % config.steps_per_call == 0
    assert config.batch_size <= min(len(leaf) for leaf in jax.tree.leaves(config.data.tables()))
    return method


@pytest.fixture(autouse=True)
def black_images(monkeypatch):
    """Image sets of four hundred black images, whose shapes are those of the real ones."""
    side = lambda self: (32, 32, 3) if self.name in ("cifar10", "cifar100", "svhn_cropped") else (28, 28, 1)
    monkeypatch.setattr(data.Images, "tables", lambda self: (np.zeros((400, *side(self)), np.uint8),))
    monkeypatch.setattr(data.Images, "labels", lambda self: np.arange(400) % 10)


def few(config):
    """The same with fewer rows, where making them takes long."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, n=300))


ROLL = data.SwissRoll(n=2_000, test_n=1)
GAUSSIANS = data.GaussianMixture(n=2_000, test_n=1, dimensions=4)
TOYS = {
    "ours, roll": lambda: swiss_roll.ours(ROLL, 100),
    "ours, Gaussians": lambda: gaussians.ours(GAUSSIANS, 100),
    "published, roll": lambda: baselines.extreme_value(ROLL, 1),
    "published, Gaussians": lambda: baselines.extreme_value(GAUSSIANS, 1),
    "mixture density": lambda: baselines.mixture_density(ROLL, 1, components=3),
    "gan": lambda: baselines.gan(ROLL, 1),
    "gan, published": lambda: baselines.gan(ROLL, 1, published=True),
    **{
        f"density, {cell.title}": lambda cell=cell: density_cells.config(cell, 100, 1)
        for cell in (
            density_cells.Cell(1, 0.5, 8),
            density_cells.Cell(2, 2.0, 8),
            density_cells.Cell(1, 1.0, 8, shared=True),
            density_cells.Cell(1, 1.0, 8, apart=2.0),
        )
    },
    **{
        f"{name}, {model}": lambda name=name, model=model: few(
            conditional.configure(conditional.Experiment(), name, model, 1)
        )
        for name, model in itertools.product(conditional.PROBLEMS, conditional.MODELS)
        if conditional.MODELS[model].make
    },
    **{f"energy, {name}": lambda name=name: toy.configure(toy.Experiment(width=32), name, 0) for name in toy.TOYS},
    **{
        f"{name}, {variant}": lambda name=name, variant=variant: maps.configure(maps.Experiment(), name, variant, 0)
        for name, variants in maps.ASKED.items()
        for variant in variants
        if variant != "factored"
    },
    "f3, factored": lambda: maps.factored(maps.configure(maps.Experiment(), "f3", "factored", 0))[0],
    **{
        f"penalty, {name}": lambda name=name: regularization.configure(regularization.Experiment(), name, 0)
        for name in regularization.PENALTIES
    },
}


@pytest.mark.parametrize("name", TOYS)
def test_toys(name):
    fits(TOYS[name]())


SIZE = image_models.Experiment().size()
IMAGES = {
    "ours, mnist": lambda: images_models.ours("mnist", 0, 100),
    "ours, cifar10": lambda: images_models.ours("cifar10", 0, 100),
    "paper, mnist": lambda: images_models.paper("mnist", 0),
    "paper, cifar10": lambda: images_models.paper("cifar10", 0),
    "memory, 4,096 guesses": lambda: memory.config("paper", 4096, 512),
    "chains, mnist": lambda: chains.configure(chains.Experiment(), "mnist", 0),
    "meg, cifar10": lambda: cifar10.configure(cifar10.Experiment(), "meg", 0),
    **{
        f"{model}, stacked": lambda model=model: stacked_mnist.configure(stacked_mnist.Experiment(), model, 3, 0)
        for model in image_models.VARIANTS
    },
    **{
        f"held out, {name}": lambda protocol=protocol: mnist_anomaly.configure(
            mnist_anomaly.Experiment(), protocol, 1, 0
        )
        for name, protocol in mnist_anomaly.PROTOCOLS.items()
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
def test_images(name):
    fits(IMAGES[name]())


@pytest.mark.slow
def test_photographs():
    faces = data.Arrays(np.zeros((400, 64, 64, 3), np.float32))
    fits(image_models.configure("meg", faces, (64, 64, 3), 0, SIZE))


NEGATIVES = {
    "grayscale": lambda: grayscale.models(grayscale.Experiment(inliers=("fashion",))),
    "colour": lambda: color.models(color.Experiment(inliers=("cifar10",))),
    "negatives": lambda: negatives.models(negatives.Experiment()),
    "ablations": lambda: ablations.models(
        ablations.Experiment(parts=("negative_reconstruction_weight", "dimension", "shift", "colour"))
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEGATIVES)
def test_autoencoders(name):
    """One of each kind of method: what differs in a number alone has the same shapes."""
    kinds = {}
    for asked in NEGATIVES[name]():
        method = asked.config(1).method
        kinds[type(method.observation_model), method.negatives, method.latent_dim] = asked
    for asked in kinds.values():
        method = fits(asked.config(1))
        assert math.isfinite(method.shift)
        assert asked.resolved(1).method == method


@pytest.mark.parametrize("dimensions", [2, 21])
def test_tables(dimensions):
    x = data.Arrays(np.zeros((500, dimensions), np.float32))
    flow, discriminator = one_class_models.flow(500, dimensions, 100), one_class_models.discriminator(100)
    for method, rows in (
        (flow, x),
        (discriminator, data.Zip((x, x))),
        (one_class_models.energy(dimensions, 100), x),
        (one_class_models.autoencoder(dimensions, 100), x),
    ):
        fits(jaxgen.Config(method, rows, steps=100, steps_per_call=100, batch_size=128))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 1)])
def test_flows_of_pictures(shape):
    size, rows = image_models.Size(), data.Arrays(np.zeros((200, *shape), np.float32))
    fits(jaxgen.Config(size.flow(shape, 100), rows, steps=100, steps_per_call=10, batch_size=100))


@pytest.mark.parametrize("name", kdd99_protocols.TRAININGS)
def test_connections(name, few_connections):
    fits(kdd99_protocols.configure(kdd99_protocols.TRAININGS[name], 0, 2))


def test_a_config_that_does_not_fit_is_seen():
    config = image_models.configure("meg", data.Arrays(np.zeros((400, 32, 32, 3), np.float32)), (28, 28, 3), 0, SIZE)
    with pytest.raises(ValueError, match="rows of shape"):
        fits(config)
