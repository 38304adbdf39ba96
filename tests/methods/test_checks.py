"""Every method refuses a negative or non-finite weight of a loss term, and names it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from jaxgen import methods

ROW = jax.ShapeDtypeStruct((3,), jnp.float32)
LABEL = jax.ShapeDtypeStruct((), jnp.int32)
WEIGHTED = {
    "EVL": (methods.EVL, ["distance_weight", "probability_weight"], [ROW]),
    "MEG": (tiny.meg, ["penalty", "entropy"], [ROW]),
    "WGANGP": (methods.WGANGP, ["penalty"], [ROW]),
    "MMDMap": (methods.MMDMap, ["weight", "l1", "l2"], [ROW, ROW]),
    "Classifier": (methods.Classifier, ["uniformity_weight"], [(ROW, LABEL)]),
    "DeepArchetypes": (methods.DeepArchetypes, ["likelihood", "archetype", "reconstruction"], [ROW]),
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
