"""The classifier learns digits, and refuses data that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen import data, methods, nets


def test_it_classifies_digits_of_a_test_set():
    (x,), labels = data.Digits().tables(), data.Digits().labels()
    config = jaxgen.Config(
        methods.Classifier(learning_rate=3e-3, ema_decay=0.99),
        data.Arrays((x[:1400], labels[:1400])),
        steps=300,
        batch_size=100,
        steps_per_call=300,
        layout=tiny.ONE,
    )
    result = jaxgen.train(config, progress=False)
    method = result.config.method
    predicted = jax.jit(method.predict)(result.state_of(0), x[1400:])
    assert np.mean(predicted == labels[1400:]) > 0.88
    assert set(result.history) == {"loss", "accuracy", "retries"}


def test_its_loss_is_the_cross_entropy():
    method = methods.Classifier(nets.MLP((4, 3)), classes=3)
    generator = np.random.default_rng(0)
    x, labels = jnp.float32(generator.normal(size=(6, 2))), jnp.array([0, 1, 2, 2, 1, 0])
    state = jax.jit(method.init)(jax.random.key(0), (x, labels))
    logits = np.asarray(jax.jit(nets.MLP((4, 3)).apply)(state.params, x), float)
    expected = [np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels, strict=True)]
    value, (metrics, _) = jax.jit(method.loss)(jax.random.key(1), state.params, {}, (x, labels))
    np.testing.assert_allclose(value, np.mean(expected), rtol=1e-5)
    assert metrics["accuracy"] == np.mean(logits.argmax(1) == labels)
    np.testing.assert_allclose(np.exp(jax.jit(method.log_probabilities)(state, x)).sum(1), 1, rtol=1e-5)


def test_labelled_images_are_one_table_of_pairs():
    ((x, labels),) = data.Labeled(data.Digits()).tables()
    np.testing.assert_array_equal(x, data.Digits().tables()[0])
    np.testing.assert_array_equal(labels, data.Digits().labels())


ROW, LABEL = jax.ShapeDtypeStruct((5,), jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ((ROW,), TypeError, "use data.Labelled"),
        ((ROW, LABEL), TypeError, "use data.Labelled"),
        (((ROW, ROW),), TypeError, "labels single integers"),
        (((jax.ShapeDtypeStruct((5, 5), jnp.float32), LABEL),), ValueError, "set `network`"),
    ],
)
def test_data_other_than_pairs_of_rows_and_labels_are_refused(rows, error, message):
    with pytest.raises(error, match=message):
        methods.Classifier().resolve(*rows)


def test_a_network_of_another_width_is_refused():
    with pytest.raises(ValueError, match="must return 10 logits per row"):
        methods.Classifier(nets.MLP((4, 3))).resolve((ROW, LABEL))


@pytest.mark.parametrize(("labels", "found"), [([0, 1, 2, 3], "got 0 to 3"), ([-1, 0, 1, 2], "got -1 to 2")])
def test_labels_out_of_range_are_refused_before_training(labels, found):
    """The cross-entropy of such a label would be NaN, or that of another class."""
    rows = data.Arrays((np.ones((4, 2), np.float32), np.array(labels)))
    config = jaxgen.Config(
        methods.Classifier(classes=3), rows, steps=1, steps_per_call=1, batch_size=4, layout=tiny.ONE
    )
    with pytest.raises(ValueError, match=rf"labels must be between 0 and 2 for 3 classes \({found}\)"):
        jaxgen.train(config, progress=False)
