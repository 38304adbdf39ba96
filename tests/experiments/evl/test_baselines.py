"""Baselines: the protocols are the paper's, and models that need no training have the samples that they should."""

import numpy as np
import pytest

from experiments.evl import baselines
from jaxgen import data, methods


def test_the_paper_s_protocol_is_what_papers_say():
    config = baselines.extreme_value(data.SwissRoll(seed=3), 3)
    assert (config.steps, config.batch_size, config.shuffle, config.data.n, config.data.test_n) == (
        12_500,
        200,
        False,
        50_000,
        400_000,
    )
    method = config.method
    assert (method.candidates.num_candidates, method.latent_dim, method.generator.widths) == (
        128,
        16,
        (256,) * 5 + (4,),
    )
    assert (method.learning_rate.initial, method.learning_rate.factor, method.learning_rate.transition_steps) == (
        5e-4,
        0.95,
        250,
    )
    assert method.weight_network is None  # the logit shares the trunk
    assert (method.distance_weight, method.probability_weight, method.ema_decay) == (1, 1, None)


def test_a_longer_run_decays_as_often():
    toy = data.SwissRoll(n=2000, test_n=1)
    config = baselines.extreme_value(toy, 1, epochs=30, decays=3, widths=(8,), evaluations=6)
    assert (config.steps, config.steps_per_call, config.method.learning_rate.transition_steps) == (300, 50, 100)
    assert config.method.generator.widths == (8, 4)


@pytest.mark.parametrize("published", [True, False])
def test_the_released_network_unrolls_its_last_layer(published):
    config = baselines.gan(data.SwissRoll(n=2000, test_n=1), 1, epochs=10, published=published)
    wanted = (4, methods.last_layer) if published else (5, methods.all_layers)
    assert (config.method.unroll, config.method.unrolled) == wanted
    assert (config.steps, config.batch_size, config.shuffle) == (100, 200, False)


def test_draws_are_what_they_are_called():
    toy = data.SwissRoll(n=500, test_n=3000, seed=2)
    (x,) = toy.tables()
    np.testing.assert_array_equal(baselines.empirical(toy), x)
    box, again, mixture = baselines.box(toy), baselines.again(toy), baselines.mixture(toy)
    assert box.shape == again.shape == mixture.shape == (3000, 3)
    assert (box.min(0) >= x.min(0)).all()
    assert (box.max(0) <= x.max(0)).all()
    both = np.concatenate([x, toy.test()])
    assert not (again[:, None, 0] == both[None, :, 0]).any()  # new points
    np.testing.assert_allclose(mixture.mean(0), x.mean(0), atol=0.6)
