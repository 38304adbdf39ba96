"""Resolved configs and untrained results: the networks, layout and parameters that training starts from."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data, methods, parallel
from jaxgen.training.summary import num_parameters

FIXED = {  # methods whose steps change no parameter
    "network": tiny.evl(optimizer=optax.sgd, learning_rate=0.0),
    "state": tiny.Faulty(),
}


@pytest.mark.parametrize("name", FIXED)
def test_untrained_parameters_are_those_that_train_starts_from(name):
    config = tiny.config(FIXED[name], num_seeds=3)
    before, after = jaxgen.untrained(config), jaxgen.train(config, progress=False)
    parameters = lambda result: result.state.params if name == "network" else result.state.place
    jax.tree.map(np.testing.assert_array_equal, parameters(before), parameters(after))
    first, second = (jax.tree.leaves(parameters(before))[0][seed] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_an_untrained_result_has_no_steps_and_the_resolved_config():
    config = tiny.config(tiny.evl())
    result = jaxgen.untrained(config)
    assert result.steps == 0
    assert result.history == {}
    assert result.config == config.resolved() == jaxgen.train(config, progress=False).config
    assert result.sample(jax.random.key(0), 5).shape == (2, 5, 3)
    default = tiny.config(methods.EVL())
    assert jaxgen.untrained(default).config == default.resolved()


def test_an_untrained_result_is_saved_and_loaded(tmp_path):
    before = jaxgen.untrained(tiny.config(tiny.evl()))
    before.save(tmp_path / "run")
    loaded = jaxgen.load(tmp_path / "run")
    assert (loaded.steps, loaded.history) == (0, {})
    jax.tree.map(np.testing.assert_array_equal, loaded.state, before.state)


def test_a_resolved_config_has_networks_and_a_layout_and_is_a_fixed_point():
    config = jaxgen.Config(methods.EVL(), data.SwissRoll(n=100, test_n=1), batch_size=8, num_seeds=2, layout=tiny.ONE)
    resolved = config.resolved()
    assert config.method.generator is None
    assert resolved.method.generator is not None
    assert resolved.layout.seeds is parallel.batched
    assert resolved.resolved() == resolved
    assert dataclasses.replace(resolved, method=config.method, layout=config.layout) == config


def test_bad_data_raises_as_in_train():
    config = tiny.config(tiny.evl(), batch_size=200)
    for prepare in (config.resolved, lambda: jaxgen.untrained(config)):
        with pytest.raises(ValueError, match=r"batch.*200"):
            prepare()
    labels = jaxgen.Config(methods.Classifier(), data.Arrays((np.ones((9, 2)), np.full(9, -1))), batch_size=4)
    with pytest.raises(ValueError, match="label"):
        jaxgen.untrained(labels)


def test_summaries_are_short():
    config = tiny.config(tiny.METHODS["vae"])
    result = jaxgen.train(config, progress=False)
    text, html = repr(result), result._repr_html_()
    count = sum(leaf[0].size for part in result.state for leaf in jax.tree.leaves(part.params))
    for part in ("NegativeSamplingVAE", "SwissRoll(n=100", "2", "6", f"{count:,} per seed"):
        assert part in text
        assert part in html
    assert f"last_loss={result.history['loss'][:, -1].mean():.4g}" in text
    assert len(text) < 300
    assert "\n" not in text
    assert len(html) < 1_000
    assert html.startswith("<table>")
    untrained = jaxgen.untrained(config)
    assert "steps=0 of 6" in repr(untrained)
    assert "last_loss" not in repr(untrained)


@pytest.mark.parametrize("rows", [np.ones((300, 3)), tuple(np.ones((300, 1)) for _ in range(30))])
def test_summaries_of_arrays_name_their_shapes_only(rows):
    result = jaxgen.Result(jaxgen.Config(tiny.Mean(), data.Arrays(rows)), {"w": np.ones((1, 5))}, {}, _specs(rows))
    assert "Arrays of rows float64[" in repr(result)
    assert "5 per seed" in repr(result)
    assert len(repr(result)) < 300
    assert len(result._repr_html_()) < 1_000


def test_html_is_escaped():
    config = jaxgen.Config(tiny.Mean(), data.Table("<b>.npz"))
    html = jaxgen.Result(config, np.ones((1, 2)), {}, ())._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;.npz" in html


def test_parameters_are_counted_without_the_optimizer_s_state():
    result = jaxgen.untrained(tiny.config(tiny.evl(generator=jaxgen.nets.MLP((4,)), latent_dim=3)))
    assert num_parameters(result.state) == 2 * (3 * 4 + 4)


def _specs(rows):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (rows,))
