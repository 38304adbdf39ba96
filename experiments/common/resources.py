"""Compile time, and memory of a compiled program and of a process."""

import concurrent.futures
import multiprocessing
import pathlib
import time
from collections.abc import Callable
from typing import Any


def compiled(function: Any, *arguments: Any) -> tuple[Any, dict[str, float]]:
    """Compile a jitted function for arguments, or for their shapes."""
    begun = time.perf_counter()
    program = function.lower(*arguments).compile()
    seconds = time.perf_counter() - begun
    return program, {"compile": seconds, "temporaries": program.memory_analysis().temp_size_in_bytes / 2**20}


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process: the peak memory of a process never falls."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(function, *arguments).result()


def peak_memory() -> dict[str, float]:
    """Peak memory of this process in MiB, as `resident`; nothing where /proc does not exist.

    `getrusage` would include the process that started this one.
    """
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return dict(zip(["resident"], peaks, strict=False))
