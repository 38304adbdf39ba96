"""Result of training: the models of all seeds, their history and their config."""

import dataclasses
import functools
import numbers
import os
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, Generic, overload

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.batches import is_scaled_to_tanh, to_float
from jaxgen.data.validation import check_array_like, from_frame, scored_rows
from jaxgen.forking import check_not_forked
from jaxgen.nets.compute_dtype import computing_in
from jaxgen.optim.schedules import with_run_length
from jaxgen.scan import keys
from jaxgen.serialization.atomic import absolute_path, recover, replacing
from jaxgen.serialization.config_json import from_json, to_json, unnamed_fields
from jaxgen.serialization.import_names import check_trusted
from jaxgen.serialization.pickled import from_bytes, to_bytes
from jaxgen.training import summary
from jaxgen.training.batching import sample_in_pieces, score_in_pieces
from jaxgen.training.checkpoint import ENTRIES, Checkpoints, History
from jaxgen.training.config import Config, MethodT, check_config
from jaxgen.training.early_stopping import VALIDATION_LOSS, SelectedState, best_steps, is_stopped
from jaxgen.training.history import MetricDict
from jaxgen.types import Array, Key, PyTree, State
from jaxgen.validation import check_key, check_whole

__all__ = ["Result", "checkpoint_template", "description", "load", "state_template", "warn_of_unnamed"]

BEST = "best"  # marks in its description a saved result, which lacks the last state that a checkpoint has


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Result(Generic[MethodT]):
    """Trained models, one per seed.

    Attributes:
        config: the config of the run, with every network and width filled in.
        state: the method's state; the first axis of every leaf is the seed. With `config.validation`, the state of each
            seed at its `best_step`.
        history: metrics by name, `[seeds, steps]`; `retries` counts how often a step was repeated. With
            `config.validation`, `validation_loss` is `[seeds, evaluations]`, one after every `config.steps_per_call`
            steps. After a seed has stopped, its metrics are NaN, or 0 if they are whole numbers.
        row_specs: shape and dtype of one row of each table.
        data_sha256: SHA-256 of the training data, or None if it was not computed.
        num_devices: number of devices it was trained on, over all processes; this machine may have fewer.
        signed_bytes: whether the training images were signed bytes, as those of `data.ScaledToTanh`; None if they
            were not bytes.
    """

    config: Config[MethodT]
    state: State
    history: History
    row_specs: tuple[PyTree, ...]
    data_sha256: str | None = None
    num_devices: int = 1
    signed_bytes: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", MetricDict(self.history))

    @property
    def steps(self) -> int:
        """Number of steps done: 0 before training, below `config.steps` if it is unfinished or stopped early."""
        return max((metric.shape[1] for metric in self.history.values()), default=0)

    @property
    def best_step(self) -> np.ndarray | None:
        """Number of steps after which each seed had its least validation loss, `[seeds]`; None if there are none."""
        losses = self.history.get(VALIDATION_LOSS)
        return None if losses is None else best_steps(losses, self.config.steps_per_call)

    @property
    def stopped_early(self) -> np.ndarray:
        """Whether each seed has stopped by `config.patience`, `[seeds]`."""
        losses = self.history.get(VALIDATION_LOSS, np.zeros((self.config.num_seeds, 0), np.float32))
        return is_stopped(losses, self.config.patience)

    def state_of(self, seed: int) -> State:
        """Return the state of one seed, for the method's own functions.

        Args:
            seed: the number of the model, from 0.

        Returns:
            The state without the axis of seeds.

        Raises:
            IndexError: if there is no such seed.
        """
        if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed < self.config.num_seeds:
            last = self.config.num_seeds - 1
            raise IndexError(f"`seed` must be between 0 and {last} (got {seed!r}); choose one of 0 to {last}.")
        return jax.tree.map(lambda leaf: leaf[seed], self.state)

    def sample(self, key: Key[Array, ""], n: int, *, batch_size: int | None = None) -> PyTree:
        """Draw samples from every model.

        Args:
            key: model `i` uses `fold_in(key, i)`. With a `batch_size`, piece `j` uses `fold_in(key, j)` in place of
                `key`, so the samples depend on `batch_size`.
            n: number of samples from each model.
            batch_size: samples of each model drawn at a time and joined in host memory; None draws all at once.

        Returns:
            Leaves `[seeds, n, ...]`: JAX arrays, or NumPy arrays if `batch_size` is set.

        Raises:
            TypeError: if the method cannot be sampled, or the key is not a single JAX key.
            ValueError: if `n` is not a whole number, or `batch_size` is below 1.
            RuntimeError: if this process was forked from one that has used JAX.
        """
        check_not_forked("Result.sample")
        check_key(key)
        check_whole(0, n=n)
        draw = lambda key, n: self._sample(keys(key, self.config.num_seeds), self.state, n)
        return draw(key, n) if batch_size is None else sample_in_pieces(draw, key, n, batch_size)

    @overload
    def scores(self, x: PyTree, *, batch_size: None = None) -> dict[str, Array]: ...

    @overload
    def scores(self, x: PyTree, *, batch_size: int) -> dict[str, np.ndarray]: ...

    def scores(self, x: PyTree, *, batch_size: int | None = None) -> dict[str, Array] | dict[str, np.ndarray]:
        """Score rows by every model; higher is more out-of-distribution.

        Args:
            x: rows `[n, ...]`, arrays or a DataFrame; pairs of them if the method scores pairs. Bytes are scaled as in
                training: to [0, 1], or to [-1, 1] if they are signed.
            batch_size: rows scored at a time, with scores joined in host memory; None scores all at once.

        Returns:
            Scores by name, `[seeds, n]`: JAX arrays, or NumPy arrays if `batch_size` is set.

        Raises:
            TypeError: if the method has no scores, or the rows do not hold numbers.
            ValueError: if the rows have another shape than those of training, do not fit JAX's default precision, are
                bytes of other signedness than the training images, or if `batch_size` is below 1.
            RuntimeError: if this process was forked from one that has used JAX.
        """
        check_not_forked("Result.scores")
        x = from_frame(x)
        check_array_like(x)
        if None not in (self.signed_bytes, signed := is_scaled_to_tanh(x)) and signed != self.signed_bytes:
            trained, got = ("int8", "uint8") if self.signed_bytes else ("uint8", "int8")
            remedy = (
                "wrap the dataset in data.ScaledToTanh" if self.signed_bytes else "do not wrap it in data.ScaledToTanh"
            )
            raise ValueError(f"rows must be {trained} as the training images (got {got}); {remedy}.")
        x = scored_rows(x, self.row_specs[0])
        score = functools.partial(self._scores, self.state)
        return score(x) if batch_size is None else score_in_pieces(score, x, batch_size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything but the data to a directory; `jaxgen.load` reads it, also in another process.

        A result that is already there is replaced only after the new one is complete.

        Args:
            path: a directory.

        Raises:
            FileExistsError: if the path holds anything other than a result.
            PermissionError: if it cannot be written; OSError if the disk is full.

        Warns:
            UserWarning: for each field of the config that cannot be written as JSON.
        """
        target = absolute_path(path)
        with replacing(target, mark="description.json", entries=ENTRIES, kind="result") as fresh:
            written = description(self.config, self.row_specs, self.data_sha256, self.num_devices, self.signed_bytes)
            if self.config.validation is not None:
                written["state"] = BEST
            warn_of_unnamed(written, "so `load` needs the config as an argument; keep it")
            with Checkpoints(fresh) as checkpoints:
                checkpoints.write_description(written)
                checkpoints.save(self.steps, self.state, self.history)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pickle functions by import name; a config with other functions is left to the pickler (cloudpickle)."""
        values = tuple(getattr(self, field.name) for field in dataclasses.fields(self))
        if unnamed_fields(to_json(self.config)):
            return Result, values
        return _from_pickled, (to_bytes(values),)

    def __repr__(self) -> str:
        return summary.as_text(self)

    def _repr_html_(self) -> str:
        return summary.as_html(self)

    @functools.cached_property
    def _sample(self) -> Any:
        draw, map_seeds = self._function("sample"), self.config.layout.map_seeds
        every = lambda keys, state, n: map_seeds(lambda key, state: draw(key, state, n), keys, state)
        return jax.jit(every, static_argnums=2)

    @functools.cached_property
    def _scores(self) -> Any:
        score, map_seeds = self._function("scores"), self.config.layout.map_seeds
        return jax.jit(lambda state, x: map_seeds(lambda state: score(state, jax.tree.map(to_float, x)), state))

    def _function(self, name: str) -> Any:
        method = self.config.method
        if not hasattr(method, name):
            raise TypeError(
                f"{type(method).__name__} has no `{name}`; use its own functions on `result.state_of(seed)`."
            )
        return computing_in(self.config.layout.compute_dtype)(getattr(method, name))


@overload
def load(path: str | os.PathLike[str], *, config: None = None, trusted: Sequence[str] = ()) -> Result[Any]: ...


@overload
def load(path: str | os.PathLike[str], *, config: Config[MethodT], trusted: Sequence[str] = ()) -> Result[MethodT]: ...


def load(
    path: str | os.PathLike[str], *, config: Config[Any] | None = None, trusted: Sequence[str] = ()
) -> Result[Any]:
    """Read a result, or the latest checkpoint of a run, without its training data.

    The files name classes and functions. They are imported only from jaxgen, flax.linen, jax.nn, jax.numpy, optax,
    sklearn and `trusted`, so a result of others can be opened safely.

    Args:
        path: a directory that `Result.save` wrote, or the `checkpoint_dir` of a run.
        config: the config, needed if it cannot be written as JSON; its `steps` may exceed the number done.
        trusted: further modules that the files may name, with their submodules, such as `("mypackage",)`.

    Returns:
        The result. Arrays in its config are replaced by their digests.

    Raises:
        FileNotFoundError: if there is no result at the path.
        ValueError: if a byte has changed since it was saved, a name is not trusted, or it belongs to another config.
        TypeError: if `config` is not a config, or `trusted` not a tuple or list of names.
        RuntimeError: if this process was forked from one that has used JAX.
    """
    check_not_forked("load")
    check_trusted(trusted)
    if config is not None:
        check_config(config)
    recover(absolute_path(path))
    with Checkpoints(path, read_only=True) as checkpoints:
        stored = checkpoints.description()
        step = checkpoints.latest()
        if step is None:
            raise FileNotFoundError(f"{checkpoints.path} holds a run without a checkpoint; wait for the first one.")
        template: State = None
        try:
            rows = tuple(from_json(row, trusted=trusted) for row in stored["rows"])
            others = stored["tables"], stored["devices"], stored["signed"]
            templates = state_template if stored.get("state") == BEST else checkpoint_template
            if config is None:
                config = _checked_config(from_json(stored["config"], trusted=trusted))
                template = templates(config, rows)
        except Exception as error:  # also whatever a network of a wrong config raises
            raise ValueError(f"{checkpoints.path} cannot be loaded: {str(error) or type(error).__name__}") from error
        if template is None:
            method = with_run_length(config.method, config.steps).resolve(*rows)
            config = dataclasses.replace(config, method=method)
            checkpoints.compare({**stored, "config": to_json(config)})
            template = templates(config, rows)
        state, history = checkpoints.restore(step, template)
    if isinstance(template, SelectedState):
        state = state.best
    return Result(config, jax.tree.map(jnp.asarray, state), history, rows, *others)


def description(
    config: Config, rows: tuple[PyTree, ...], tables: str | None, devices: int, signed: bool | None
) -> dict[str, Any]:
    """Return what identifies a run, as JSON types; the library versions are informative and not compared."""
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
    """Warn of each field in a description that is neither plain data nor importable by name."""
    for field in unnamed_fields(written):
        warnings.warn(f"{field} cannot be imported by name, {consequence}.", stacklevel=3)


def state_template(config: Config, rows: tuple[PyTree, ...]) -> State:
    """Return shapes and dtypes of the state of all seeds, without computing it."""
    rows_of = lambda spec: jax.ShapeDtypeStruct((config.batch_size, *spec.shape), spec.dtype)
    one = jax.eval_shape(config.method.init, jax.random.key(0), *jax.tree.map(rows_of, rows))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((config.num_seeds, *leaf.shape), leaf.dtype), one)


def checkpoint_template(config: Config, rows: tuple[PyTree, ...]) -> State:
    """Return shapes and dtypes of a checkpoint: of the state, or with validation of the last and the best state."""
    template = state_template(config, rows)
    return template if config.validation is None else SelectedState(template, template)


def _checked_config(config: Any) -> Config[Any]:
    if not isinstance(config, Config):
        raise TypeError(f"the description must hold a Config (got {type(config).__name__}).")
    return config


def _from_pickled(content: bytes) -> Result[Any]:
    config, state, *others = from_bytes(content)
    return Result(config, jax.tree.map(jnp.asarray, state), *others)
