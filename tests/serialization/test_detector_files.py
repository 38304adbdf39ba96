"""Files of a saved detector: damage raises, and its method imports nothing that is not trusted."""

import json
import sys

import numpy as np
import pytest

import jaxgen
from jaxgen import methods, nets
from jaxgen.serialization import sklearn_json

X = np.random.default_rng(0).normal(size=(64, 3))
# Failed reads of TensorStore report to an event loop that Orbax has already closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("detectors") / "detector"
    fitted = jaxgen.Detector(methods.Flow(nets.dense_flow(3, depth=1, widths=(4,))), steps=1, random_state=0).fit(X)
    fitted.save(path)
    return path, fitted


def test_flips_and_truncations_raise_or_have_no_effect(saved):
    path, fitted = saved
    generator = np.random.default_rng(0)
    refused = 0
    for trial in range(60):
        file = path / ("detector.npz", "detector.json")[trial % 2]
        whole = file.read_bytes()
        at = int(generator.integers(len(whole)))
        flip = bytes([whole[at] ^ (1 << int(generator.integers(8)))])
        file.write_bytes(whole[:at] if trial % 5 == 0 else whole[:at] + flip + whole[at + 1 :])
        try:
            loaded = jaxgen.Detector.load(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
        else:
            np.testing.assert_array_equal(loaded.calibration_, fitted.calibration_)
            assert repr(loaded) == repr(fitted)
        file.write_bytes(whole)
    assert refused > 30


@pytest.mark.parametrize("form", [{"import": "marker_of_detectors:f"}, {"dict": {"import": "marker_of_detectors:f"}}])
def test_a_method_outside_the_list_is_not_imported(saved, tmp_path, monkeypatch, form):
    path, _ = saved
    (tmp_path / "marker_of_detectors.py").write_text("f = print")
    monkeypatch.syspath_prepend(tmp_path)
    text = (path / "detector.json").read_text()
    value = json.loads(text)["value"]
    written = {"dict": {name: {"plain": content} for name, content in form.items()}}
    if "dict" in form:  # read as a dict, which must not be read a second time
        written = {"dict": {"dict": {"dict": {"import": {"plain": "marker_of_detectors:f"}}}}}
    value["dict"]["method"] = written
    digest = sklearn_json._digest(value, (path / "detector.npz").read_bytes())
    (path / "detector.json").write_text(json.dumps({"value": value, "sha256": digest}))
    with pytest.raises(ValueError, match=str(path)):
        jaxgen.Detector.load(path)
    (path / "detector.json").write_text(text)
    assert "marker_of_detectors" not in sys.modules
    assert jaxgen.Detector.load(path).method is not None
