"""Operations and communication of a program, counted in its trace with the lengths of its loops."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

import jax
import jax.extend
import numpy as np
from jax.interpreters import partial_eval

__all__ = ["Cost", "cost"]

Program: TypeAlias = jax.extend.core.ClosedJaxpr | jax.extend.core.Jaxpr

# Primitives that compute one floating-point operation for each element of the result.
_ELEMENTWISE = frozenset(
    [
        "add",
        "add_any",
        "sub",
        "mul",
        "div",
        "rem",
        "neg",
        "abs",
        "sign",
        "max",
        "min",
        "pow",
        "integer_pow",
        "sqrt",
        "rsqrt",
        "cbrt",
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "logistic",
        "sin",
        "cos",
        "tan",
        "tanh",
        "asin",
        "acos",
        "atan",
        "atan2",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "atanh",
        "erf",
        "erfc",
        "erf_inv",
        "lgamma",
        "digamma",
        "floor",
        "ceil",
        "round",
        "square",
        "cumsum",
        "cumprod",
        "cummax",
        "cummin",
        "cumlogsumexp",
        "nextafter",
        "igamma",
        "bessel_i0e",
        "bessel_i1e",
    ]
)
# One for each element of the argument.
_REDUCTIONS = frozenset(["reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin"])
_CALLBACKS = frozenset(["pure_callback", "io_callback", "debug_callback", "debug_print"])
# Bytes sent over the interconnect by each of n devices, as a multiple of the argument's (all_gather: the result's).
_COLLECTIVES = {
    "psum": lambda n: 2 * (n - 1) / n,
    "psum2": lambda n: 2 * (n - 1) / n,
    "psum_invariant": lambda n: 2 * (n - 1) / n,
    "pmax": lambda n: 2 * (n - 1) / n,
    "pmin": lambda n: 2 * (n - 1) / n,
    "all_gather": lambda n: (n - 1) / n,
    "all_gather_invariant": lambda n: (n - 1) / n,
    "reduce_scatter": lambda n: (n - 1) / n,
    "all_to_all": lambda n: (n - 1) / n,
    "ppermute": lambda n: 1.0,
}
_KINDS = {"psum2": "psum", "psum_invariant": "psum", "all_gather_invariant": "all_gather"}
_LANES = 128  # a TPU multiplies matrices in tiles with sides of a multiple of this


@dataclasses.dataclass
class Cost:
    """What one device computes and sends in a program.

    Attributes:
        flops: floating-point operations; a multiplication and an addition are two. Of branches, the cheapest counts.
        products: operations of matrix products and convolutions alone.
        padded: the same with the sides of every matrix product rounded up to the tiles of a TPU.
        sent: bytes sent over the interconnect.
        collectives: number of collectives of each kind.
        callbacks: number of calls of the host.
        unknown: number of loops whose length is not known; their bodies count once.
        float64: whether any number has 64 bits.
    """

    flops: float = 0.0
    products: float = 0.0
    padded: float = 0.0
    sent: float = 0.0
    collectives: Counter[str] = dataclasses.field(default_factory=Counter)
    callbacks: float = 0.0
    unknown: int = 0
    float64: bool = False

    def add(self, other: "Cost", times: float = 1.0) -> None:
        """Add the cost of a part that runs a number of times."""
        self.flops += times * other.flops
        self.products += times * other.products
        self.padded += times * other.padded
        self.sent += times * other.sent
        self.callbacks += times * other.callbacks
        for kind, number in other.collectives.items():
            self.collectives[kind] += round(number * times)
        self.unknown += other.unknown
        self.float64 |= other.float64


def cost(jaxpr: Program, platform: str, devices: int) -> Cost:
    """Count the operations of a traced program on one device.

    Args:
        jaxpr: the trace; inside `jax.shard_map` its shapes are those of one device.
        platform: the platform that decides which branch of `jax.lax.platform_dependent` runs.
        devices: number of devices along the axis of the collectives.

    Returns:
        The cost. Operations whose results are unused do not count; the compiler may remove others.
    """
    inside = jaxpr.jaxpr if isinstance(jaxpr, jax.extend.core.ClosedJaxpr) else jaxpr
    needed, _ = partial_eval.dce_jaxpr(inside, [True] * len(inside.outvars), instantiate=True)
    return _of_program(needed, platform, devices)


def _of_program(jaxpr: Program, platform: str, devices: int) -> Cost:
    total = Cost()
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name, variables = equation.primitive.name, [*equation.invars, *equation.outvars]
        total.float64 |= any(getattr(v.aval, "dtype", None) in (np.float64, np.complex128) for v in variables)
        if name == "cond":
            total.add(_of_branches(equation.params, platform, devices))
        elif name == "scan":
            total.add(_of_program(equation.params["jaxpr"], platform, devices), float(equation.params["length"]))
        elif name == "while":
            total.add(_of_program(equation.params["body_jaxpr"], platform, devices))
            total.unknown += 1
        elif inner := list(_inner(equation.params)):
            for part in inner:
                total.add(_of_program(part, platform, devices))
        else:
            total.add(_of_equation(name, equation, devices))
    return total


def _inner(params: dict[str, Any]) -> Iterator[Program]:
    """Yield the programs of a call; of a custom derivative only the function itself."""
    for name, value in params.items():
        if "jvp" in name or "fwd" in name or "bwd" in name:
            continue
        if isinstance(value, (jax.extend.core.ClosedJaxpr, jax.extend.core.Jaxpr)):
            yield value


def _of_branches(params: dict[str, Any], platform: str, devices: int) -> Cost:
    branches, platforms = params["branches"], params.get("branches_platforms")
    if platforms is not None:
        chosen = [
            branch for branch, names in zip(branches, platforms, strict=True) if names is None or platform in names
        ]
        return _of_program(chosen[0], platform, devices)
    return min((_of_program(branch, platform, devices) for branch in branches), key=lambda each: each.flops)


def _of_equation(name: str, equation: Any, devices: int) -> Cost:
    arguments = [v.aval for v in equation.invars]
    result = equation.outvars[0].aval if equation.outvars else None
    if name == "dot_general":
        return _of_product(equation.params["dimension_numbers"], *arguments[:2])
    if name == "conv_general_dilated":
        return _of_convolution(equation.params, arguments[0], arguments[1], result)
    if name in _COLLECTIVES and devices > 1:
        avals = [v.aval for v in equation.outvars] if name.startswith("all_gather") else arguments
        sent = sum(aval.size * aval.dtype.itemsize for aval in avals) * _COLLECTIVES[name](devices)
        return Cost(sent=sent, collectives=Counter({_KINDS.get(name, name): 1}))
    if name in _CALLBACKS:
        return Cost(callbacks=1.0)
    if name in _ELEMENTWISE and result is not None and np.issubdtype(result.dtype, np.inexact):
        return Cost(flops=float(result.size))
    if name in _REDUCTIONS and np.issubdtype(arguments[0].dtype, np.inexact):
        return Cost(flops=float(arguments[0].size))
    return Cost()


def _of_product(dimension_numbers: Any, left: Any, right: Any) -> Cost:
    (contracted, other), (batch, other_batch) = dimension_numbers
    size = lambda aval, axes: math.prod(aval.shape[axis] for axis in axes)
    free = lambda aval, used: [axis for axis in range(aval.ndim) if axis not in used]
    rows, columns = size(left, free(left, [*contracted, *batch])), size(right, free(right, [*other, *other_batch]))
    inner, count = size(left, contracted), size(left, batch)
    return _product(count, rows, inner, columns)


def _of_convolution(params: dict[str, Any], image: Any, kernel: Any, result: Any) -> Cost:
    """Count the products of kernel entries with pixels that exist: neither padding nor the zeros of dilation."""
    numbers = params["dimension_numbers"]
    taps = 1.0
    for axis in range(len(params["window_strides"])):
        stride, (before, _) = params["window_strides"][axis], params["padding"][axis]
        spread, dilation = params["lhs_dilation"][axis], params["rhs_dilation"][axis]
        pixels, entries = image.shape[numbers.lhs_spec[2 + axis]], kernel.shape[numbers.rhs_spec[2 + axis]]
        outputs = result.shape[numbers.out_spec[2 + axis]]
        at = np.arange(outputs)[:, None] * stride + np.arange(entries) * dilation - before
        taps *= np.sum((at >= 0) & (at <= (pixels - 1) * spread) & (at % spread == 0))
    features, channels = kernel.shape[numbers.rhs_spec[0]], kernel.shape[numbers.rhs_spec[1]]
    images = image.shape[numbers.lhs_spec[0]] // params["batch_group_count"]
    spatial = math.prod(kernel.shape[axis] for axis in numbers.rhs_spec[2:])
    exact = 2.0 * images * taps * channels * features
    padded = _product(1, images * max(int(taps // spatial), 1), channels * spatial, features).padded
    return Cost(flops=exact, products=exact, padded=max(padded, exact))


def _product(count: int, rows: int, inner: int, columns: int) -> Cost:
    up = lambda size, step: -(-size // step) * step
    exact = 2.0 * count * rows * inner * columns
    # The sides of a product may be exchanged, so the shorter one is rounded to 8 rows.
    padded = 2.0 * count * up(min(rows, columns), 8) * up(inner, _LANES) * up(max(rows, columns), _LANES)
    return Cost(flops=exact, products=exact, padded=padded)
