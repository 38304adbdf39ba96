"""Guesses that each target of an extreme value network is compared with: its own, or a shared pool."""

import dataclasses
from collections.abc import Callable

from jaxgen import losses, parallel
from jaxgen.methods._conditioning import concatenate_condition
from jaxgen.types import Array, Float

__all__ = ["PerTarget", "SharedPool"]


@dataclasses.dataclass(frozen=True)
class PerTarget:
    """Independent guesses for each target, as in section V of the paper.

    Attributes:
        num_candidates: number of guesses for each target.
        chunk: targets whose guesses are generated and differentiated at a time. It must divide a device's share of the
            minibatch; None takes all. On a CPU, a chunk whose activations fit into the cache is faster.
    """

    num_candidates: int = 128
    chunk: int | None = None

    def __post_init__(self) -> None:
        _check(self)

    def __call__(
        self,
        generate: losses.Generate,
        draw: Callable[[int], Array],
        condition: Float[Array, "b k"],
        x: Float[Array, "b d"],
        power: float,
        axis_name: str | None = None,
    ) -> losses.ExtremeValue:
        """Return both parts of the loss, `[b]` each.

        Args:
            generate: noise `[m, l + k]` to samples `[m, d]` and logits `[m]`.
            draw: number of samples to noise `[m, l]`.
            condition: conditions `[b, k]`, k = 0 where there are none.
            x: targets `[b, d]`.
            power: exponent of the Euclidean distance.
            axis_name: axis over devices, which changes nothing here: each target has its own guesses.
        """
        samples, logits = generate(concatenate_condition(draw(x.shape[0] * self.num_candidates), condition))
        split = lambda rows: rows.reshape(x.shape[0], self.num_candidates, *rows.shape[1:])
        return losses.extreme_value(x, split(samples), split(logits), power=power)


@dataclasses.dataclass(frozen=True)
class SharedPool:
    """One pool of guesses shared by all targets of a minibatch, as in section VI of the paper.

    Attributes:
        num_candidates: size of the pool: of each device's own, or of the one that all devices share.
        chunk: guesses generated at a time, which must divide the pool, or a device's share of it. Memory then does not
            grow with the pool, and only the nearest samples are differentiated. None holds and differentiates the whole
            pool at once, which is faster for dense networks whose logits share the trunk.
        over_devices: share one pool between all devices. Each generates and searches an equal share for the targets of
            all devices, so the number of guesses can grow with the number of devices. False gives each device a pool
            of its own, for its own targets.
    """

    num_candidates: int = 512
    chunk: int | None = None
    over_devices: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def __call__(
        self,
        generate: losses.Generate,
        draw: Callable[[int], Array],
        condition: Float[Array, "b 0"],
        x: Float[Array, "b d"],
        power: float,
        axis_name: str | None = None,
    ) -> losses.ExtremeValue:
        """Return both parts of the loss, `[b]` each; arguments as in `PerTarget`, without conditions.

        Targets with different conditions cannot share a pool.

        Raises:
            ValueError: if the devices along `axis_name` cannot share the pool equally.
        """
        axis_name = axis_name if self.over_devices else None
        devices = parallel.count(axis_name)
        if self.num_candidates % devices:
            enough = -(-self.num_candidates // devices) * devices
            raise ValueError(
                "with `over_devices`, `num_candidates` must be a multiple of the number of devices (got "
                f"{self.num_candidates} and {devices}); try num_candidates={enough}."
            )
        noise = draw(self.num_candidates // devices)
        if self.chunk is None and devices == 1:
            return losses.extreme_value(x, *generate(noise), power=power)
        return losses.extreme_value_pool(generate, noise, x, chunk=self.chunk, power=power, axis_name=axis_name)


def _check(candidates: PerTarget | SharedPool) -> None:
    if candidates.num_candidates < 1 or (candidates.chunk is not None and candidates.chunk < 1):
        raise ValueError(
            f"`num_candidates` and `chunk` must be at least 1 (got {candidates.num_candidates} and "
            f"{candidates.chunk}); chunk=None takes all at once."
        )
