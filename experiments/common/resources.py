"""Costs: how long a program takes to compile, and what memory it and its process take."""

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
        The program; and the seconds that it took to `compile`, and XLA's own count of its `temporaries` in MiB.
    """
    begun = time.perf_counter()
    program = function.lower(*arguments).compile()
    seconds = time.perf_counter() - begun
    return program, {"compile": seconds, "temporaries": program.memory_analysis().temp_size_in_bytes / 2**20}


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process, for the peak of a process' memory never falls."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(function, *arguments).result()


def most_resident() -> float | None:
    """Return the most memory that this process ever held, in MiB; None where the system does not tell.

    `getrusage` would count the process that started this one.
    """
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), None)
