"""The Python blocks of the systems' pages run, with smaller sizes."""

import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

PAGES = pathlib.Path(__file__).parents[2] / "docs" / "pages" / "systems"


def block(page, number):
    return re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)[number]


def test_conditional_samples():
    rows = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    names: dict = {"inputs": jnp.asarray(rows[:, :1]), "outcomes": jnp.asarray(rows[:, 1:])}
    exec(
        "import jax, jaxgen\nfrom jaxgen import data, methods\n"
        + block("evl", 1).replace("3_000", "1, steps_per_call=1"),
        names,
    )
    assert names["samples"].shape == (5, 1000, 2)


def test_chains():
    pytest.importorskip("arviz", reason="the block hands its chains to ArviZ")
    names: dict = {}
    exec(block("meg", 1), names)
    assert names["x"].shape == (64, 2000, 2)
    np.testing.assert_allclose(names["metrics"].acceptance_rate(names["info"].acceptance).mean(), 0.574, atol=0.03)
    assert (names["metrics"].split_rhat(names["x"]) > 1.01).all()  # four modes mix slowly


def test_out_of_distribution_scores(capsys):
    generator = np.random.default_rng(0)
    rows = lambda n: jnp.asarray(generator.uniform(size=(n, 6)), jnp.float32)
    names: dict = {"x": rows(50), "inliers": rows(20), "outliers_test": rows(10)}
    small = "encoder=nets.MLP((4,)), decoder=nets.MLP((6,)), latent_dim=2, negatives=methods.ModelSamples()"
    code = (
        block("negvae", 0).replace("negatives=methods.ModelSamples()", small).replace("60_000", "4, steps_per_call=4")
    )
    code = code.replace("batch_size=50", "batch_size=48")
    exec("import jax, jaxgen\nfrom jaxgen import data, methods, metrics, nets\n" + code, names)
    assert "auroc" in capsys.readouterr().out
    assert names["outliers"].shape == names["p_values"].shape == (10,)


def test_a_map_between_distributions(capsys):
    generator = np.random.default_rng(0)
    rows = lambda d: jnp.asarray(generator.normal(size=(30, d)), jnp.float32)
    code = (
        block("mmd", 0)
        .replace("4_000", "2, steps_per_call=2")
        .replace("1_000", "20")
        .replace("Cube(", "Cube(n=50, test_n=1, ")
    )
    code = code.replace("Normal(", "Normal(n=50, test_n=1, ")
    names: dict = {"source": rows(1), "target": rows(2)}
    exec("import jax, jaxgen, optax\nfrom jaxgen import data, losses, methods, metrics\n" + code, names)
    assert names["mapped"].shape == (30, 2)
    assert 0 < names["test"].p_value <= 1
    assert len(capsys.readouterr().out.split()) == 5


def test_outliers_of_a_flow(capsys):
    generator = np.random.default_rng(0)
    rows = lambda scale: jnp.asarray(scale * generator.normal(size=(60, 2)), jnp.float32)
    names: dict = {"x": rows(1), "inliers": rows(1), "outliers_test": rows(9)}
    flow = "methods.Flow(nets.dense_flow(2, depth=2, widths=(4,)))"
    code = block("flows", 0).replace("methods.Flow()", flow).replace("steps=1_000", "steps=2, steps_per_call=2")
    code = code.replace("=500)", "=48)").replace("5_000", "50").replace("0.01", "0.9").replace("=250)", "=48)")
    imports = "import functools, jax, jaxgen\nimport jax.numpy as jnp\n"
    exec(imports + "from jaxgen import data, methods, metrics, nets, samplers\n" + code, names)
    assert names["outliers"].shape == (50, 2)
    assert "auroc" in capsys.readouterr().out


def test_flow_with_a_condition():
    generator = np.random.default_rng(0)
    rows = lambda n, d: jnp.asarray(generator.normal(size=(n, d)), jnp.float32)
    names: dict = {"condition": rows(20, 1), "x": rows(20, 2), "conditions": rows(3, 1), "x_test": rows(3, 2)}
    flow = "methods.Flow(nets.dense_flow(2, depth=2, widths=(4,)))"
    code = (
        block("flows", 1)
        .replace("methods.Flow()", flow)
        .replace("x)))", "x)), steps=2, steps_per_call=2, batch_size=16)")
    )
    exec("import jax, jaxgen\nfrom jaxgen import data, methods, nets\n" + code, names)
    assert names["samples"].shape == (3, 1_000, 2)
    assert names["nll"].shape == (1, 3)
