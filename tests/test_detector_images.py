"""Images as rows of a detector: their shape, one scale for all pixels, and the blend with relative distances."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import jaxgen
from jaxgen import methods, nets
from jaxgen.detector.images import CommonScaler
from jaxgen.neighbors import LocalNeighborBlend

GENERATOR = np.random.default_rng(0)
IMAGES, NEW = GENERATOR.uniform(size=(60, 2, 3, 1)), GENERATOR.uniform(size=(20, 2, 3, 1))
FLOW = methods.Flow(nets.ComposedBijection((nets.Flatten((2, 3, 1)), nets.dense_flow(6, depth=1, widths=(4,)))))


@pytest.fixture(scope="module")
def default():
    return jaxgen.Detector(steps=1, num_seeds=1, random_state=0).fit(IMAGES)


def test_the_default_has_one_scale_for_all_pixels_and_relative_distances(default):
    assert default.image_shape_ == (2, 3, 1)
    assert default.n_features_in_ == 6
    assert isinstance(default.scaler_, CommonScaler)
    assert isinstance(default.blend_, LocalNeighborBlend)
    assert default.blend_.num_neighbors == 5
    rows = default.blend_.rows
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.mean(rows.var(0)), 1, rtol=1e-5)
    assert rows.var(0).std() > 0.01  # each pixel keeps its own scale


def test_bytes_are_divided_by_255(default):
    raw = np.random.default_rng(1).integers(256, size=(60, 2, 3, 1)).astype(np.uint8)
    scores = [default.score_samples(x) for x in (raw, raw / 255)]
    np.testing.assert_array_equal(*scores)
    assert np.ptp(scores[0]) > 0


def test_a_saved_detector_of_images_is_equal(default, tmp_path):
    default.save(tmp_path / "detector")
    loaded = jaxgen.Detector.load(tmp_path / "detector")
    np.testing.assert_array_equal(loaded.score_samples(NEW), default.score_samples(NEW))
    np.testing.assert_array_equal(loaded.p_values(NEW), default.p_values(NEW))


def test_other_rows_than_such_images_are_refused(default):
    for rows in (NEW.reshape(20, 6), NEW[:, :, :2], NEW[..., 0]):
        with pytest.raises(ValueError, match=r"must be images \[n, 2, 3, 1\] as in `fit` \(got shape \(20, "):
            default.score_samples(rows)
    with pytest.raises(ValueError, match="NaN"):
        default.score_samples(np.full_like(NEW, np.nan))


def test_a_method_gets_images_as_they_are():
    fitted = jaxgen.Detector(FLOW, steps=1, random_state=0).fit(IMAGES)
    assert fitted.blend_ is None
    expected = fitted.result_.scores(NEW.astype(np.float32))["nll"][0]
    np.testing.assert_allclose(-fitted.score_samples(NEW), expected, rtol=1e-5)


def test_a_new_value_of_a_constant_pixel_is_no_alarm():
    images, new = IMAGES.copy(), NEW.copy()
    images[:, 0, 0], new[:, 0, 0] = 0.0, 0.01
    fitted = jaxgen.Detector(FLOW, steps=1, random_state=0).fit(images)
    assert np.all(np.isnan(fitted.constants_))
    assert np.ptp(fitted.score_samples(new)) > 0


def test_explanations_name_pixels_by_their_position(default):
    explanation = default.explain(NEW[:2])
    assert explanation.columns[0] == "pixel (0, 0, 0)"
    assert explanation.columns[-1] == "pixel (1, 2, 0)"


def test_the_local_blend_is_that_of_its_parts():
    """Relative distances by a loop: of a point to its neighbors, by the mean of theirs to their own."""
    rows, x = IMAGES.reshape(60, 6), NEW.reshape(20, 6)
    scores, s = np.sin(np.arange(60.0)), np.arange(20.0)
    distance = lambda a, b: np.linalg.norm(a[:, None] - b[None], axis=-1)
    own = np.sort(distance(rows, rows), 1)[:, 1:4].mean(1)

    def relative(pairs, first):
        nearest = np.argsort(pairs, 1)[:, first : first + 3]
        return np.array([pairs[i, near].mean() / own[near].mean() for i, near in enumerate(nearest)])

    mean = np.sort(distance(x, rows), 1)[:, :3].mean(1)
    parts = [(mean, own), (relative(distance(x, rows), 0), relative(distance(rows, rows), 1)), (s, scores)]
    expected = 0.0
    for weight, (values, training) in zip((0.45, 0.45, 0.1), parts, strict=True):
        z = (values - np.median(training)) / np.subtract(*np.quantile(training, [0.75, 0.25]))
        expected = expected + weight * np.sign(z) * np.log(1 + np.abs(z))
    found = LocalNeighborBlend.fit(rows, scores, num_neighbors=3)(x, s)
    np.testing.assert_allclose(found, expected)


def test_outliers_between_dense_and_sparse_clusters_need_relative_distances():
    """A point near a dense cluster, closer than points of a sparse one are to each other, is found by the ratio."""
    generator = np.random.default_rng(2)
    draw = lambda n: np.concatenate([0.05 * generator.normal(size=(n, 2)), 5 + generator.normal(size=(n, 2))])
    rows, fresh = draw(200), draw(100)
    outliers = 0.4 * np.stack([np.cos(np.arange(8.0)), np.sin(np.arange(8.0))], 1)
    blend = LocalNeighborBlend.fit(rows, np.zeros(400), num_neighbors=5)
    share = lambda score: np.mean(score(outliers)[:, None] > score(fresh)[None])
    plain = lambda x: NearestNeighbors(n_neighbors=5).fit(rows).kneighbors(x)[0].mean(1)
    assert share(plain) < 0.85
    assert share(blend.distances) > 0.95


def test_repeated_rows_have_finite_relative_distances():
    rows = np.repeat(IMAGES.reshape(60, 6)[:5], 12, 0)
    blend = LocalNeighborBlend.fit(rows, np.zeros(60), num_neighbors=5)
    assert np.all(np.isfinite(blend(NEW.reshape(20, 6), np.zeros(20))))
