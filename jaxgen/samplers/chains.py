"""Parallel Markov chains of one process."""

import dataclasses

import jax

from jaxgen import parallel
from jaxgen.scan import iterate, keys
from jaxgen.sharding import aligned
from jaxgen.types import Array, Key, Process, PyTree, State

__all__ = ["Chains"]


@dataclasses.dataclass(frozen=True)
class Chains:
    """Vectorized Markov chains, themselves a process.

    Chain `i` uses the key `fold_in(key, i)`, so its path does not depend on the number of chains or devices.

    Attributes:
        process: process of one chain, such as `MALA`; its state must have a field `position`.
        axis_name: axis over devices inside `jax.shard_map` or `jax.pmap`, each with an equal share of the chains and
            the same key; None where one device has all chains, or each device a key of its own.
    """

    process: Process
    axis_name: str | None = None

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
        chains = first.shape[0]
        own = keys(key, chains, start=parallel.index(self.axis_name) * chains)
        return jax.vmap(self.process.step)(aligned(own, first), states)

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
