#!/usr/bin/env bash
# jax 0.10.2 on a CPU. A compiled `jnp.exp` whose argument is known to be NaN returns whatever was in memory, not NaN.
# Guess before running: exp(x / NaN) is NaN, compiled or not, as IEEE arithmetic and NumPy have it.
# Seen: without `jit` all entries are NaN. With `jit` all six expressions with exp or exp2 return other numbers (0 to 2 of
# 64 are NaN), which differ from run to run; tanh, log and expm1 of the same arguments are NaN. NaN that is an argument
# of the program is right, and so is all of jax 0.12.0.1.
# What follows: a constant NaN marks nothing if it goes through exp; multiply the result by NaN in place of the input.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 2> /dev/null
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
import numpy as np

x, nan = jnp.arange(1.0, 65.0), jnp.nan
expressions = {
    "exp(x * nan)": lambda x: jnp.exp(x * nan),
    "exp(x + nan)": lambda x: jnp.exp(x + nan),
    "exp(x / nan)": lambda x: jnp.exp(x / nan),
    "exp(-x / nan)": lambda x: jnp.exp(-x / nan),
    "exp2(x * nan)": lambda x: jnp.exp2(x * nan),
    "sum(exp(x / nan))": lambda x: jnp.sum(jnp.exp(x / nan), keepdims=True),
}
others = {
    "tanh(x / nan)": lambda x: jnp.tanh(x / nan),
    "log(x * nan)": lambda x: jnp.log(x * nan),
    "expm1(x / nan)": lambda x: jnp.expm1(x / nan),
}
count = lambda value: int(np.isnan(np.asarray(value)).sum())
wrong = 0
for name, f in {**expressions, **others}.items():
    eager, compiled, size = count(f(x)), count(jax.jit(f)(x)), np.size(f(x))
    print(f"{name:18} NaN: {eager} of {size} without jit, {compiled} of {size} with jit")
    assert eager == size, "NaN without jit is expected"
    wrong += compiled < size
argument = count(jax.jit(lambda x, r: jnp.exp(x / r))(x, jnp.nan))
print(f"with NaN as an argument of the program: {argument} of {x.size}")
assert argument == x.size
assert wrong >= 1, "compiled exp of a constant NaN is NaN now"
PYTHON
