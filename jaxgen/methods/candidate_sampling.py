"""Where the guesses come from with which a target is compared: its own, or a pool that all share."""

import dataclasses
from collections.abc import Callable

from jaxgen import losses
from jaxgen.methods._conditioning import concatenate_condition
from jaxgen.types import Array, Float

__all__ = ["PerTarget", "SharedPool"]


@dataclasses.dataclass(frozen=True)
class PerTarget:
    """Each target has guesses of its own, as in section V of the paper.

    Attributes:
        guesses: how many for each target.
        chunk: targets whose guesses are made and differentiated at a time, which must divide a device's share of the
            minibatch; None takes all. On a CPU a chunk whose activations fit into the cache is faster.
    """

    guesses: int = 128
    chunk: int | None = None

    def __post_init__(self) -> None:
        _check(self)

    def __call__(
        self,
        generate: losses.Generate,
        draw: Callable[[int], Array],
        given: Float[Array, "b k"],
        x: Float[Array, "b d"],
        power: float,
    ) -> losses.ExtremeValue:
        """Return both parts of the loss, `[b]` each."""
        samples, logits = generate(concatenate_condition(draw(x.shape[0] * self.guesses), given))
        split = lambda rows: rows.reshape(x.shape[0], self.guesses, *rows.shape[1:])
        return losses.extreme_value(x, split(samples), split(logits), power=power)


@dataclasses.dataclass(frozen=True)
class SharedPool:
    """All targets of a minibatch share one pool of guesses, as in section VI of the paper.

    Attributes:
        guesses: size of the pool, on each device.
        chunk: guesses made at a time, which must divide the pool: then memory does not grow with the pool, and the
            samples are differentiated for the winners only. None holds and differentiates the whole pool at once,
            which is faster for dense networks whose logits share the trunk.
    """

    guesses: int = 512
    chunk: int | None = None

    def __post_init__(self) -> None:
        _check(self)

    def __call__(
        self,
        generate: losses.Generate,
        draw: Callable[[int], Array],
        given: Float[Array, "b 0"],
        x: Float[Array, "b d"],
        power: float,
    ) -> losses.ExtremeValue:
        """Return both parts of the loss, `[b]` each; where inputs differ, no pool can be shared."""
        noise = draw(self.guesses)
        if self.chunk is None:
            return losses.extreme_value(x, *generate(noise), power=power)
        return losses.extreme_value_pool(generate, noise, x, chunk=self.chunk, power=power)


def _check(candidates: PerTarget | SharedPool) -> None:
    if candidates.guesses < 1 or (candidates.chunk is not None and candidates.chunk < 1):
        raise ValueError(
            f"guesses is {candidates.guesses} and chunk {candidates.chunk}; make both 1 at least, or chunk None."
        )
