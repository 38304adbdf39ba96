"""Step-size adaptation during warm-up."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxgen.sharding import varying
from jaxgen.types import Array, Float, Int, Key, Process, PyTree, State

__all__ = ["StepSizeAdaptation", "DualAveragingState"]


class DualAveragingState(NamedTuple):
    """State of the adapted process and of the dual averaging of its step size."""

    inner: State  # state of the process itself
    steps: Int[Array, ""]
    excess: Float[Array, ""]  # weighted mean of target minus acceptance
    log_step_size: Float[Array, ""]  # used by the next step
    log_average: Float[Array, ""]  # average, used after warm-up

    @property
    def position(self) -> PyTree:
        """Current position of the process."""
        return self.inner.position


@dataclasses.dataclass(frozen=True)
class StepSizeAdaptation:
    """Dual-averaging adaptation of a sampler's step size towards a target acceptance rate.

    Around `Chains`, one step size is shared and follows the mean acceptance of all chains, which converges in short
    runs. Around the process of a single chain it follows that chain; under `vmap` each chain adapts its own. Samples
    drawn while the step size changes do not have exactly the target distribution: warm up, then continue with `frozen`.

    Attributes:
        process: function from a step size `[]` to a process: `lambda size: Chains(MALA(log_density, size))`. The `info`
            of its steps must have a field `acceptance`.
        step_size: initial step size; it may be wrong by orders of magnitude.
        target: target acceptance rate in (0, 1). 0.574 is optimal for Langevin proposals in many dimensions.
        gamma: regularization, > 0, as in the reference; a smaller value changes the step size more per step.
        t0: number of steps, >= 0, that damps the first updates.
        kappa: in (0.5, 1]; the final step size averages about the last `n ** kappa` of n steps.

    References:
        Hoffman and Gelman, The No-U-Turn sampler (2014), equation 6, without its shrinkage towards larger steps; after
        Nesterov, Primal-dual subgradient methods for convex problems (2009).
        Roberts and Rosenthal, Optimal scaling of discrete approximations to Langevin diffusions (1998).
    """

    process: Callable[[float | Float[Array, ""]], Process]
    step_size: float | Float[Array, ""] = 0.1
    target: float = 0.574
    gamma: float = 0.05
    t0: float = 10.0
    kappa: float = 0.75

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise ValueError(f"`target` must be between 0 and 1 (got {self.target}); use for example 0.574.")
        if not 0.5 < self.kappa <= 1:
            raise ValueError(f"`kappa` must be above 0.5 and at most 1 (got {self.kappa}); use for example 0.75.")
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"`gamma` must be positive and finite (got {self.gamma}); use for example 0.05.")
        if not 0 <= self.t0 < math.inf:
            raise ValueError(f"`t0` must be finite and not negative (got {self.t0}); use for example 10.")

    def init(self, position: PyTree) -> DualAveragingState:
        """Initial state of the process and of the adaptation.

        Args:
            position: argument of the `init` of the process: `[...]` for one chain, `[chains, ...]` for `Chains`.

        Returns:
            The state before the first step.
        """
        inner = self.process(self.step_size).init(position)
        start = varying(self._start, inner)
        return DualAveragingState(inner, jnp.zeros((), jnp.int32), jnp.zeros_like(start), start, start)

    def step(self, key: Key[Array, ""], state: DualAveragingState) -> tuple[DualAveragingState, PyTree]:
        """One step of the process, followed by an update of the step size.

        Args:
            key: random key of the step.
            state: current state.

        Returns:
            The new state, and the `info` of the process.
        """
        inner, info = self.process(jnp.exp(state.log_step_size)).step(key, state.inner)
        steps = state.steps + 1
        excess = state.excess + (self.target - jnp.mean(info.acceptance) - state.excess) / (steps + self.t0)
        log_step_size = self._start - jnp.sqrt(steps) / self.gamma * excess
        log_average = state.log_average + (log_step_size - state.log_average) * steps**-self.kappa
        return DualAveragingState(inner, steps, excess, log_step_size, log_average), info

    def frozen(self, state: DualAveragingState) -> Process:
        """Process with the adapted step size held fixed; continue it from `state.inner`.

        Args:
            state: state after warm-up.

        Returns:
            The process with the averaged step size.

        Raises:
            ValueError: if chains adapted separately, so that there are several step sizes.
        """
        if state.log_average.ndim:
            raise ValueError(
                f"frozen needs a single step size (got step sizes of shape {state.log_average.shape}); call it under "
                "jax.vmap, or adapt one step size as StepSizeAdaptation(lambda size: Chains(...))."
            )
        return self.process(jnp.exp(state.log_average))

    @property
    def _start(self) -> Float[Array, ""]:
        # At least in single precision, as all arithmetic on it: the samples may have half precision.
        return jnp.log(jnp.asarray(self.step_size, float))
