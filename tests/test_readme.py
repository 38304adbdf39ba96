"""What the README shows works as it is written."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_training_on_your_own_points(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shorter = (
        BLOCKS[0]
        .replace("5_000", "4")
        .replace("steps_per_call=500", "steps_per_call=2")
        .replace("SwissRoll()", "SwissRoll(test_n=1)")
    )
    names: dict = {}
    exec(shorter, names)
    assert names["x"].shape == (3, 1000, 3)
    assert names["result"].history["loss"].shape == (3, 4)
    np.testing.assert_array_equal(names["result"].sample(jax.random.key(0), 1000), names["x"])
    assert "steps/s" in capsys.readouterr().err


def test_the_losses_alone():
    names: dict = {
        "generate": lambda params, z: (z @ params, z[:, 0]),
        "params": jnp.ones((3, 3)),
        "noise": jax.random.normal(jax.random.key(0), (1024, 3)),
        "x": jnp.zeros((5, 3)),
    }
    exec(BLOCKS[1], names)
    assert names["gradient"].shape == (3, 3)
    assert jnp.isfinite(names["gradient"]).all()


def test_links_and_figures_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_ci_runs_the_readme_s_own_command():
    commands = re.findall(r"^python -m pip install .*$", README, re.MULTILINE)
    assert commands[0] == "python -m pip install -e . && python -m experiments.evl.swiss_roll"
    assert commands[1] == "python -m pip install -e '.[test]' && python -m pytest"
    assert "grep -m1 'python -m pytest' README.md" in (ROOT / ".ci" / "run").read_text()


def test_a_detector(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    names: dict = {"table": generator.normal(size=(100, 2)), "new": generator.normal(size=(5, 2))}
    flow = "methods.Flow(nets.dense_flow(2, depth=2, widths=(4,))), steps=2, calibration_fraction=0.3, "
    exec(
        "import jaxgen\nfrom jaxgen import methods, nets\n"
        + BLOCKS[2].replace("Detector(alpha", f"Detector({flow}alpha"),
        names,
    )
    assert set(names["detector"].predict(names["new"])) <= {-1, 1}
    assert len(capsys.readouterr().out.split()) >= 15
