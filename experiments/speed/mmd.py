"""Cases of MMD^2 with its gradient and bandwidth: blocked, by whole matrices, and in eager PyTorch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from experiments.common import resources
from experiments.mmd.cost import points, value_and_gradient, whole
from experiments.speed.case import Case, Ready, equal


def discrepancy(quick: bool) -> list[Case]:
    """MMD^2 and its gradient with the median heuristic, of two samples of 2,000 points in the plane."""
    n, steps = (51, 2) if quick else (2_000, 10)
    x, y = points(n)

    def compiled(function: Callable[..., Any], steps: int) -> Ready:
        program, costs = resources.compiled(jax.jit(function), x, y)

        def run() -> None:
            for _ in range(steps):
                jax.block_until_ready(program(x, y))

        return Ready(run, costs)

    def eager() -> Ready:
        import torch

        a, b = torch.tensor(x), torch.tensor(y)
        square = lambda a, b: (a * a).sum(1)[:, None] - 2 * a @ b.T + (b * b).sum(1)[None]

        def step() -> Any:
            moved = a.clone().requires_grad_()
            r = torch.median(torch.pdist(torch.cat([a, b])) ** 2)  # PyTorch takes the lower of two middle values
            kernel = lambda one, other: torch.exp(-square(one, other) / r).sum()
            within = (kernel(moved, moved) - n) / (n * (n - 1)) + (kernel(b, b) - n) / (n * (n - 1))
            value = within - 2 * kernel(moved, b) / (n * n)
            return value, torch.autograd.grad(value, moved)[0]

        ours, theirs = jax.jit(value_and_gradient)(x, y), step()
        equal(float(ours[0]), float(theirs[0].detach()))
        equal(float(jnp.sum(ours[1] ** 2) * n), float((theirs[1] ** 2).sum() * n))

        def run() -> None:
            for _ in range(steps):
                step()

        return Ready(run, {})

    title = f"MMD^2 and gradient, {n:,} x {n:,} points, median heuristic"
    flop = 2.0 * n * n * 3 * (2 + 1)  # products of the kernel matrix with coordinates and ones
    return [
        Case(f"{title}: jaxgen", steps, flop, lambda: compiled(value_and_gradient, steps)),
        Case(f"{title}: whole matrices and autodiff", 1, flop, lambda: compiled(whole, 1)),
        Case(f"{title}: eager PyTorch", steps, flop, eager, aim=5, needs="torch"),
    ]
