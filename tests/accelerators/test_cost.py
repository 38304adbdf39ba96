"""Operations are counted by hand: products, convolutions, loops, branches, platforms and collectives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxgen import nets
from jaxgen.accelerators.cost import cost

X, W = jnp.ones((5, 7)), jnp.ones((7, 3))


def of(f, *arguments, platform="cpu", devices=1):
    return cost(jax.make_jaxpr(f)(*arguments), platform, devices)


def test_products_and_elementwise():
    assert of(lambda x, w: x @ w, X, W).flops == 2 * 5 * 7 * 3
    assert of(lambda x, w: jnp.tanh(x @ w).sum(), X, W).flops == 2 * 5 * 7 * 3 + 2 * 15
    assert of(jnp.matmul, jnp.ones((4, 5, 7)), jnp.ones((4, 7, 3))).flops == 4 * 2 * 5 * 7 * 3
    assert of(lambda x: x[::-1].T.reshape(-1), X).flops == 0
    assert of(lambda n: n + n, jnp.arange(4)).flops == 0  # integers are no floating-point operations


def test_gradients_of_a_dense_layer_take_two_more_products():
    counted = of(jax.grad(lambda w, x: (x @ w).sum(), (0, 1)), W, X)
    assert counted.products == 2 * 2 * 5 * 7 * 3  # the value itself is not needed, and the trace drops it


def test_loops_count_as_often_as_they_run():
    twice = lambda x: jax.lax.scan(lambda c, _: (c @ jnp.ones((7, 7)), None), x, length=6)[0]
    assert of(twice, X).products == 6 * 2 * 5 * 7 * 7
    assert of(lambda x: jax.lax.fori_loop(0, 4, lambda _, c: jnp.sin(c), x), X).flops == 4 * 35
    assert of(jax.jit(jax.remat(twice)), X).products == 6 * 2 * 5 * 7 * 7
    unknown = of(lambda x: jax.lax.while_loop(lambda c: c.sum() < 9, jnp.cos, x), X)
    assert (unknown.unknown, unknown.flops) == (1, 35)


def test_the_cheapest_branch_counts():
    assert of(lambda x: jax.lax.cond(x.sum() > 0, lambda x: jnp.sin(jnp.cos(x)), jnp.sin, x), X).flops == 35 + 35


@pytest.mark.parametrize(("platform", "flops"), [("cpu", 35), ("tpu", 70), ("cuda", 70)])
def test_the_platform_decides_the_branch(platform, flops):
    f = lambda x: jax.lax.platform_dependent(x, cpu=jnp.sin, default=lambda x: jnp.sin(jnp.cos(x)))
    assert of(jax.jit(f), X, platform=platform).flops == flops


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("spread", [1, 2])
@pytest.mark.parametrize("padding", [((1, 1), (0, 2)), ((0, 0), (0, 0))])
def test_convolutions_count_pixels_that_exist(stride, spread, padding):
    image, kernel = jnp.ones((2, 6, 5, 3)), jnp.ones((3, 2, 3, 4))
    f = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(stride, stride),
        padding=padding,
        lhs_dilation=(spread, spread),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    # With ones, every output is the number of products that it sums.
    assert of(f, image, kernel).flops == 2 * np.sum(f(image, kernel))


def test_a_transposed_layer_costs_the_same_on_all_platforms():
    image, kernel = jnp.ones((2, 6, 6, 3)), jnp.ones((4, 4, 3, 5))
    f = functools.partial(nets.convolve, window_strides=(1, 1), padding=((2, 2), (2, 2)), lhs_dilation=(2, 2))
    on = {platform: of(f, image, kernel, platform=platform).products for platform in ("cpu", "tpu")}
    assert on["tpu"] == on["cpu"]


def test_collectives_send_what_a_ring_sends():
    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    mapped = lambda f: jax.shard_map(f, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec(), check_vma=False)
    summed = mapped(lambda x: jax.lax.psum(x, "d"))
    assert of(summed, X).sent == 0  # one device
    counted = of(summed, X, devices=4)
    assert counted.sent == 2 * 3 / 4 * 35 * 4
    assert counted.collectives == {"psum": 1}
    gathered = of(mapped(lambda x: jax.lax.all_gather(x, "d", tiled=True)), X, devices=4)
    assert gathered.collectives == {"all_gather": 1}


def test_calls_of_the_host_and_64_bits_are_seen():
    assert of(lambda x: jax.debug.print("{}", x) or x, X).callbacks == 1
    assert not of(jnp.sin, X).float64
    with jax.enable_x64(True):
        assert of(jnp.sin, np.ones(3)).float64
