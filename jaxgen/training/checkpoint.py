"""Checkpoints of a run on disk: its description, its latest states, and its whole history."""

import errno
import hashlib
import io
import json
import os
import pathlib
import re
import warnings
import zipfile
from typing import Any

import jax
import numpy as np

from jaxgen import parallel
from jaxgen.serialization.atomic import absolute_path, explain_full_disk
from jaxgen.serialization.config_json import unnamed_fields
from jaxgen.training.early_stopping import VALIDATION_LOSS
from jaxgen.training.quiet_reads import quiet_reads
from jaxgen.training.stored_state import check_digests, check_specs, from_arrays, leaf_digests, stored_shapes, to_arrays
from jaxgen.types import State

__all__ = ["Checkpoints", "History"]

History = dict[str, np.ndarray]  # metrics by name, [seeds, steps] each; `validation_loss` is [seeds, evaluations]


# Names in a checkpoint directory: steps, also those that Orbax is writing, and the files of this module.
ENTRIES = r"\d+(\.orbax.*)?|description\.json(\.writing)?|digests|history|\.lock"


class Checkpoints:
    """Checkpoint directory of a run.

    It holds `description.json`, one Orbax checkpoint per saved step, and two files per segment: `history/STEP.npz`, and
    `digests/STEP.json` with SHA-256 of the history and of every array of the state. Every file is written under a
    temporary name and then renamed. The run can therefore be resumed from the directory after its process was killed at
    any moment.
    """

    def __init__(self, directory: str | os.PathLike[str], *, read_only: bool = False, exclusive: bool = False) -> None:
        self.path = absolute_path(directory)
        self._exclusive = exclusive  # `write_description` locks the directory until `close`
        self._lock: Any = None
        self._read_only = read_only  # do not clean up temporary files that a running process is writing
        self._manager: Any = None

    def write_description(self, description: dict[str, Any]) -> None:
        """Write the description of a run, or check and update the stored one.

        Args:
            description: identifies the run, as JSON types; see `result.description`.

        Raises:
            PermissionError: if the directory cannot be written; OSError if the disk is full.
            BlockingIOError: if another process trains in the directory.
            ValueError: if the directory holds another run, or more steps than `config.steps`.
        """
        file = self.path / "description.json"
        try:
            if jax.process_index() == 0:
                with explain_full_disk(self.path):
                    for folder in ("history", "digests"):
                        (self.path / folder).mkdir(parents=True, exist_ok=True)
                    self._acquire_lock()
                    self._replace(self.path / "history" / "probe", b"")
                    (self.path / "history" / "probe").unlink()
                    if not file.exists():
                        self._replace(file, _with_digest(description))
        except OSError as error:
            if error.errno == errno.ENOSPC or isinstance(error, BlockingIOError):
                raise
            raise PermissionError(f"{self.path} cannot be written ({error}); choose another directory.") from error
        parallel.barrier("jaxgen described a run")
        self.compare(description)
        if jax.process_index() == 0 and (stored := self.description())["config"] != description["config"]:
            self._replace(file, _with_digest(stored | {"config": description["config"]}))

    def compare(self, description: dict[str, Any]) -> None:
        """Check that the stored run is the one described; the layout and the number of steps may differ.

        Args:
            description: identifies the run, as JSON types.

        Raises:
            ValueError: if the directory holds another run, or more steps than `config.steps`.

        Warns:
            UserWarning: if the run was started on another number of devices, or computed in another dtype.
        """
        stored = self.description()
        steps, before = (whole["config"]["fields"]["steps"] for whole in (description, stored))
        for part in ("config", "rows", "tables"):
            there, here = _fixed_part(stored.get(part)), _fixed_part(description[part])
            if there != here:
                difference = _difference(there, here)
                remedy = "choose another directory, or delete this one."
                if part == "config" and before != steps and _is_schedule_length(difference):
                    remedy = (
                        f"the schedule ends with its run, so the run cannot be continued from {before} "
                        f"to {steps} steps; keep steps={before}, set the schedule's length to that of the finished "
                        "run, or choose another directory."
                    )
                raise ValueError(
                    f"{self.path} holds the checkpoint of another run: its {part} differs{difference}; {remedy}"
                )
        if stored.get("state") != description.get("state"):
            raise ValueError(
                f"{self.path} must hold the checkpoints of a run to be continued (it holds the best states that "
                "`Result.save` wrote); give the `checkpoint_dir` of the run, or choose another directory."
            )
        if (self.latest() or 0) > steps:
            raise ValueError(
                f"`steps` must be at least the number of steps in the checkpoint {self.path} (got {steps} and "
                f"{self.latest()}); increase steps, or choose another directory."
            )
        if (devices := stored.get("devices")) != description["devices"]:
            warnings.warn(
                f"{self.path} was started on {devices} devices and continues on {description['devices']}, so its noise "
                "differs from that of an uninterrupted run.",
                stacklevel=4,
            )
        there, here = (_compute_dtype(whole["config"]) for whole in (stored, description))
        if there != here:
            warnings.warn(
                f"{self.path} was trained with compute_dtype={there} and continues with {here}, so its numbers differ "
                "from those of an uninterrupted run.",
                stacklevel=4,
            )

    def description(self) -> dict[str, Any]:
        """Read the description of the run.

        Returns:
            What `write_description` wrote, as JSON types.

        Raises:
            FileNotFoundError: if the directory holds no run.
            ValueError: if the description is damaged.
        """
        file = self.path / "description.json"
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} holds no result of jaxgen; give a directory that one was saved to.")
        try:
            stored = json.loads(file.read_text())
            digest = stored.pop("sha256")
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(
                f"{file} is damaged or was written by another version ({_first_line(error)}); restore it, or delete "
                f"the directory {self.path}."
            ) from error
        if digest != _sha256_of_json(stored):
            raise ValueError(
                f"{file} has changed since it was written; restore it, or delete the directory {self.path}."
            )
        return stored

    def latest(self) -> int | None:
        """Return the last step with a complete checkpoint, or None."""
        # Not `latest_step` of Orbax, which skips a damaged checkpoint without an error.
        folders = self.path.iterdir() if self.path.is_dir() else ()
        return max((int(path.name) for path in folders if _is_step(path.name) and path.is_dir()), default=None)

    def save(self, step: int, state: State, history: History) -> None:
        """Save the state after `step` steps and the history since the previous save.

        Files are still being written when this returns; `close` waits for them.

        Args:
            step: number of steps done.
            state: a pytree of arrays; its memory may be donated as soon as this returns.
            history: metrics `[seeds, steps since the previous save]`.

        Raises:
            OSError: if the files cannot be written.
        """
        arrays = to_arrays(state)  # with several processes, Orbax rejects device arrays of a single one
        import orbax.checkpoint as ocp  # most runs have no checkpoints, and it takes a second to import

        with explain_full_disk(self.path):
            if jax.process_index() == 0:
                segment = io.BytesIO()
                np.savez(segment, **history)  # type: ignore[arg-type]
                self._replace(self._segment(step), segment.getvalue())
                digests = {"history": _sha256(segment.getvalue()), "leaves": leaf_digests(state, arrays)}
                self._replace(self._digests(step), json.dumps(digests).encode())
            if not self._orbax().save(step, args=ocp.args.StandardSave({"state": arrays})):
                raise OSError(
                    f"Orbax did not save step {step} to {self.path}; delete later steps there, or the directory."
                )

    def restore(self, step: int, template: State) -> tuple[State, History]:
        """Read the state and the history of a saved step.

        Args:
            step: a step with a checkpoint.
            template: the state's shapes and dtypes.

        Returns:
            The state as NumPy arrays and random keys, and the history from the first step to this one.

        Raises:
            ValueError: if a file is damaged, or the state does not have the structure of the template.
        """
        import orbax.checkpoint as ocp

        try:
            digests = self._read_digests(step)["leaves"]
            check_specs(digests, template)
            shapes = {"state": stored_shapes(template)}
            with quiet_reads():
                arrays = self._orbax().restore(step, args=ocp.args.StandardRestore(shapes))["state"] or {}
            check_digests(digests, arrays)
            state = from_arrays(arrays, template)
        except Exception as error:  # Orbax and TensorStore raise many types
            raise ValueError(
                f"the checkpoint {self.path / str(step)} cannot be read ({_first_line(error)}); "
                "delete that directory to resume from the previous checkpoint, if there is one."
            ) from error
        history = self._history(step)
        seeds = {leaf.shape[0] for leaf in jax.tree.leaves(template)}
        if wrong := {metric.shape[0] for metric in history.values()} - seeds if seeds else set():
            raise ValueError(
                f"the history in {self.path} has {wrong.pop()} seeds, and the state {seeds.pop()}; delete {self.path}."
            )
        return state, history

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until all files are on disk, and release the lock.

        Raises:
            OSError: if a file could not be written.
        """
        manager, lock = self._manager, self._lock
        self._manager = self._lock = None
        try:
            if manager is not None:
                with explain_full_disk(self.path):
                    manager.wait_until_finished()
                    manager.close()
        finally:
            if lock is not None:
                lock.release()

    def _acquire_lock(self) -> None:
        if not self._exclusive or self._lock is not None:
            return
        import filelock

        # The operating system releases it when the process ends, so a file left by a dead process does not block.
        lock = filelock.FileLock(self.path / ".lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise BlockingIOError(
                f"another process is training in {self.path}; wait until it ends, or choose another directory."
            ) from error
        self._lock = lock

    def _orbax(self) -> Any:
        import orbax.checkpoint as ocp

        if self._manager is None:
            own = not self._read_only
            options = ocp.CheckpointManagerOptions(max_to_keep=2, cleanup_tmp_directories=own, create=own)
            self._manager = ocp.CheckpointManager(self.path, options=options)
        return self._manager

    def _segment(self, step: int) -> pathlib.Path:
        return self.path / "history" / f"{step:012d}.npz"

    def _digests(self, step: int) -> pathlib.Path:
        return self.path / "digests" / f"{step:012d}.json"

    def _read_digests(self, step: int) -> dict[str, Any]:
        if not self._digests(step).is_file():
            raise ValueError(f"{self._digests(step)} is missing; an earlier version wrote no digests")
        return json.loads(self._digests(step).read_text())

    def _history(self, step: int) -> History:
        parts = []
        for file in sorted((self.path / "history").glob("[0-9]*.npz")):
            if _is_step(file.stem) and int(file.stem) <= step:
                try:
                    content = file.read_bytes()
                    if _sha256(content) != self._read_digests(int(file.stem))["history"]:
                        raise ValueError("its bytes have changed since they were saved")
                    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                        parts.append(dict(arrays))
                except (OSError, ValueError, EOFError, LookupError, TypeError, zipfile.BadZipFile) as error:
                    raise ValueError(
                        f"the history {file} is damaged ({error}); delete {self.path} to start again."
                    ) from error
        if any(part.keys() != parts[0].keys() for part in parts):
            raise ValueError(f"the history in {self.path} has segments of other runs; delete {self.path}.")
        history = {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]} if parts else {}
        lengths = {metric.shape[1] for name, metric in history.items() if name != VALIDATION_LOSS}
        if lengths != {step} and (step or history):
            raise ValueError(f"the history in {self.path} ends before step {step}; delete {self.path} to start again.")
        return history

    @staticmethod
    def _replace(file: pathlib.Path, content: bytes) -> None:
        scratch = file.with_name(file.name + ".writing")
        with scratch.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        scratch.replace(file)


def _fixed_part(content: Any) -> Any:
    """Remove from a config's description what may differ when a run is resumed: layout and steps.

    The layout may differ, since only the number of devices changes the noise, and it is compared separately. The number
    of steps may differ unless a field cannot be imported by name: it may be a schedule that depends on the steps.
    """
    if isinstance(content, dict) and "layout" in content.get("fields", {}):
        free = ("layout",) if unnamed_fields(content) else ("layout", "steps")
        return content | {"fields": {name: field for name, field in content["fields"].items() if name not in free}}
    return content


def _compute_dtype(config: dict[str, Any]) -> str | None:
    """Return the name of the dtype in a config's description that networks compute in; None without one."""
    dtype = config["fields"]["layout"]["fields"].get("compute_dtype")
    return None if dtype is None else str(dtype["import"]).rpartition(":")[2]


def _difference(there: Any, here: Any, where: str = "") -> str:
    """Return the path of the first difference of two descriptions, with both values if they are short."""
    if isinstance(there, dict) and isinstance(here, dict) and there.keys() == here.keys():
        name = next(name for name in here if there[name] != here[name])
        is_tag = name in ("fields", "tuple", "list", "dict", "array")  # part of the JSON format, not a field name
        return _difference(there[name], here[name], where if is_tag else f"{where}.{name}")
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        index = next(index for index, pair in enumerate(zip(there, here, strict=True)) if pair[0] != pair[1])
        return _difference(there[index], here[index], f"{where}[{index}]")
    values = f" ({there} there, {here} here)" if len(f"{there}{here}") < 200 else ""
    return (f" in {where.lstrip('.')}" if where else "") + values


def _is_schedule_length(difference: str) -> bool:
    """Return whether a difference of two configs is a length that a schedule takes from its run."""
    return re.match(r" in method\.\S*(rate|schedule)\S*\.(steps|warmup|transition_steps) ", difference) is not None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _is_step(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_of_json(content: Any) -> str:
    return _sha256(json.dumps(content, sort_keys=True).encode())


def _with_digest(description: dict[str, Any]) -> bytes:
    """Return the content of `description.json`: the description, and the SHA-256 of its values."""
    plain = json.loads(json.dumps(description))
    return json.dumps({**plain, "sha256": _sha256_of_json(plain)}, indent=1).encode()
