"""Digits against other images by generated outliers, and archetypes of images, on small images."""

import dataclasses
import functools
import pathlib
import tempfile
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from experiments.common import image_classifier, training
from experiments.flows import archetypes, image_models, images
from jaxgen import data, methods, samplers

SIZE = image_models.Size(depth=1, features=4, steps=5, deep_steps=5, archetypes=3)


@dataclasses.dataclass(frozen=True)
class Bright:
    """Small digits that are brighter, as another set."""

    def tables(self):
        return (np.sqrt(data.Digits().tables()[0]),)

    def labels(self):
        return data.Digits().labels()


@functools.cache
def models():
    return image_models.trained(SIZE, data.Digits(), 0, pathlib.Path(tempfile.mkdtemp()))


@pytest.mark.slow
def test_shells_are_where_their_radii_are():
    found = models()
    flow, state = training.first_model(found.flow)
    (x,) = data.Digits().tables()
    z = image_models.encoded(found.flow, x[:600])
    assert z.shape == (600, 64)
    distances = np.linalg.norm(np.asarray(found.latents.whiten(jnp.asarray(z))), axis=1)
    # The root of 64 dimensions, less those of pixels that are always black.
    assert 6.4 < np.sqrt(np.mean(distances**2)) < 8.1
    # What comes back lies where it was put, before it is cut to be an image.
    far = lambda key, n, dimensions: jnp.full(n, 20.0)
    drawn = methods.latent_outliers(jax.random.key(0), state, 500, flow=flow, radii=far, whitening=found.latents)
    back = found.latents.whiten(jax.jit(flow.encode)(state, drawn))
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 20, rtol=1e-2)
    images = image_models.shelled(jax.random.key(0), found, 500, None)
    assert images.shape == (500, 8, 8, 1)
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.slow
def test_untrained_ones_are_as_they_are_drawn(tmp_path):
    found = image_models.trained(SIZE, data.Digits(), 0, tmp_path, train=False)
    assert found.seconds is None
    assert not list(tmp_path.iterdir())
    (x,) = data.Digits().tables()
    assert not np.allclose(image_models.encoded(found.flow, x[:10]), image_models.encoded(models().flow, x[:10]))


@pytest.mark.slow
def test_mixtures_and_what_lies_beyond():
    found = models()
    within = image_models.beyond(jax.random.key(0), found, 500, concentration=0.3, stretch=1.0)
    deep, state = training.first_model(found.deep)
    weights = jax.random.dirichlet(jax.random.fold_in(jax.random.key(0), 0), jnp.full(3, 0.3), (500,))
    np.testing.assert_allclose(within, np.clip(deep.mixture(state, weights), 0, 1), atol=1e-5)
    assert not np.allclose(within, image_models.beyond(jax.random.key(0), found, 500, concentration=0.3, stretch=2.0))


def test_the_way_between_archetypes_ends_where_it_should():
    way = archetypes.paths(np.eye(3), 5)
    assert way.shape == (15, 3)
    np.testing.assert_allclose(way.sum(1), 1)
    np.testing.assert_array_equal(way[[0, 4, 5, 14]], np.eye(3)[[0, 1, 1, 0]])


@pytest.mark.slow
def test_archetypes_of_latent_vectors_explain_more_with_more_of_them():
    (x,) = data.Digits().tables()
    few, many = (archetypes.classical(models().flow, x[:200], count, 3, 0) for count in (2, 8))
    assert 0 < few.history["explained"][0, -1] < many.history["explained"][0, -1] < 1


@pytest.fixture
def small(monkeypatch):
    sets = dict.fromkeys(images.IMAGE_SETS, Bright()) | {"train": data.Digits(), "test": data.Digits()}
    monkeypatch.setattr(images, "IMAGE_SETS", sets)
    monkeypatch.setattr(images, "REAL_OUTLIERS", {"letters": Bright(), "fashion": Bright()})
    trained = models()
    monkeypatch.setattr(image_models, "trained", lambda *arguments: trained)
    # Training is tested with the methods, and takes long to compile.
    config = lambda method, tables, steps, seed: jaxgen.Config(
        method, tables, steps=1, batch_size=100, steps_per_call=1, seed=seed
    )
    monkeypatch.setattr(images, "trained", lambda *setting: jaxgen.untrained(config(*setting)))
    monkeypatch.setattr(images, "NUM_OUTLIERS", 500)
    monkeypatch.setattr(images, "NUM_EVALUATED", 200)


@pytest.mark.slow
def test_every_source_has_a_line_in_both_tables(small, tmp_path):
    accepted, confident = images.Experiment(sources=("shell", "letters"), quick=True, cache_dir=tmp_path).run()
    assert len(accepted.rows) == 2 + 2
    assert len(confident.rows) == 1 + 2
    assert all(0 <= row.values["auroc letters"][0] <= 1 for row in accepted.rows)
    assert (tmp_path / "quick" / "images.png").stat().st_size > 5_000


def test_unknown_sources_are_an_error():
    with pytest.raises(SystemExit, match="sources must be among shell"):
        images.Experiment(sources=("nothing",))


def test_the_papers_radii_are_far_beyond_any_digit():
    """In 784 dimensions the thesis' shell is thin, with 1.5 times the radius of normal latent vectors."""
    radii = samplers.bungert_radii(jax.random.key(0), 1_000, dimensions=784, factor=1.5)
    assert float(radii.mean()) / 28 == pytest.approx(1.5, abs=0.02)
    assert float(radii.std()) < 0.1


@pytest.mark.slow
def test_archetypes_of_small_digits_have_a_table_and_a_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(archetypes, "IMAGE_SETS", dict.fromkeys(("digits", "faces"), data.Digits()))
    monkeypatch.setattr(archetypes, "TEST", data.Digits())
    monkeypatch.setattr(image_classifier, "train", lambda *arguments: Sure(None, 1.0))
    monkeypatch.setattr(archetypes, "CONCENTRATIONS", (1.0,))
    small = models()
    calls = []

    def trained(size, images, seed, directory, *, train=True):
        calls.append((seed, train))
        return small

    monkeypatch.setattr(image_models, "trained", trained)
    (table,) = archetypes.Experiment(num_seeds=2, size=SIZE, sweeps=2, cache_dir=tmp_path).run()
    assert [len(row.values["sure"]) for row in table.rows] == [2] * 8
    assert sum(row.title.startswith("untrained: ") for row in table.rows) == 3
    assert calls == [*((seed, train) for seed in (0, 1) for train in (True, False)), (0, True)]
    for name in ("digits", "faces"):
        assert (tmp_path / f"archetypes-{name}.png").stat().st_size > 5_000


class Sure(image_classifier.ImageClassifier):
    """A classifier that gives every image the first of ten classes."""

    def __call__(self, images):
        return np.log(np.tile([0.95] + 9 * [0.05 / 9], (len(images), 1)))


def test_a_classifier_that_is_confident_in_one_class(monkeypatch):
    monkeypatch.setattr(archetypes, "IMAGE_SETS", {"digits": SimpleNamespace(labels=lambda: np.array([0, 1, 1, 0]))})
    measures = archetypes.classified(Sure(None, 1.0), np.zeros((4, 2, 2, 1)))
    assert measures["sure"] == 1
    assert measures["confidence"] == pytest.approx(0.95)
    assert measures["variation"] == pytest.approx(0.5)
