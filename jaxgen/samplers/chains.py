"""Many chains side by side."""

import dataclasses

import jax

from jaxgen.scan import iterate, keys
from jaxgen.types import Any, Array, Key, Process, PyTree, State

__all__ = ["Chains"]


@dataclasses.dataclass(frozen=True)
class Chains:
    """Many chains of one process, as one process; chain `i` takes `fold_in(key, i)`, however many there are.

    Attributes:
        process: of one chain, such as `MALA`; its state has a `position`.
    """

    process: Process

    def init(self, positions: PyTree) -> State:
        """Return the states of chains that start at positions, arrays `[chains, ...]`."""
        return jax.vmap(self.process.init)(positions)

    def step(self, key: Key[Array, ""], states: State) -> tuple[State, Any]:
        """Move every chain once.

        Args:
            key: of this step.
            states: leaves `[chains, ...]`.

        Returns:
            The new states, and what each chain reports, leaves `[chains, ...]`.
        """
        chains = jax.tree.leaves(states)[0].shape[0]
        return jax.vmap(self.process.step)(keys(key, chains), states)

    def draw(self, key: Key[Array, ""], states: State, draws: int) -> tuple[State, PyTree, Any]:
        """Run all chains and keep where they were.

        Args:
            key: of the whole run.
            states: where the chains stand, leaves `[chains, ...]`.
            draws: steps of each.

        Returns:
            The last states; the positions after each step, `[chains, draws, ...]`, as `metrics.chains` takes them; and
            what was reported, `[chains, draws, ...]`.
        """

        def step(key: Key[Array, ""], states: State) -> tuple[State, Any]:
            states, infos = self.step(key, states)
            return states, (states.position, infos)

        states, trace = iterate(step, key, states, length=draws)
        positions, infos = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), trace)
        return states, positions, infos
