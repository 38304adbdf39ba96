"""Data larger than memory: examples read from any source with random access while a run trains."""

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any

from jaxgen.data.example_reader import ExampleReader, import_grain, is_arrays
from jaxgen.types import PyTree

__all__ = ["Stream"]


@dataclasses.dataclass(frozen=True)
class AbsentSource:
    """Placeholder for the source of a loaded config: its number of examples, without a way to read them."""

    length: int


def _absent(source: Any) -> AbsentSource:
    return source if isinstance(source, AbsentSource) else AbsentSource(_length(source))


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """Data that are read while a run trains, and need not fit in memory; needs the extra `stream`.

    Each compiled call gets the batches of its steps. Those of the next call are read and copied to the devices while
    the present call runs. The order of the examples is that of `Arrays`, a function of the seed and the step.

    Attributes:
        source: examples by number, with `len(source)` and `source[i]`: arrays of NumPy, also memory-mapped ones, or a
            tuple or dict of them with equal lengths; a `data_source` of TensorFlow Datasets, files of array_record,
            datasets of Hugging Face, or several of them mixed by `grain.MapDataset.mix`.
        transform: function from an example to an array, or a pytree of arrays, such as a loader of file names. It must
            return the same for the same example. None takes examples as they are.
        num_threads: threads of Grain that read at the same time, which the source must allow. 0 reads in one thread,
            next to that of training. None is 0 for arrays without a `transform`, else Grain's default, 16.
    """

    source: Any = dataclasses.field(metadata={"stored_as": _absent})
    transform: Callable[[Any], PyTree] | None = None
    num_threads: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.source, AbsentSource) and not (
            hasattr(self.source, "__getitem__") and hasattr(self.source, "__len__")
        ):
            raise TypeError(
                "`source` must have a length and examples by number, `len(source)` and `source[i]` (got "
                f"{type(self.source).__name__}); wrap a generator or loader in a class that has both."
            )
        if self.transform is not None and not callable(self.transform):
            raise TypeError(f"`transform` must be a function of an example or None (got {self.transform!r}); use None.")
        count = self.num_threads
        if count is not None and (isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < 0):
            raise ValueError(f"`num_threads` must be a whole number of at least 0, or None (got {count!r}); use None.")

    def __repr__(self) -> str:
        kind = "" if isinstance(self.source, AbsentSource) else f" of {type(self.source).__name__}"
        return f"Stream({_absent(self.source).length} examples{kind})"

    def tables(self) -> tuple[PyTree]:
        """Read the first example.

        Returns:
            One table, without the numbers: its leaves have the shape and dtype of all examples together.

        Raises:
            ModuleNotFoundError: if Grain is not installed.
            TypeError: if the first example does not hold numbers, or the source is that of a loaded config.
            ValueError: if the source is empty, its arrays differ in length, or its first example cannot be read.
        """
        grain = import_grain()
        if isinstance(self.source, AbsentSource):
            raise TypeError("a loaded config has no `source` to read; train with the config that has it.")
        default = 0 if self.transform is None and is_arrays(self.source) else grain.ReadOptions().num_threads
        count = default if self.num_threads is None else int(self.num_threads)
        return (ExampleReader(self.source, self.transform, count).table(),)


def _length(source: Any) -> int:
    if not is_arrays(source):
        return len(source)
    parts = source if isinstance(source, tuple) else source.values() if isinstance(source, dict) else (source,)
    return len(next(iter(parts)))
