"""Directories that are written whole or not at all."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import jax

from jaxgen import parallel

__all__ = ["recover", "replacing"]


@contextlib.contextmanager
def replacing(target: pathlib.Path, *, mark: str, kind: str) -> Iterator[pathlib.Path]:
    """Give a place to write to, which takes the target's own once it is whole.

    Args:
        target: an absolute path; what stands there already is replaced if it holds the mark, or nothing.
        mark: a file that each directory of the kind holds.
        kind: what such a directory is called.

    Yields:
        Where to write; nothing stands there yet.

    Raises:
        FileExistsError: if the target holds something else.
    """
    if target.exists() and not (target / mark).is_file() and not _is_empty(target):
        raise FileExistsError(f"{target} exists and is no {kind} of jaxgen; choose another path.")
    fresh = target.with_name(f".{target.name}.writing")
    if jax.process_index() == 0:
        recover(target)
        shutil.rmtree(fresh, ignore_errors=True)
    parallel.barrier(f"jaxgen cleared a place for a {kind}")
    yield fresh
    if jax.process_index() == 0:
        old = _old(target)
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)  # killed here, the next to read or write brings it back
        fresh.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    parallel.barrier(f"jaxgen saved a {kind}")


def recover(target: pathlib.Path) -> None:
    """Bring back a directory whose replacement was cut off between two renames."""
    if not target.exists() and _old(target).exists():
        _old(target).rename(target)


def _old(target: pathlib.Path) -> pathlib.Path:
    return target.with_name(f".{target.name}.old")


def _is_empty(path: pathlib.Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
