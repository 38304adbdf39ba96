"""Every method refuses a negative or non-finite weight of a loss term, and names it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from jaxgen import methods, nets

ROW = jax.ShapeDtypeStruct((3,), jnp.float32)
LABEL = jax.ShapeDtypeStruct((), jnp.int32)
WEIGHTED = {
    "EVL": (methods.EVL, ["distance_weight", "probability_weight"], [ROW]),
    "MEG": (tiny.meg, ["penalty", "entropy"], [ROW]),
    "WGANGP": (methods.WGANGP, ["penalty"], [ROW]),
    "MMDMap": (methods.MMDMap, ["weight", "l1", "l2"], [ROW, ROW]),
    "Classifier": (methods.Classifier, ["uniformity_weight"], [(ROW, LABEL)]),
    "DeepArchetypes": (
        methods.DeepArchetypes,
        ["likelihood_weight", "archetype_weight", "reconstruction_weight"],
        [ROW],
    ),
    "NegativeSamplingVAE": (methods.NegativeSamplingVAE, ["negative_weight", "negative_reconstruction_weight"], [ROW]),
}


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, (_, fields, _) in WEIGHTED.items() for field in fields]
)
def test_weights_are_finite_and_not_negative(name, field, wrong):
    make, _, rows = WEIGHTED[name]
    with pytest.raises(ValueError, match=rf"`{field}` must be finite and at least 0 \(got {wrong}\)"):
        make(**{field: wrong}).resolve(*rows)


NUMBERS = {
    "EVL bandwidth": (lambda: methods.EVL(bandwidth=np.nan), [ROW]),
    "EVL power": (lambda: methods.EVL(power=-1.0), [ROW]),
    "Flow classes": (lambda: methods.Flow(classes=-1), [ROW]),
    "Flow noise": (lambda: methods.Flow(noise=np.nan), [ROW]),
    "MixtureDensity components": (lambda: methods.MixtureDensity(components=0), [ROW]),
    "MixtureDensity min_scale": (lambda: methods.MixtureDensity(min_scale=-1.0), [ROW]),
    "Classifier classes": (lambda: methods.Classifier(classes=0), [(ROW, LABEL)]),
    "RelativisticGAN latent_dim": (lambda: methods.RelativisticGAN(latent_dim=1.5), [ROW]),
    "RelativisticGAN unroll": (lambda: methods.RelativisticGAN(unroll=1.5), [ROW]),
    "RelativisticGAN unroll_rate": (lambda: methods.RelativisticGAN(unroll_rate=-1.0), [ROW]),
    "MMDMap noise_dim": (lambda: methods.MMDMap(noise_dim=-1), [ROW, ROW]),
    "NegativeSamplingVAE num_importance_samples": (
        lambda: methods.NegativeSamplingVAE(num_importance_samples=1.5),
        [jax.ShapeDtypeStruct((28, 28, 1), jnp.float32)],
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_out_of_range_are_named(unchecked, name):
    make, rows = NUMBERS[name]
    with pytest.raises(ValueError, match=rf"`{name.split()[1]}`.* (positive|finite|at least)"):
        make().resolve(*rows)


def test_a_negative_rate_or_an_optimizer_without_factory_is_named_before_the_first_step(unchecked):
    for wrong, message in (
        ({"learning_rate": -1e-3}, "learning rate must be finite and at least 0"),
        ({"optimizer": optax.adam(1e-3)}, "`optimizer` must be a function of the learning rate"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            tiny.evl(**wrong).resolve(ROW).init(jax.random.key(0), jnp.ones((4, 3)))


def test_labels_of_a_flow_are_below_its_classes():
    method = methods.Flow(classes=2, network=nets.dense_flow(3)).resolve((ROW, LABEL))
    state = method.init(jax.random.key(0), (jnp.ones((4, 3)), jnp.array([0, 1, 0, 1])))
    for labels in ([0, 2], [-1, 0]):
        with pytest.raises(ValueError, match="labels must be between 0 and 1"):
            method.log_prob(state, jnp.ones((2, 3)), jnp.array(labels))
