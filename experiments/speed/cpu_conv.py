"""Benchmark of convolutions inside loops on a CPU: can `jaxgen/nets/cpu_conv` be deleted?

    python -m experiments.speed.cpu_conv          # about a minute on two cores
    python -m experiments.speed.cpu_conv --quick  # small shapes, seconds; its times say nothing about speed

Each case is a convolution of the library's networks, run inside `jax.lax.scan`: forward, and the gradients of images
and kernel. `jax.lax.conv_general_dilated` and `jaxgen.nets.convolve` take turns, and the fastest run counts.
"""

import dataclasses
import timeit
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxgen import nets

STEPS, TOLERANCE = 2, 1.1  # convolutions in a loop; the slowdown of plain that still counts as equal
# Images (height = width, channels), kernel (size, features), stride, padding, and input dilation. The first decoder
# has images of 14 x 14 in place of 28 x 28, since plain takes seconds for them.
CASES: dict[str, tuple[tuple[int, int], tuple[int, int], int, tuple[int, int], int]] = {
    "extreme value generator, 3 x 3": ((16, 64), (3, 64), 1, (1, 1), 1),
    "energy, 5 x 5, stride 2": ((14, 64), (5, 128), 2, (2, 2), 1),
    "energy, fewer pixels than the kernel": ((4, 256), (5, 512), 2, (2, 2), 1),
    "generator, transposed, stride 2": ((7, 128), (5, 64), 1, (2, 3), 2),
    "decoder, to 256 features": ((14, 32), (5, 256), 1, (2, 2), 1),
    "decoder, to one channel": ((28, 256), (5, 1), 1, (2, 2), 1),
    "flow, 1 x 1": ((14, 64), (1, 64), 1, (0, 0), 1),
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which shapes, how often."""

    batch_size: int = 16  # images of a convolution
    repeats: int = 2  # least number of runs of each function; short ones run up to 50 times
    quick: bool = False  # a quarter of the images and an eighth of the features: shows that it runs, not how fast


def run(experiment: Experiment) -> dict[str, float]:
    """Time every case, print a table and the verdict, and return the slowdowns of plain."""
    if jax.devices()[0].platform != "cpu":
        raise SystemExit(f"the backend must be a CPU (got {jax.devices()[0].platform}); set JAX_PLATFORMS=cpu.")
    batch, share = (experiment.batch_size // 4, 8) if experiment.quick else (experiment.batch_size, 1)
    slowdowns = {}
    print(f"{'milliseconds inside lax.scan':52}{'plain':>9}{'ours':>9}{'plain / ours':>14}")
    for name, ((side, channels), (size, features), stride, pads, dilation) in CASES.items():
        generator, shape = np.random.default_rng(0), (size, size, channels // share, -(-features // share))
        x = generator.standard_normal((batch, side, side, shape[2])).astype(np.float32)
        kernel = 0.1 * generator.standard_normal(shape).astype(np.float32)
        for kind in ("forward", "gradients"):
            both = (jax.lax.conv_general_dilated, nets.convolve)
            programs = [_program(conv, kind, stride, pads, dilation) for conv in both]
            np.testing.assert_allclose(programs[0](x, kernel), programs[1](x, kernel), rtol=1e-3)
            once = lambda program: timeit.timeit(lambda: program(x, kernel).block_until_ready(), number=1)  # noqa: B023
            rounds = max(experiment.repeats, min(50, int(1 / max(map(once, programs)))))
            seconds = [[once(program) for program in programs] for _ in range(rounds)]
            plain, ours = 1e3 * np.min(seconds, 0) / STEPS
            slowdowns[f"{name}: {kind}"] = plain / ours
            print(f"{f'{name}: {kind}':52}{plain:9.2f}{ours:9.2f}{plain / ours:14.2f}")
    print("--quick only shows that this runs; no verdict." if experiment.quick else verdict(slowdowns))
    return slowdowns


def verdict(slowdowns: dict[str, float]) -> str:
    """Return one sentence: whether `jaxgen/nets/cpu_conv` can be deleted."""
    slower, worst = sum(times > TOLERANCE for times in slowdowns.values()), max(slowdowns, key=slowdowns.__getitem__)
    if not slower:
        return "jaxgen/nets/cpu_conv can be deleted: plain is at least as fast in every case."
    most = f"{slowdowns[worst]:.1f} times for '{worst}'"
    return f"Keep jaxgen/nets/cpu_conv: plain is slower in {slower} of {len(slowdowns)} cases, {most}."


def _program(conv: Callable, kind: str, stride: int, pads: tuple[int, int], dilation: int) -> Callable:
    """Return a loop over a convolution or its gradients; each step depends on the one before."""
    how = {"lhs_dilation": (dilation, dilation), "dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    forward = lambda x, kernel: conv(x, kernel, (stride, stride), (pads, pads), **how)
    gradients = jax.grad(lambda x, kernel: jnp.sum(forward(x, kernel) ** 2), (0, 1))

    def step(carry: Any, x: Any, kernel: Any) -> tuple[Any, None]:
        results = (forward if kind == "forward" else gradients)(x, kernel * (1 + 1e-6 * jnp.tanh(carry)))
        return sum(jnp.mean(leaf**2) for leaf in jax.tree.leaves(results)), None

    return jax.jit(lambda x, w: jax.lax.scan(lambda c, _: step(c, x, w), jnp.zeros(()), length=STEPS)[0])


if __name__ == "__main__":
    run(tyro.cli(Experiment))
