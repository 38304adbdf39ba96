"""What the README shows works as it is written."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_twelve_lines(tmp_path, monkeypatch, capsys):
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


def test_many_outcomes_of_one_input():
    rows = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    names: dict = {"inputs": jnp.asarray(rows[:, :1]), "outcomes": jnp.asarray(rows[:, 1:])}
    exec(
        "import jax, jaxgen\nfrom jaxgen import data, methods\n" + BLOCKS[2].replace("3_000", "1, steps_per_call=1"),
        names,
    )
    assert names["drawn"].shape == (5, 1000, 2)


def test_chains():
    pytest.importorskip("arviz", reason="the block hands its chains to ArviZ")
    names: dict = {}
    exec(BLOCKS[3], names)
    assert names["x"].shape == (64, 2000, 2)
    np.testing.assert_allclose(names["metrics"].acceptance(names["moves"].acceptance).mean(), 0.574, atol=0.03)
    assert (names["metrics"].split_rhat(names["x"]) > 1.01).all()  # as the sentence below it says


def test_what_a_model_has_not_seen(capsys):
    generator = np.random.default_rng(0)
    rows = lambda n: jnp.asarray(generator.uniform(size=(n, 6)), jnp.float32)
    names: dict = {"x": rows(50), "held_out": rows(20), "strange": rows(10)}
    small = "encoder=nets.MLP((4,)), decoder=nets.MLP((6,)), latent_dim=2, negatives=methods.Generated()"
    block = BLOCKS[4].replace("negatives=methods.Generated()", small).replace("60_000", "4, steps_per_call=4")
    block = block.replace("batch_size=50", "batch_size=48")
    exec("import jax, jaxgen\nfrom jaxgen import data, methods, metrics, nets\n" + block, names)
    assert "auroc" in capsys.readouterr().out
    assert names["outliers"].shape == names["p_values"].shape == (10,)


def test_from_one_law_to_another(capsys):
    generator = np.random.default_rng(0)
    rows = lambda d: jnp.asarray(generator.normal(size=(30, d)), jnp.float32)
    block = (
        BLOCKS[5]
        .replace("4_000", "2, steps_per_call=2")
        .replace("1_000", "20")
        .replace("Cube(", "Cube(n=50, test_n=1, ")
    )
    block = block.replace("Normal(", "Normal(n=50, test_n=1, ")
    names: dict = {"source": rows(1), "target": rows(2)}
    exec("import jax, jaxgen, optax\nfrom jaxgen import data, losses, methods, metrics\n" + block, names)
    assert names["mapped"].shape == (30, 2)
    assert 0 < names["found"].p_value <= 1
    assert len(capsys.readouterr().out.split()) == 5


def test_links_and_pictures_are_there():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_ci_runs_the_readme_s_own_command():
    commands = re.findall(r"^python -m pip install .*$", README, re.MULTILINE)
    assert commands[0] == "python -m pip install -e . && python -m experiments.evl.swiss_roll"
    assert commands[1] == "python -m pip install -e '.[test]' && python -m pytest"
    assert "grep -m1 'python -m pytest' README.md" in (ROOT / ".ci" / "run").read_text()


def test_a_density_and_its_edge(capsys):
    generator = np.random.default_rng(0)
    rows = lambda scale: jnp.asarray(scale * generator.normal(size=(60, 2)), jnp.float32)
    names: dict = {"x": rows(1), "held_out": rows(1), "strange": rows(9)}
    flow = "methods.Flow(nets.dense_flow(2, depth=2, widths=(4,)))"
    block = BLOCKS[6].replace("methods.Flow()", flow).replace("steps=1_000", "steps=2, steps_per_call=2")
    block = block.replace("=500)", "=48)").replace("5_000", "50").replace("=250)", "=48)")
    imports = "import functools, jax, jaxgen\nimport jax.numpy as jnp\n"
    exec(imports + "from jaxgen import data, methods, metrics, nets, samplers\n" + block, names)
    assert names["outliers"].shape == (50, 2)
    assert "auroc" in capsys.readouterr().out


def test_a_detector(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    names: dict = {"table": generator.normal(size=(100, 2)), "new": generator.normal(size=(5, 2))}
    flow = "methods.Flow(nets.dense_flow(2, depth=2, widths=(4,))), steps=2, calibration=0.3, "
    exec(
        "import jaxgen\nfrom jaxgen import methods, nets\n"
        + BLOCKS[7].replace("Detector(level", f"Detector({flow}level"),
        names,
    )
    assert set(names["detector"].predict(names["new"])) <= {-1, 1}
    assert len(capsys.readouterr().out.split()) >= 15
