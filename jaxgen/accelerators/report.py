"""Report of a program that was compiled for an accelerator."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["Report"]


@dataclasses.dataclass(frozen=True)
class Report:
    """What a training run needs on each device, and the least time that it can take.

    Bytes are those of one device. Arguments, outputs and temporaries are the compiler's own numbers. Operations are
    counted in the program before it is compiled, with the lengths of its loops. Times are bounds from the peaks of the
    vendor's data sheet: no run is faster, and most are several times slower.

    Attributes:
        target: what was compiled for, such as `v5e:2x4`.
        chip: name of the chip.
        devices: number of devices.
        versions: version of JAX, such as `jax 0.10.2`.
        memory: bytes that JAX can use by default; None if unknown.
        argument_bytes: state, dataset and row numbers of one compiled call.
        data_bytes: the dataset alone, a part of the arguments; of a stream, the minibatches of two calls.
        state_bytes: parameters, averages and optimizer states of all seeds, a part of the arguments.
        output_bytes: the new state and the metrics.
        temporary_bytes: what the program needs while it runs; None if the compiler gave up for lack of memory.
        code_bytes: the program itself.
        needed_bytes: arguments, outputs, temporaries and code, without what an output shares with an argument; a lower
            bound if it does not fit. With `Config(validation=)` also the best state and a validation dataset, and at
            least the states that an evaluation needs.
        fits: whether it fits; None if the memory is unknown.
        flops: floating-point operations of a step of all seeds on one device.
        bytes_moved: bytes that a step must read or write at least: the state twice, and the minibatch as it is stored.
        bytes_sent: bytes that a step sends over the interconnect.
        compute_seconds: bound on a step from the operations.
        memory_seconds: bound on a step from bytes that do not fit on the chip.
        interconnect_seconds: bound on a step from the communication.
        step_seconds: the largest of the three bounds; None if a peak is unknown.
        run_seconds: bound on the whole run, without compilation.
        collectives: number of collectives of each kind in a step.
        warnings: what is slow or surprising on this chip.
        remedies: what would make it fit; empty if it fits.
        compile_seconds: how long the compiler took here.
        compute_dtype: the dtype of `Layout(compute_dtype=)` that networks compute in; None without one.
    """

    target: str
    chip: str
    devices: int
    versions: str
    memory: int | None
    argument_bytes: int
    data_bytes: int
    state_bytes: int
    output_bytes: int
    temporary_bytes: int | None
    code_bytes: int
    needed_bytes: int
    fits: bool | None
    flops: float
    bytes_moved: float
    bytes_sent: float
    compute_seconds: float | None
    memory_seconds: float | None
    interconnect_seconds: float | None
    step_seconds: float | None
    run_seconds: float | None
    collectives: Mapping[str, float]
    warnings: tuple[str, ...]
    remedies: tuple[str, ...]
    compile_seconds: float
    compute_dtype: str | None = None

    def to_json(self) -> dict[str, Any]:
        """All attributes in JSON's own types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> "Report":
        """The report that `to_json` described."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in description.items()
        }
        return cls(**fields)

    def __str__(self) -> str:
        """A table of two columns."""
        temporary = "more than fits" if self.temporary_bytes is None else _bytes(self.temporary_bytes)
        verdict = {True: "fits", False: "DOES NOT FIT", None: "the device's memory is not known"}[self.fits]
        of = "" if self.memory is None else f" of {_bytes(self.memory)}"
        rows = {
            "target": f"{self.target} ({self.devices} x {self.chip}), {self.versions}"
            + (f", networks in {self.compute_dtype}" if self.compute_dtype else ""),
            "memory of a device": f"{_bytes(self.needed_bytes)}{of}: {verdict}",
            "  arguments": f"{_bytes(self.argument_bytes)} (state {_bytes(self.state_bytes)}, "
            f"data {_bytes(self.data_bytes)})",
            "  outputs": _bytes(self.output_bytes),
            "  temporaries": temporary,
            "a step on a device": f"{_amount(self.flops)}FLOP, at least {_bytes(self.bytes_moved)} moved, "
            f"{_bytes(self.bytes_sent)} sent",
        }
        if self.collectives:
            rows["  collectives"] = ", ".join(f"{number:g} {kind}" for kind, number in self.collectives.items())
        if self.step_seconds is not None and self.run_seconds is not None:
            rows["a step not faster than"] = _seconds(self.step_seconds)
            rows["the run not faster than"] = _seconds(self.run_seconds)
        rows["compiled in"] = _seconds(self.compile_seconds)
        width = max(map(len, rows))
        lines = [f"{name:<{width}}  {value}" for name, value in rows.items()]
        lines += [f"warning: {text}" for text in self.warnings]
        lines += [f"to fit: {text}" for text in self.remedies]
        return "\n".join(lines)


def _amount(number: float | int) -> str:
    for prefix in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {prefix}"
        number /= 1000
    return f"{number:.4g} T"


def _bytes(number: float | int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}" if number < 999.5 else f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.3g} GiB" if number < 999.5 else f"{number:.0f} GiB"


def _seconds(number: float | int) -> str:
    for size, unit in ((1e-3, "us"), (1.0, "ms")):
        if number < size:
            return f"{number / size * 1000:.3g} {unit}"
    return f"{number:.3g} s" if number < 600 else f"{number / 3600:.3g} h"
