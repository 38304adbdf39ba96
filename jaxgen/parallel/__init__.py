"""Parallelism over devices and random seeds: collectives, and the mapping of programs to devices.

No other package calls `jax.pmap` or `jax.shard_map`. A program is written for one seed on one device. Inside a program
the axis over devices has the name `AXIS`, along which the collectives operate.
"""

from jaxgen.parallel.collectives import (
    AXIS,
    all_processes,
    any_process,
    barrier,
    count,
    exchange,
    first,
    fold,
    gather,
    gather_constant,
    index,
    largest,
    local_columns,
    local_entry,
    mean,
    total,
    total_share,
)
from jaxgen.parallel.layout import Layout, batched, has_convolution, pmapped, serial, sharded

__all__ = [
    "AXIS",
    "Layout",
    "all_processes",
    "any_process",
    "barrier",
    "batched",
    "count",
    "exchange",
    "first",
    "fold",
    "gather",
    "gather_constant",
    "has_convolution",
    "index",
    "largest",
    "local_columns",
    "local_entry",
    "mean",
    "pmapped",
    "serial",
    "sharded",
    "total",
    "total_share",
]
