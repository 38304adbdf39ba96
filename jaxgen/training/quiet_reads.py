"""Failed reads of Orbax without reports on stderr; the error that is raised says everything."""

import contextlib
import gc
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

__all__ = ["quiet_reads"]

UNFINISHED = 0.2  # seconds in which TensorStore's other reads end after one has failed


@contextlib.contextmanager
def quiet_reads() -> Iterator[None]:
    """Context manager for one read: if it fails, reports of the reads that ran next to it are dropped.

    After one failed read Orbax closes its event loop, and each later end of another read would print a traceback.

    Yields:
        Nothing.

    Raises:
        Exception: the error of the first failed read, without the local variables of its frames.
    """
    before, logger = sys.unraisablehook, logging.getLogger("asyncio")

    def hook(unraisable: Any) -> None:
        if "Event loop is closed" not in str(unraisable.exc_value):
            before(unraisable)

    try:
        yield
    except Exception as error:
        was_disabled, logger.disabled, sys.unraisablehook = logger.disabled, True, hook
        try:
            chain: BaseException | None = error
            while chain is not None:
                traceback.clear_frames(chain.__traceback__)  # which hold futures that asyncio would report
                chain = chain.__cause__ or chain.__context__
            gc.collect()
            time.sleep(UNFINISHED)
            gc.collect()
        finally:
            logger.disabled, sys.unraisablehook = was_disabled, before
        raise
