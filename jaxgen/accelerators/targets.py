"""Accelerators to compile for, with their peaks from the vendors' data sheets."""

import dataclasses
import math
import re

__all__ = ["CHIPS", "Chip", "Target"]

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """A kind of device and its peaks.

    Attributes:
        title: name in reports.
        platform: `tpu`, `cuda` or `cpu`.
        memory: bytes that JAX can use on each device by default; None if unknown.
        flops: peak of dense matrix products with bfloat16 inputs, in operations per second; None if unknown.
        bandwidth: peak of the memory in bytes per second; None if unknown.
        interconnect: peak between devices in bytes per second, per device; None if unknown.
        on_chip: bytes of the largest memory on the chip, which a state can stay in between steps.
        dimensions: number of axes of a TPU slice; 0 for other devices.
        device_memory: bytes of memory on a GPU, as its driver reports them.
        compute_units: number of streaming multiprocessors of a GPU.
    """

    title: str
    platform: str
    memory: int | None = None
    flops: float | None = None
    bandwidth: float | None = None
    interconnect: float | None = None
    on_chip: int = 0
    dimensions: int = 0
    device_memory: int = 0
    compute_units: int = 0


# XLA leaves a quarter of a GiB of a TPU to its runtime; JAX allocates three quarters of a GPU's memory by default.
CHIPS = {
    "v5e": Chip("TPU v5e", "tpu", int(15.75 * GIB), 197e12, 819e9, 200e9, 128 * 2**20, 2),
    "v6e": Chip("TPU v6e", "tpu", int(31.25 * GIB), 918e12, 1640e9, 448e9, 128 * 2**20, 2),
    "v4": Chip("TPU v4", "tpu", int(31.75 * GIB), 275e12, 1228e9, 300e9, 160 * 2**20, 3),
    "h100": Chip("H100 SXM", "cuda", int(0.75 * 84978434048), 989e12, 3350e9, 900e9, 50 * 2**20, 0, 84978434048, 132),
    "h200": Chip("H200 SXM", "cuda", int(0.75 * 150754820096), 989e12, 4800e9, 900e9, 50 * 2**20, 0, 150754820096, 132),
    "cpu": Chip("this CPU", "cpu"),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """Devices that a program is compiled for.

    Attributes:
        name: a chip, and after a colon the number of devices or the shape of the slice: `v5e:2x4`, `h100:8`, `cpu`.

    Raises:
        ValueError: if there is no such chip, or if the shape does not fit it.
        TypeError: if the name is not a text.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"the target must be a text (got {self.name!r}); try 'v5e:8'.")
        chip, _, size = self.name.partition(":")
        if chip not in CHIPS:
            raise ValueError(f"the chip must be one of {', '.join(CHIPS)} (got {self.name!r}); try 'v5e:8'.")
        if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", size or "1"):
            raise ValueError(
                f"the size must be a number of devices, or a shape such as 2x4 (got {self.name!r}); try '{chip}:1'."
            )
        axes = CHIPS[chip].dimensions
        shape = tuple(map(int, (size or "1").split("x")))
        if len(shape) > 1 and len(shape) != (axes or 2):
            raise ValueError(
                f"a shape of {CHIPS[chip].title} has {axes or 2} numbers (got {self.name!r}); for a TPU they are the "
                "sides of the slice, for a GPU the machines and the cards of each."
            )

    @property
    def chip(self) -> Chip:
        """The kind of device."""
        return CHIPS[self.name.partition(":")[0]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of the TPU slice, or machines and devices of each; a number of chips becomes the usual slice."""
        numbers = tuple(map(int, (self.name.partition(":")[2] or "1").split("x")))
        axes = self.chip.dimensions
        if len(numbers) > 1:
            return numbers
        count = numbers[0]
        if not axes:
            return (1, count)
        # As square as it can be: 8 is 2 x 4 in the plane, and 2 x 2 x 2 in space.
        sides: list[int] = []
        for left in range(axes, 1, -1):
            side = max(d for d in range(1, count + 1) if count % d == 0 and d**left <= count)
            sides.append(side)
            count //= side
        return tuple(sorted([*sides, count])) if axes == 2 else tuple(sorted([*sides, count], reverse=True))

    @property
    def devices(self) -> int:
        """Number of devices."""
        return math.prod(self.shape)
