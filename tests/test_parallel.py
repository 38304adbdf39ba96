"""Collectives on one and on several devices; layouts."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen import parallel
from jaxgen.parallel import Layout


def everywhere(f, *arguments):
    return jax.pmap(f, axis_name=parallel.AXIS)(*arguments)


def test_collectives_without_an_axis_are_identities():
    x = {"a": jnp.arange(3.0), "n": jnp.arange(2)}
    assert parallel.mean(x, None) is x
    assert parallel.gather(x, None) is x
    assert parallel.count(None) == 1
    key = jax.random.key(0)
    assert parallel.fold(key, None) is key
    rows = jnp.arange(12).reshape(3, 4)
    assert parallel.local_columns(rows, None) is rows


def test_mean_and_gather_over_devices():
    x = jnp.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(
        everywhere(lambda x: parallel.mean(x, parallel.AXIS), x), jnp.tile(x.mean(0)[None], (4, 1))
    )
    np.testing.assert_array_equal(everywhere(lambda x: parallel.gather(x, parallel.AXIS), x)[2], x.ravel())
    counts = jnp.arange(4)  # integers are counters, which are not averaged
    np.testing.assert_array_equal(everywhere(lambda n: parallel.mean(n, parallel.AXIS), counts), counts)


def test_devices_split_the_rows_and_draw_different_noise():
    rows = jnp.arange(24).reshape(3, 8)
    shares = everywhere(lambda _: parallel.local_columns(rows, parallel.AXIS), jnp.arange(4))
    np.testing.assert_array_equal(jnp.concatenate(shares, 1), rows)
    draw = lambda _: jax.random.uniform(parallel.fold(jax.random.key(0), parallel.AXIS))
    assert len(np.unique(everywhere(draw, jnp.arange(4)))) == 4


def test_place_copies_so_that_aliased_leaves_can_be_donated():
    x = jnp.arange(3.0)
    placed = Layout().place({"params": x, "average": x})
    assert len(placed["params"].sharding.device_set) == 4
    donate = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)
    np.testing.assert_array_equal(donate(placed)["average"], x + 1)
    assert placed["params"].is_deleted()
    np.testing.assert_array_equal(x, jnp.arange(3.0))


@pytest.mark.parametrize("devices", [0, 5, -1])
def test_a_layout_rejects_missing_devices(devices):
    with pytest.raises(ValueError, match="there are 4"):
        Layout(devices=devices).local()


def test_convolutions_are_found_at_any_depth():
    dense = lambda x: x @ x.T
    convolution = lambda x: jax.lax.map(
        lambda y: jax.lax.conv_general_dilated(y[None, None], jnp.ones((1, 1, 2)), (1,), "SAME"), x
    )
    assert not parallel.has_convolution(jax.make_jaxpr(dense)(jnp.ones((2, 3))))
    assert parallel.has_convolution(jax.make_jaxpr(jax.jit(convolution))(jnp.ones((2, 3))))


def test_the_layout_of_seeds_depends_on_the_network():
    import tiny

    from jaxgen.training.preparation import resolved

    rows = (jax.ShapeDtypeStruct((3,), jnp.float32),)
    one = tiny.config(tiny.METHODS["evl pool"], num_seeds=1)
    assert resolved(one, rows).layout.seeds is parallel.serial
    assert resolved(tiny.config(tiny.METHODS["evl pool"]), rows).layout.seeds is parallel.batched
    assert jaxgen.Layout is Layout


@pytest.mark.parametrize("transform", [parallel.pmapped, parallel.sharded])
def test_a_program_that_is_dropped_frees_its_executable(transform):
    client = jax.devices()[0].client
    counts = []
    for factor in range(4):
        program = transform(lambda x, factor=factor: parallel.mean(factor * x, parallel.AXIS), jax.local_devices())
        np.testing.assert_array_equal(program(jnp.ones(3)), factor)
        del program
        gc.collect()
        counts.append(len(client.live_executables()))
    assert counts[1:] == counts[:1] * 3
