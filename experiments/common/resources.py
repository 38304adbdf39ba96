"""Compile time, and memory of a compiled program and of a process."""

import concurrent.futures
import multiprocessing
import pathlib
import time
from collections.abc import Callable
from typing import Any

__all__ = ["alone", "compiled", "most_resident"]


def compiled(function: Any, *arguments: Any) -> tuple[Any, dict[str, float]]:
    """Compile a jitted function for arguments, or for their shapes.

    Returns:
        The compiled program, and a dict: `compile`, seconds; and `temporaries`, XLA's count of temporary memory in MiB.
    """
    begun = time.perf_counter()
    program = function.lower(*arguments).compile()
    seconds = time.perf_counter() - begun
    return program, {"compile": seconds, "temporaries": program.memory_analysis().temp_size_in_bytes / 2**20}


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process: the peak memory of a process never falls."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(function, *arguments).result()


def most_resident() -> float | None:
    """Peak resident memory of this process in MiB; None where /proc does not exist.

    `getrusage` would include the process that started this one.
    """
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)
