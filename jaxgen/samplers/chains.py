"""Parallel Markov chains of one process."""

import dataclasses

import jax

from jaxgen.scan import iterate, keys
from jaxgen.sharding import aligned
from jaxgen.types import Array, Key, Process, PyTree, State

__all__ = ["Chains"]


@dataclasses.dataclass(frozen=True)
class Chains:
    """Vectorized Markov chains, themselves a process.

    Chain `i` uses the key `fold_in(key, i)`, so its path does not depend on the number of chains.

    Attributes:
        process: process of one chain, such as `MALA`; its state must have a field `position`.
    """

    process: Process

    def init(self, positions: PyTree) -> State:
        """Initial states of the chains.

        Args:
            positions: starting points, leaves `[chains, ...]`.

        Returns:
            States, leaves `[chains, ...]`.
        """
        return jax.vmap(self.process.init)(positions)

    def step(self, key: Key[Array, ""], states: State) -> tuple[State, PyTree]:
        """One step of every chain.

        Args:
            key: random key of the step.
            states: current states, leaves `[chains, ...]`.

        Returns:
            The new states and the `info` of each chain, leaves `[chains, ...]`.
        """
        first = jax.tree.leaves(states)[0]
        return jax.vmap(self.process.step)(aligned(keys(key, first.shape[0]), first), states)

    def draw(self, key: Key[Array, ""], states: State, draws: int) -> tuple[State, PyTree, PyTree]:
        """Run all chains and keep their positions.

        Args:
            key: random key of the whole run.
            states: current states, leaves `[chains, ...]`.
            draws: number of steps of each chain.

        Returns:
            The last states; the positions after each step, `[chains, draws, ...]`, the layout that the diagnostics in
            `metrics.chains` expect; and the `info` of each step, `[chains, draws, ...]`.
        """

        def step(key: Key[Array, ""], states: State) -> tuple[State, PyTree]:
            states, infos = self.step(key, states)
            return states, (states.position, infos)

        states, trace = iterate(step, key, states, length=draws)
        positions, infos = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), trace)
        return states, positions, infos
