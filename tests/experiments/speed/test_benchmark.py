"""The benchmark end to end with small networks, counts of operations, and equal steps of all implementations."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import resources
from experiments.evl import baselines
from experiments.speed import benchmark, case, evl, flows, meg, mmd, negvae
from jaxgen import data, nets
from jaxgen.parallel import Layout
from jaxgen.serialization.config_json import from_json

ROOT = pathlib.Path(__file__).parents[3]
needs_torch = pytest.mark.skipif(
    not benchmark._installed("torch"), reason="PyTorch is not installed; it comes with the extra `benchmark`"
)

needs_flowjax = pytest.mark.skipif(
    not benchmark._installed("flowjax"), reason="FlowJAX is not installed; it comes with the extra `benchmark`"
)


def small(monkeypatch):
    """Few points, one device, and no further process."""
    published = baselines.extreme_value
    few = data.SwissRoll(n=2000, test_n=1)
    one = lambda toy, seed: dataclasses.replace(published(few, seed), layout=Layout(devices=1))
    monkeypatch.setattr(baselines, "extreme_value", one)
    monkeypatch.setattr(benchmark, "SIDE", 64)
    monkeypatch.setattr(resources, "in_fresh_process", lambda function, *arguments: function(*arguments))


@pytest.mark.slow
def test_every_case_runs_or_says_what_it_lacks(monkeypatch, tmp_path, capsys):
    small(monkeypatch)
    monkeypatch.setattr(benchmark, "_installed", lambda module: False)
    (table,) = benchmark.Experiment(comparisons=("own",), quick=True, cache_dir=tmp_path).run()
    chunked, at_once, torch_row = table.rows
    for row in (chunked, at_once):
        for name in ("milliseconds", "gflop", "share", "compile", "temporaries"):
            assert all(np.isfinite(row.values[name])), name
        assert len(row.values["milliseconds"]) == 3
    assert len(at_once.values["times"]) == 3
    assert not torch_row.values
    assert "PyTorch is not installed" in torch_row.note
    written = json.loads((tmp_path / "quick" / "benchmark.json").read_text())
    assert len(written["comparisons"]["own"]["seconds"]["0"]) == 3
    configs = written["comparisons"]["own"]["configs"]
    assert set(configs) == {chunked.title, at_once.title}
    assert from_json(configs[chunked.title]).method.candidates.chunk == 50
    assert "PyTorch is not installed" in capsys.readouterr().out


@pytest.mark.slow
def test_chains_are_compared(tmp_path, monkeypatch):
    small(monkeypatch)
    pytest.importorskip("blackjax", reason="chains are compared with BlackJAX's; it comes with the extra `benchmark`")
    monkeypatch.setattr(benchmark, "_installed", lambda module: module == "blackjax")
    (table,) = benchmark.Experiment(comparisons=("chains",), quick=True, cache_dir=tmp_path).run()
    ours, theirs, torch_row = table.rows
    assert len(ours.values["milliseconds"]) == len(theirs.values["times"]) == 3
    assert "PyTorch is not installed" in torch_row.note


@pytest.mark.slow
@pytest.mark.parametrize("installed", [False, True])
def test_couplings_are_compared_or_say_what_they_lack(installed, tmp_path, monkeypatch):
    small(monkeypatch)
    if installed:
        pytest.importorskip("flowjax", reason="FlowJAX is not installed; it comes with the extra `benchmark`")
    monkeypatch.setattr(benchmark, "_installed", lambda module: installed and module == "flowjax")
    (table,) = benchmark.Experiment(comparisons=("couplings",), quick=True, cache_dir=tmp_path).run()
    ours, *theirs = table.rows
    assert len(ours.values["compile"]) == 1
    for row in theirs:
        assert len(row.values.get("times", [])) == 3 * installed
        assert ("FlowJAX is not installed" in row.note) is not installed


@pytest.mark.slow
@needs_flowjax
def test_flowjax_has_the_same_density():
    """Of the same parameters; and both are densities: by a sum over a grid they integrate to 1."""
    (config,) = [one.config for one in flows.couplings(True) if one.config]
    method, params = flows.initial(config)
    flow = flows.adopt(params, 16)
    side = np.linspace(-12, 12, 401, dtype=np.float32)
    x = jnp.asarray(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2))
    z, log_det = jax.jit(method.network.apply)(params, x)
    ours = np.asarray(log_det) - np.sum(np.asarray(z) ** 2, 1) / 2 - np.log(2 * np.pi)
    theirs = np.asarray(jax.jit(lambda x: flow.log_prob(x))(x))
    assert np.ptp(np.asarray(log_det)) > 0.1  # not the volume of a shift
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    for found in (ours, theirs):
        np.testing.assert_allclose(np.sum(np.exp(found, dtype=np.float64)) * (side[1] - side[0]) ** 2, 1, rtol=0.01)


@pytest.mark.slow
@needs_flowjax
def test_flowjax_takes_the_same_step(monkeypatch):
    """The comparison checks losses and gradients, and exits if they differ."""
    flowjax, _ = [one for one in flows.couplings(True) if one.needs == "flowjax"]
    monkeypatch.setattr(flows, "equal", lambda ours, theirs: case.equal(ours, 1.001 * theirs))
    with pytest.raises(SystemExit, match="must compute the same number"):
        flowjax.prepare()


def test_flop_of_couplings_is_what_xla_counts():
    """XLA counts activations too."""
    ours, *_ = flows.couplings(False)
    config = ours.config
    method = config.method.resolve(jax.ShapeDtypeStruct((2,), jnp.float32))
    x = jax.ShapeDtypeStruct((config.batch_size, 2), jnp.float32)
    params = jax.eval_shape(method.init, jax.random.key(0), x).params
    loss = lambda params, x: method.loss(jax.random.key(0), params, {}, x)[0]
    counted = jax.jit(jax.value_and_grad(loss)).lower(params, x).compile().cost_analysis()["flops"]
    depth = config.method.network.layers[1].depth
    counted *= depth if counted < ours.flop / 2 else 1  # XLA counts a loop's body once, unless it has unrolled it
    np.testing.assert_allclose(counted, ours.flop, rtol=0.05)


def test_unknown_comparisons_are_an_error():
    with pytest.raises(SystemExit, match="comparisons must be among own, pool"):
        benchmark.Experiment(comparisons=("flow",))


@pytest.mark.parametrize("network", ["dense", pytest.param("images", marks=pytest.mark.slow)])
def test_flop_is_what_xla_counts(network):
    """XLA counts activations too, and omits products with the padding of an image."""
    rows, latent_dim = 64, 16
    if network == "dense":
        module, products, close = nets.MLP((64, 64, 4)), case.dense_products((latent_dim, 64, 64, 4)), 0.05
    else:
        widths = (32, 32, 32, 32)
        module = nets.ConvGenerator((16, 16, 1), widths)
        products, close = case.image_products(latent_dim, widths, 1, taps=4), 0.2
    noise = jnp.zeros((rows, latent_dim))
    params = module.init(jax.random.key(0), noise)
    value = lambda params: jnp.sum(module.apply(params, noise) ** 2)
    count = lambda f: jax.jit(f).lower(params).compile().cost_analysis()["flops"]
    forward, backward = case.forward(rows, products), case.backward(rows, products)
    np.testing.assert_allclose(count(value), forward, rtol=close)
    np.testing.assert_allclose(count(jax.grad(value)), forward + backward, rtol=close)


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("name", ["own", "pool"])
def test_pytorch_takes_the_same_step(name, monkeypatch):
    """`plain` compares the losses, and exits if they differ."""
    small(monkeypatch)
    from experiments.speed import torch_evl

    (eager,) = [one for one in benchmark.COMPARISONS[name](True) if one.needs == "torch"]
    eager.prepare().run()
    value = torch_evl.value
    monkeypatch.setattr(torch_evl, "value", lambda *arguments: 1.001 * value(*arguments))
    with pytest.raises(SystemExit, match="must compute the same number"):
        eager.prepare()


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("name", ["plane", "digits", "chains", "auxiliary", "adversarial", "discrepancy"])
def test_pytorch_does_the_same(name, monkeypatch):
    """The comparisons check losses, or log-densities, and exit if they differ."""
    eager, *shared = [one for one in benchmark.COMPARISONS[name](True) if one.needs == "torch"]
    for one in (eager, *shared):
        one.prepare().run()
    modules = {"auxiliary": negvae, "adversarial": negvae, "discrepancy": mmd}
    monkeypatch.setattr(modules.get(name, meg), "equal", lambda ours, theirs: case.equal(ours, 1.001 * theirs))
    with pytest.raises(SystemExit, match="must compute the same number"):
        eager.prepare()


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("adversarial", [False, True])
def test_a_shared_pass_takes_the_same_step(adversarial):
    import torch

    from experiments.speed import torch_negvae

    steps, x = [], torch.rand(2, 3, 28, 28, 1)
    for shared in (False, True):
        torch.manual_seed(0)
        networks = torch_negvae.digits(2, 4)
        pair = torch_negvae.Autoencoders(*networks, 2, 8.0, adversarial=adversarial, shared=shared)
        pair.step(*x)
        steps.append([parameter.detach().numpy() for parameter in pair.parameters()])
    for plain, shared in zip(*steps, strict=True):
        np.testing.assert_allclose(plain, shared, rtol=1e-5, atol=1e-6)


@needs_torch
def test_flop_is_what_pytorch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    (eager,) = [one for one in evl.own(True) if one.needs == "torch"]
    ready = eager.prepare()
    with FlopCounterMode(display=False) as counter:
        ready.run()
    np.testing.assert_allclose(counter.get_total_flops() / eager.steps, eager.flop, rtol=0.01)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a process is read from Linux's /proc")
def test_memory_is_the_peak_of_the_process():
    """In a process of its own: the peak of this process may exceed what a test can allocate."""
    code = """
import numpy as np
from experiments.speed import benchmark, case
waits = case.Case("waits", 1, 0.0, lambda: case.Ready(lambda: None, {}))
benchmark.COMPARISONS["waits"] = lambda quick: [waits]
(before,) = benchmark.peak_memory("waits", 0, True)
hoard = np.ones(2**25)  # 256 MiB
(during,) = benchmark.peak_memory("waits", 0, True)
del hoard
(after,) = benchmark.peak_memory("waits", 0, True)
print(during - before, after - during)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    grown, fallen = map(float, output.stdout.split())
    assert 240 < grown < 280
    assert abs(fallen) < 16  # Linux counts in batches of pages
