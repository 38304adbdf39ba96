"""Updates by any optax optimizer: extra arguments, lookahead, and the parameters to evaluate the model at."""

import functools
from typing import Any, NamedTuple

import jax
import optax
from optax.contrib import ScheduleFreeState, schedule_free_eval_params

from jaxgen import parallel
from jaxgen.types import Params, PyTree

__all__ = ["LookaheadOptState", "evaluation_params", "init_optimizer", "mean_gradient", "update_params"]


class LookaheadOptState(NamedTuple):
    """State of `optax.lookahead`, with the slow parameters; the training state's parameters are the fast ones."""

    opt_state: PyTree
    slow: Params


def init_optimizer(optimizer: optax.GradientTransformation, params: Params) -> PyTree:
    """Return the initial optimizer state for parameters."""
    opt_state = optimizer.init(params)
    return opt_state if _find(optax.LookaheadState, opt_state) is None else LookaheadOptState(opt_state, params)


def update_params(
    optimizer: optax.GradientTransformation, gradient: Params, opt_state: PyTree, params: Params, **extra: Any
) -> tuple[Params, PyTree]:
    """Apply one update.

    Args:
        optimizer: any optax gradient transformation.
        gradient: of the loss at `params`.
        opt_state: current optimizer state.
        params: current parameters.
        **extra: optax's extra arguments, for the optimizers that take them.

    Returns:
        The new parameters and the new optimizer state.
    """
    update = functools.partial(optax.with_extra_args_support(optimizer).update, **extra)
    if isinstance(opt_state, LookaheadOptState):
        both = optax.LookaheadParams(params, opt_state.slow)
        updates, new_state = update(gradient, opt_state.opt_state, both)
        fast, slow = optax.apply_updates(both, updates)
        return fast, LookaheadOptState(new_state, slow)
    updates, opt_state = update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state


def evaluation_params(opt_state: PyTree, params: Params) -> Params:
    """Return the parameters at which the model is evaluated.

    Args:
        opt_state: optimizer state.
        params: parameters at which gradients are taken.

    Returns:
        The slow parameters of `optax.lookahead`, the average of schedule-free optimizers, and `params` otherwise.
    """
    if isinstance(opt_state, LookaheadOptState):
        return opt_state.slow
    schedule_free = _find(ScheduleFreeState, opt_state)
    if schedule_free is None:
        return params
    averaged = schedule_free_eval_params(schedule_free, params)
    return jax.tree.map(lambda mean, last: mean.astype(last.dtype), averaged, params)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def mean_gradient(axis_name: str | None, params: Params) -> Params:
    """Return parameters unchanged; their gradient is averaged over devices."""
    return params


def _forward(axis_name: str | None, params: Params) -> tuple[Params, None]:
    return params, None


def _backward(axis_name: str | None, _: None, gradient: Params) -> tuple[Params]:
    return (parallel.mean(gradient, axis_name),)


mean_gradient.defvjp(_forward, _backward)


def _find(kind: type, opt_state: PyTree) -> Any:
    """Return the first node of a type in an optimizer state, or None."""
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, kind))
    return next((node for node in nodes if isinstance(node, kind)), None)
