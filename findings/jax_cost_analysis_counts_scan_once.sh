#!/usr/bin/env bash
# jax 0.10.2, CPU. `cost_analysis()` of a compiled program counts the body of a `lax.scan` once, whatever its length.
# Guess before running: the length of a scan is static, so flops of 10 and of 100 matrix products differ tenfold.
# Seen: both scans report the flops of one product (and a few for the loop counter); the unrolled loop reports ten.
# What follows: a roofline or a utilization computed from `cost_analysis()` of a training loop is too low by the number of steps.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 2> /dev/null
JAX_PLATFORMS=cpu "$work/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp

n = 256
product = 2 * n**3


def scanned(length):
    body = lambda x, _: (x @ x / n, None)
    return jax.jit(lambda x: jax.lax.scan(body, x, length=length)[0])


def unrolled(length):
    def run(x):
        for _ in range(length):
            x = x @ x / n
        return x

    return jax.jit(run)


x = jnp.ones((n, n))
flops = lambda program: program.lower(x).compile().cost_analysis()["flops"] / product
found = {"scan of 10": flops(scanned(10)), "scan of 100": flops(scanned(100)), "loop of 10": flops(unrolled(10))}
print({name: round(value, 2) for name, value in found.items()}, "products")
assert 0.9 < found["scan of 10"] < 1.1, found
assert 0.9 < found["scan of 100"] < 1.1, found
assert 9.5 < found["loop of 10"] < 10.5, found
PYTHON
