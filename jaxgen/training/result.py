"""What training returns: models of all seeds, their history, and the config that made them."""

import dataclasses
import functools
import os
import pathlib
import warnings
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.data.batches import is_scaled_to_tanh, to_float
from jaxgen.scan import keys
from jaxgen.serialization.atomic import recover, replacing
from jaxgen.serialization.config_json import from_json, to_json, unnamed_fields
from jaxgen.training.checkpoint import Checkpoints, History
from jaxgen.training.config import Config
from jaxgen.types import Array, Key, PyTree, State

__all__ = ["Result", "description", "load", "state_template", "warn_of_unnamed"]


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """Trained models, one for each seed.

    Attributes:
        config: what was trained, with every network and width filled in.
        state: the method's state; every leaf leads with the seed.
        history: metrics by name, `[seeds, steps]`; `retries` counts how often a step was run again.
        rows: shape and dtype of one row of each table.
        tables: SHA-256 of the training data, or None where it was not taken.
        devices: how many it was trained on, over all processes; this machine may have fewer.
        signed: whether the images it learned from were bytes with a sign, as those of `data.ScaledToTanh`; None where
            they
            were no bytes.
    """

    config: Config
    state: State
    history: History
    rows: tuple[PyTree, ...]
    tables: str | None = None
    devices: int = 1
    signed: bool | None = None

    @property
    def steps(self) -> int:
        """Return how many steps were done: fewer than the config's where a run is not over."""
        return next(iter(self.history.values())).shape[1]

    def state_of(self, seed: int) -> State:
        """Return the state of one seed, for the method's own functions.

        Raises:
            IndexError: if there is no such seed.
        """
        if not 0 <= seed < self.config.num_seeds:
            raise IndexError(f"there is no seed {seed}; choose one of 0 to {self.config.num_seeds - 1}.")
        return jax.tree.map(lambda leaf: leaf[seed], self.state)

    def sample(self, key: Key[Array, ""], n: int) -> PyTree:
        """Draw from every model.

        Args:
            key: model `i` gets `fold_in(key, i)`.
            n: draws from each.

        Returns:
            Leaves `[seeds, n, ...]`.

        Raises:
            TypeError: if the method cannot be sampled.
        """
        return self._sample(keys(key, self.config.num_seeds), self.state, n)

    def scores(self, x: PyTree) -> dict[str, Array]:
        """Score rows by every model; higher is more out of distribution.

        Args:
            x: rows `[n, ...]`; bytes are taken as fractions, as in training: between -1 and 1 if they have a sign.

        Returns:
            Scores by name, `[seeds, n]`.

        Raises:
            TypeError: if the method has no scores.
            ValueError: if it learned from bytes with a sign and these have none, or the other way round.
        """
        if None not in (self.signed, given := is_scaled_to_tanh(x)) and given != self.signed:
            told = "between -1 and 1; wrap the images in data.Signed" if self.signed else "between 0 and 1; unwrap them"
            raise ValueError(f"rows are {'int8' if given else 'uint8'}, and the method learned from bytes {told}.")
        return self._scores(self.state, x)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything but the data; `jaxgen.load` reads it, in another process as well.

        A result that stands there already is replaced once the new one is whole.

        Args:
            path: a directory.

        Raises:
            FileExistsError: if the path holds something that is no result.
            PermissionError: if it cannot be written.

        Warns:
            UserWarning: names each field of the config that cannot be written down.
        """
        target = pathlib.Path(path).expanduser().absolute()
        with replacing(target, mark="description.json", kind="result") as fresh:
            written = description(self.config, self.rows, self.tables, self.devices, self.signed)
            warn_of_unnamed(written, "so `load` will ask for the config; keep it")
            with Checkpoints(fresh) as checkpoints:
                checkpoints.write_description(written)
                checkpoints.save(self.steps, self.state, self.history)

    @functools.cached_property
    def _sample(self) -> Any:
        draw, map_seeds = self._verb("sample"), self.config.layout.map_seeds
        every = lambda keys, state, n: map_seeds(lambda key, state: draw(key, state, n), keys, state)
        return jax.jit(every, static_argnums=2)

    @functools.cached_property
    def _scores(self) -> Any:
        score, map_seeds = self._verb("scores"), self.config.layout.map_seeds
        return jax.jit(lambda state, x: map_seeds(lambda state: score(state, jax.tree.map(to_float, x)), state))

    def _verb(self, name: str) -> Any:
        method = self.config.method
        if not hasattr(method, name):
            raise TypeError(
                f"{type(method).__name__} has no `{name}`; use its own functions on `result.state_of(seed)`."
            )
        return getattr(method, name)


def load(path: str | os.PathLike[str], *, config: Config | None = None) -> Result:
    """Read a result, or the latest checkpoint of a run, without its training data.

    The description names classes and functions, which are imported: load only what you trust.

    Args:
        path: where `Result.save` wrote, or a run's `checkpoint_dir`.
        config: the config, where it cannot be written down; its steps may be more than were taken.

    Returns:
        The result; arrays within its config are known by their digest only.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or not of the config given.
    """
    recover(pathlib.Path(path).expanduser().absolute())
    with Checkpoints(path, read_only=True) as checkpoints:
        found = checkpoints.description()
        step = checkpoints.latest()
        if step is None:
            raise FileNotFoundError(f"{checkpoints.path} holds a run with nothing saved yet; wait for a checkpoint.")
        rows = tuple(from_json(row) for row in found["rows"])
        if config is None:
            config = from_json(found["config"])
        else:
            config = dataclasses.replace(config, method=config.method.resolve(*rows))
            checkpoints.compare({**found, "config": to_json(config)})
        state, history = checkpoints.restore(step, state_template(config, rows))
    others = found["tables"], found["devices"], found.get("signed")
    return Result(config, jax.tree.map(jnp.asarray, state), history, rows, *others)


def description(
    config: Config, rows: tuple[PyTree, ...], tables: str | None, devices: int, signed: bool | None
) -> dict[str, Any]:
    """Return what identifies a run, in JSON's own types; the versions are for the reader and not compared."""
    versions = {name: metadata.version(name) for name in ("jax", "flax", "optax", "numpy")}
    return {
        "config": to_json(config),
        "rows": [to_json(row, "row") for row in rows],
        "tables": tables,
        "devices": devices,
        "signed": signed,
        "versions": versions,
    }


def warn_of_unnamed(written: dict[str, Any], consequence: str) -> None:
    """Warn of each field in a description that is neither plain data nor found by its name."""
    for field in unnamed_fields(written):
        warnings.warn(f"{field} cannot be found by its name, {consequence}.", stacklevel=3)


def state_template(config: Config, rows: tuple[PyTree, ...]) -> State:
    """Return shapes and dtypes of the state of all seeds, without making it."""
    rows_of = lambda spec: jax.ShapeDtypeStruct((config.batch_size, *spec.shape), spec.dtype)
    one = jax.eval_shape(config.method.init, jax.random.key(0), *jax.tree.map(rows_of, rows))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((config.num_seeds, *leaf.shape), leaf.dtype), one)
