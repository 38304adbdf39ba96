"""Every config that an experiment can produce: rows, networks and steps fit together, checked by shapes alone."""

import dataclasses
import importlib
import pathlib

import jax
import numpy as np
import pytest

import experiments
import jaxgen
from experiments.common import olivetti
from jaxgen import data, methods, nets
from jaxgen.data.validation import row_specs
from jaxgen.optim.schedules import with_run_length

FOLDER = pathlib.Path(experiments.__file__).parent
MODULES = [
    f"experiments.{path.parent.name}.{path.stem}"
    for path in sorted(FOLDER.glob("*/*.py"))
    if "experiment.main(Experiment)" in path.read_text()
]


def check(config, traced):
    """A step maps a state to one of the same structure, and returns scalars, whatever values the rows have.

    Configs that differ only in the values of their rows have the same shapes, so one of each kind is traced.
    """
    tables = config.data.tables()
    specs = row_specs(tables)
    assert config.steps % config.steps_per_call == 0
    assert config.batch_size <= min(len(leaf) for leaf in jax.tree.leaves(tables))
    traits = str((kind(jaxgen.to_json(config.method)), config.batch_size, specs))
    if traits in traced:
        return
    traced.add(traits)
    method = with_run_length(config.method, config.steps).resolve(*specs)
    batch = jax.tree.map(lambda spec: jax.ShapeDtypeStruct((config.batch_size, *spec.shape), spec.dtype), specs)
    key = jax.random.key(0)
    state = jax.eval_shape(method.init, key, *batch)
    after, metrics = jax.eval_shape(method.step, key, state, *batch)
    shapes = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert shapes(after) == shapes(state)
    assert "loss" in metrics
    assert all(metric.shape == () for metric in metrics.values())


def kind(value):
    """A config's JSON without its floating-point numbers and seeds, which change no shape."""
    if isinstance(value, dict):
        return {name: kind(item) for name, item in value.items() if name not in ("seed", "steps", "steps_per_call")}
    if isinstance(value, list):
        return [kind(item) for item in value]
    return None if isinstance(value, float) else value


@pytest.fixture(autouse=True)
def black_images(monkeypatch):
    """Sets of four hundred black images, with the shapes of the real ones."""
    side = lambda self: (32, 32, 3) if self.name in ("cifar10", "cifar100", "svhn_cropped") else (28, 28, 1)
    monkeypatch.setattr(data.Images, "tables", lambda self: (np.zeros((400, *side(self)), np.uint8),))
    monkeypatch.setattr(data.Images, "labels", lambda self: np.arange(400) % 10)
    monkeypatch.setattr(olivetti.Olivetti, "tables", lambda self: (np.zeros((400, 64, 64, 3), np.float32),))


# The part `adversary` trains a model to sample its negatives; shapes of equal dimensions have equal networks.
FIELDS = {
    "experiments.negvae.ablations": {"parts": ("reconstructed", "dimension", "shift", "color")},
    "experiments.flows.densities": {"shapes": ("two moons", "helix"), "tables_learned": ("iris", "wine")},
}


def configurations(name, tmp_path):
    """One config of each kind, at full size, at the paper's, and of a quick run."""
    Experiment = importlib.import_module(name).Experiment
    fields = {field.name for field in dataclasses.fields(Experiment)}
    changes = {"cache_dir": tmp_path, **FIELDS.get(name, {})}
    sizes = [Experiment(num_seeds=1, **changes), Experiment(quick=True, **changes).reduced()]
    if "paper" in fields:
        sizes.append(dataclasses.replace(sizes[0], paper=True))
    kinds = {}
    for experiment in sizes:
        for cell in experiment.cells():
            if cell.config is not None:
                kinds.setdefault(str(kind(jaxgen.to_json(cell.config))), cell.config)
    return list(kinds.values())


IMAGES = (
    "negvae",
    "flows.images",
    "flows.archetypes",
    "chains",
    "cifar10",
    "meg.mnist",
    "stacked",
    "evl.images",
    "evl.memory",
)
NEEDS_FILES = ("tabular.adbench", "tabular.contamination", "tabular.methods")  # a folder that the user names
TAKES_LONG = (*IMAGES, "benchmark", "evl.gaussians", "evl.conditional", "evl.memory")
SLOW = [name for name in MODULES if any(part in name for part in TAKES_LONG)]
SKIPPED = [name for name in MODULES if any(part in name for part in NEEDS_FILES)]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MODULES if name not in SKIPPED],
)
def test_every_config_fits_its_data(name, tmp_path, few_connections):
    configs = configurations(name, tmp_path)
    assert configs or name in (
        "experiments.mmd.cost",
        "experiments.mmd.power",
        "experiments.speed.streams",
        "experiments.tabular.digits",
        "experiments.tabular.small",
    )
    traced = set()
    for config in configs:
        check(config, traced)


def test_a_config_that_does_not_fit_is_noticed():
    method = methods.EVL(nets.MLP((8, 4)), latent_dim=3)
    config = jaxgen.Config(method, data.Arrays(np.zeros((400, 7), np.float32)), batch_size=20)
    with pytest.raises(ValueError, match="generator must return shape"):
        check(config, set())
