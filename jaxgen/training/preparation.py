"""Preparation of a run: resolved config, checked tables, and validation rows."""

import dataclasses
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from jaxgen.data.batches import is_scaled_to_tanh
from jaxgen.data.split import num_validation_rows, split_rows
from jaxgen.data.stream_table import in_memory, sampled
from jaxgen.data.validation import checked, row_specs
from jaxgen.forking import check_not_forked
from jaxgen.optim.schedules import with_run_length
from jaxgen.training.compilation import seed_mapping
from jaxgen.training.config import Config, MethodT, check_config
from jaxgen.types import PyTree

__all__ = ["Prepared", "ValidationRows", "check_memory", "prepared", "resolved"]


class ValidationRows(NamedTuple):
    """Tables of a validation dataset and None, or training tables and the numbers of their validation rows."""

    tables: tuple[PyTree, ...]
    rows: tuple[np.ndarray | None, ...]


class Prepared(NamedTuple):
    """Resolved config and checked data of a run."""

    config: Any
    tables: tuple[PyTree, ...]  # of training
    row_specs: tuple[PyTree, ...]  # shape and dtype of one row of each table
    validation: ValidationRows | None

    @property
    def all_tables(self) -> tuple[PyTree, ...]:
        """Training tables, followed by those of a validation dataset if there is one."""
        if self.validation is None or self.validation.tables is self.tables:
            return self.tables
        return (*self.tables, *self.validation.tables)


def prepared(config: Config[MethodT]) -> Prepared:
    """Resolve a config and check its tables.

    Args:
        config: the config as the user wrote it.

    Returns:
        The resolved config, its tables, the shape and dtype of one row of each, and the validation rows.

    Raises:
        ValueError: if data, batch size, devices, validation rows and method do not fit together.
        TypeError: if `config` is not a config, the data are not numeric or not of the kind that the method trains on,
            or the method cannot be evaluated on validation rows.
        FileNotFoundError: if a dataset is missing.
        RuntimeError: if this process was forked from one that has used JAX.
    """
    check_config(config)
    tables = checked(config.data.tables(), config.batch_size)
    rows = row_specs(tables)
    config = resolved(config, rows)
    validation = _validation_rows(config, tables, rows)
    if hasattr(config.method, "check"):
        config.method.check(*sampled(tables))
        if validation is not None and validation.tables is not tables:
            config.method.check(*sampled(validation.tables))
    return Prepared(config, tables, rows, validation)


def resolved(config: Config[MethodT], rows: tuple[PyTree, ...]) -> Config[MethodT]:
    """Fill in the networks, schedules and the layout that the config leaves open; see `Config.resolved`.

    Args:
        config: the config as the user wrote it.
        rows: the shape and dtype of one row of each table.

    Returns:
        The config with a resolved method and a layout that states how seeds are mapped.

    Raises:
        ValueError: if the batch does not divide over the devices, or the method does not fit the rows.
        TypeError: if there are validation rows, and the method has no `validation_loss`.
        RuntimeError: if this process was forked from one that has used JAX.
    """
    check_not_forked("Config.resolved")
    devices = config.layout.total()
    if config.batch_size % devices:
        fit = max(config.batch_size // devices, 1) * devices
        raise ValueError(
            f"`batch_size` must be a multiple of the number of devices (got {config.batch_size} and {devices}); "
            f"try batch_size={fit}, or fewer devices with layout=Layout(devices=...)."
        )
    if config.validation is not None and not hasattr(config.method, "validation_loss"):
        raise TypeError(
            f"`validation` needs a method with `validation_loss` ({type(config.method).__name__} has none); write "
            "validation_loss(self, key, state, *rows), which returns one number to minimize, or set validation=None."
        )
    method = with_run_length(config.method, config.steps).resolve(*rows)
    config = dataclasses.replace(config, method=cast(MethodT, method))
    if config.layout.seeds is None:
        layout = dataclasses.replace(config.layout, seeds=seed_mapping(config, rows))
        config = dataclasses.replace(config, layout=layout)
    return config


def check_memory(config: Config, tables: tuple[PyTree, ...]) -> None:
    """Check that tables that are kept on every device fit in its memory, where the device reports its size.

    Raises:
        ValueError: if they do not.
    """
    limit = config.layout.memory_limit()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(in_memory(tables)))
    if limit is not None and size > limit:
        raise ValueError(
            f"tables must fit in the memory of every device, {limit / 2**30:.3g} GiB (got {size / 2**30:.3g} GiB); "
            "stream them, as data.Stream(x) in place of data.Arrays(x)."
        )


def _validation_rows(config: Config, tables: tuple[PyTree, ...], rows: tuple[PyTree, ...]) -> ValidationRows | None:
    validation = config.validation
    if validation is None:
        return None
    if not isinstance(validation, int | float):
        others = checked(validation.tables(), 1, name="validation table")
        if row_specs(others) != rows or is_scaled_to_tanh(others) != is_scaled_to_tanh(tables):
            raise ValueError(
                f"validation tables must have rows as the training tables, {rows} (got {row_specs(others)}); prepare "
                "both in the same way."
            )
        return ValidationRows(others, (None,) * len(others))
    numbers = []
    for table, leaf in enumerate(jax.tree.leaves(part)[0] for part in tables):
        n = len(leaf)
        count = num_validation_rows(validation, n)
        if n - count < config.batch_size:
            raise ValueError(
                f"`validation` must leave at least batch_size={config.batch_size} of the {n} rows of table {table} for "
                f"training (got validation={validation}, which leaves {max(n - count, 0)}); use fewer rows for "
                "validation, or a smaller batch_size."
            )
        numbers.append(split_rows(config.seed, table, n, count).validation)
    return ValidationRows(tables, tuple(numbers))
