"""Costs of a compiled program, and memory of a fresh process."""

import os

import jax
import jax.numpy as jnp
import pytest

from experiments.common import resources


def test_a_compiled_program_has_costs_and_runs():
    program, found = resources.compiled(jax.jit(lambda x: jnp.sort(x) @ x), jnp.arange(64.0))
    assert float(program(jnp.arange(64.0))) == sum(i * i for i in range(64))
    assert found["compile"] > 0
    assert found["temporaries"] >= 64 * 4 / 2**20  # the sorted copy


@pytest.mark.slow
def test_a_fresh_process_does_not_count_this_one_s_memory():
    assert resources.in_fresh_process(os.getpid) != os.getpid()
    held = bytearray(400 * 2**20)
    held[:: 2**12] = b"1" * (len(held) // 2**12)  # every page is touched
    resident = resources.in_fresh_process(resources.peak_memory)
    assert resident.get("resident", 0) < 400
