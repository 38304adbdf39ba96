"""Detection of processes that were forked after JAX was used, in which JAX hangs."""

import os

__all__ = ["check_not_forked"]

_used_in: int | None = None  # id of the first process in which jaxgen computed


def check_not_forked(caller: str) -> None:
    """Check that no process from which this one was forked has computed before.

    A forked process has none of the threads of JAX's backend, and would wait for them forever.

    Args:
        caller: name of the function, for the error message.

    Raises:
        RuntimeError: if one has.
    """
    global _used_in
    _used_in = _used_in or os.getpid()
    if _used_in != os.getpid():
        raise RuntimeError(
            f"`{caller}` cannot run in a process that was forked after JAX was used, as it would hang (got process "
            f"{os.getpid()}, forked from {_used_in}); start processes with multiprocessing.get_context('spawn'), or "
            "with joblib's default backend, loky."
        )
