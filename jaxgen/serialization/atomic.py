"""Atomic replacement of directories: readers see the old or the new content, never a part."""

import contextlib
import errno
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

import jax

from jaxgen import parallel

__all__ = ["absolute_path", "explain_full_disk", "recover", "replacing"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


def absolute_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Return an absolute path, with `~` expanded.

    Args:
        path: a path of one character or more, since an empty one would be the current directory.

    Raises:
        TypeError: if it is not a string or a path.
        ValueError: if it is empty.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"a path must be a string or a pathlib.Path (got {type(path).__name__}); give one.")
    if not os.fspath(path):
        raise ValueError("a path must not be empty (got ''); give a directory, such as 'run'.")
    return pathlib.Path(path).expanduser().absolute()


@contextlib.contextmanager
def explain_full_disk(path: pathlib.Path) -> Iterator[None]:
    """Context manager that turns the errors of a full disk into an OSError of one sentence.

    Args:
        path: what is written.

    Yields:
        Nothing.

    Raises:
        OSError: with errno ENOSPC, if the disk is full or its quota is used up.
    """
    try:
        yield
    except Exception as error:  # TensorStore raises a ValueError
        texts = "No space left on device", "Disk quota exceeded"
        if getattr(error, "errno", None) not in _FULL and not any(text in str(error) for text in texts):
            raise
        sentence = f"{path} cannot be written because the disk is full; free some space and run this again."
        raise OSError(errno.ENOSPC, sentence) from error


@contextlib.contextmanager
def replacing(target: pathlib.Path, *, mark: str, entries: str, kind: str) -> Iterator[pathlib.Path]:
    """Context manager that yields a temporary path, and renames it to the target at the end.

    Args:
        target: an absolute path. An existing directory is replaced only if it contains the file `mark`, or is empty.
        mark: name of a file that every directory of this kind contains.
        entries: regular expression of the names that such a directory may contain; with any other it is not replaced.
        kind: name of the kind, for error messages.

    Yields:
        The path to write to, which does not exist yet.

    Raises:
        FileExistsError: if the target is anything else.
        OSError: with errno ENOSPC, if the disk is full.
    """
    if target.exists() and not (target / mark).is_file() and not _is_empty(target):
        raise FileExistsError(f"{target} exists and is not a {kind} of jaxgen; choose another path.")
    others = sorted(entry.name for entry in target.iterdir()) if target.exists() else []
    if others := [name for name in others if not re.fullmatch(entries, name)]:
        raise FileExistsError(
            f"{target} must hold nothing but a {kind} of jaxgen, as its content is replaced (it also holds "
            f"{others[:3]}); choose another path."
        )
    fresh = target.with_name(f".{target.name}.writing")
    if jax.process_index() == 0:
        recover(target)
        shutil.rmtree(fresh, ignore_errors=True)
    parallel.barrier(f"jaxgen cleared a place for a {kind}")
    try:
        with explain_full_disk(target):
            yield fresh
    except BaseException:
        if jax.process_index() == 0:
            shutil.rmtree(fresh, ignore_errors=True)
        raise
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
