"""Scores and samples in pieces: equal to the whole, of one compiled program, joined in host memory."""

import jax
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen.training.batching import score_in_pieces

X = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
SCORED = ["flow", "vae", "archetypes", "deep archetypes", "meg"]


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
def test_scores_in_pieces_are_those_of_the_whole(name, batch_size):
    result = _untrained(name)
    whole, pieces = result.scores(X), result.scores(X, batch_size=batch_size)
    assert whole.keys() == pieces.keys()
    for score, values in pieces.items():
        assert isinstance(values, np.ndarray)
        np.testing.assert_allclose(values, whole[score], rtol=1e-6, atol=1e-6, err_msg=score)


def test_each_row_has_its_own_score():
    """Rows in another order, and in other pieces, keep their scores: a score of a wrong row would not."""
    result = _untrained("flow")
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_allclose(
        result.scores(X[order], batch_size=3)["nll"], result.scores(X, batch_size=4)["nll"][:, order], rtol=1e-6
    )


def test_pieces_share_one_program():
    result = jaxgen.untrained(tiny.config(tiny.METHODS["flow"]))
    result.scores(X, batch_size=4)  # 4, 4 and 2 rows
    result.scores(X[:3], batch_size=4)
    assert result._scores._cache_size() == 1
    result.sample(jax.random.key(0), 10, batch_size=4)
    result.sample(jax.random.key(1), 3, batch_size=4)
    assert result._sample._cache_size() == 1


def test_pieces_of_samples_have_the_documented_keys():
    result, key = _untrained("flow"), jax.random.key(7)
    samples = result.sample(key, 10, batch_size=4)
    assert isinstance(samples, np.ndarray)
    expected = [result.sample(jax.random.fold_in(key, piece), 4) for piece in range(3)]
    np.testing.assert_array_equal(samples, np.concatenate(expected, 1)[:, :10])
    assert len(np.unique(samples.reshape(-1, 3), axis=0)) == 20  # no piece and no seed repeats another
    np.testing.assert_array_equal(result.sample(key, 5, batch_size=4), samples[:, :5])


def test_no_rows_have_no_scores_and_no_samples():
    result = _untrained("flow")
    scores = result.scores(X[:0], batch_size=4)
    assert scores.keys() == result.scores(X).keys()
    assert all(values.shape == (2, 0) for values in scores.values())
    assert result.sample(jax.random.key(0), 0, batch_size=4).shape == (2, 0, 3)


def test_bad_pieces_raise():
    result = _untrained("flow")
    for run in (lambda: result.scores(X, batch_size=0), lambda: result.sample(jax.random.key(0), 3, batch_size=0)):
        with pytest.raises(ValueError, match=r"`batch_size` must be a whole number of at least 1 \(got 0\)"):
            run()
    with pytest.raises(ValueError, match=r"same number of rows \(got \[4, 10\]\)"):
        score_in_pieces(lambda x: x, (X, X[:4]), 4)


def _untrained(name, kept={}):  # noqa: B006
    if name not in kept:
        kept[name] = jaxgen.untrained(tiny.config(tiny.METHODS[name]))
    return kept[name]
