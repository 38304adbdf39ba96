"""Atomic replacement of directories: readers see the old or the new content, never a part."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

import jax

from jaxgen import parallel

__all__ = ["recover", "replacing"]


@contextlib.contextmanager
def replacing(target: pathlib.Path, *, mark: str, kind: str) -> Iterator[pathlib.Path]:
    """Context manager that yields a temporary path, and renames it to the target at the end.

    Args:
        target: an absolute path. An existing directory is replaced only if it contains the file `mark`, or is empty.
        mark: name of a file that every directory of this kind contains.
        kind: name of the kind, for error messages.

    Yields:
        The path to write to, which does not exist yet.

    Raises:
        FileExistsError: if the target is anything else.
    """
    if target.exists() and not (target / mark).is_file() and not _is_empty(target):
        raise FileExistsError(f"{target} exists and is not a {kind} of jaxgen; choose another path.")
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
            target.rename(old)  # if the process is killed here, `recover` restores it
        fresh.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    parallel.barrier(f"jaxgen saved a {kind}")


def recover(target: pathlib.Path) -> None:
    """Restore a directory if its replacement was interrupted between two renames.

    Args:
        target: the absolute path that `replacing` was called with.
    """
    if not target.exists() and _old(target).exists():
        _old(target).rename(target)


def _old(target: pathlib.Path) -> pathlib.Path:
    return target.with_name(f".{target.name}.old")


def _is_empty(path: pathlib.Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
