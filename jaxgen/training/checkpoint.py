"""What a run leaves on disk: its description, its latest states, and its whole history."""

import json
import os
import pathlib
import warnings
import zipfile
from typing import Any

import jax
import numpy as np

from jaxgen import parallel
from jaxgen.serialization.config_json import unnamed_fields
from jaxgen.types import State

__all__ = ["Checkpoints", "History"]

History = dict[str, np.ndarray]  # of each metric [seeds, steps]


class Checkpoints:
    """A directory with `description.json`, one Orbax checkpoint per saved step, and `history/STEP.npz` per segment.

    Every file is written under another name and then renamed, so that a process killed at any moment leaves
    a directory from which the run goes on.
    """

    def __init__(self, directory: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.path = pathlib.Path(directory).expanduser().absolute()
        self._read_only = read_only  # leaves alone what a run that is under way is writing
        self._manager: Any = None

    def write_description(self, description: dict[str, Any]) -> None:
        """Write what the run is, or check that the run found here is the same one, and note how long it is to be.

        Args:
            description: JSON's own types.

        Raises:
            PermissionError: if the directory cannot be written.
            ValueError: if another run is kept here, or more steps of it than are asked for.
        """
        file = self.path / "description.json"
        try:
            if jax.process_index() == 0:
                (self.path / "history").mkdir(parents=True, exist_ok=True)
                self._replace(self.path / "history" / "probe", b"")
                (self.path / "history" / "probe").unlink()
                if not file.exists():
                    self._replace(file, json.dumps(description, indent=1).encode())
        except OSError as error:
            raise PermissionError(f"{self.path} cannot be written ({error}); choose another directory.") from error
        parallel.barrier("jaxgen described a run")
        self.compare(description)
        if jax.process_index() == 0 and (found := self.description())["config"] != description["config"]:
            self._replace(file, json.dumps(found | {"config": description["config"]}, indent=1).encode())

    def compare(self, description: dict[str, Any]) -> None:
        """Check that the run kept here is the one described; its layout may differ, and how many steps are to come.

        Args:
            description: JSON's own types.

        Raises:
            ValueError: if another run is kept here, or more steps of it than are asked for.

        Warns:
            UserWarning: if it was begun on another number of devices.
        """
        found = self.description()
        for part in ("config", "rows", "tables"):
            there, here = _lasting(found.get(part)), _lasting(description[part])
            if there != here:
                raise ValueError(
                    f"{self.path} holds the checkpoint of another run: its {part} differs{_difference(there, here)}; "
                    "choose another directory, or delete this one."
                )
        steps = description["config"]["fields"]["steps"]
        if (self.latest() or 0) > steps:
            raise ValueError(
                f"{self.path} holds {self.latest()} steps of this run, more than the {steps} that are asked for; "
                "ask for as many, or choose another directory."
            )
        if found.get("devices") != description["devices"]:
            told = f"{self.path} was begun on {found.get('devices')} devices and goes on with {description['devices']}"
            warnings.warn(f"{told}: its noise will be another.", stacklevel=4)

    def description(self) -> dict[str, Any]:
        """Read what the run is.

        Raises:
            FileNotFoundError: if no run is kept here.
            ValueError: if the description is damaged.
        """
        file = self.path / "description.json"
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} holds no result of jaxgen; give the directory that one was saved to.")
        try:
            return json.loads(file.read_text())
        except ValueError as error:
            raise ValueError(
                f"{file} is damaged ({error}); restore it, or delete the directory {self.path}."
            ) from error

    def latest(self) -> int | None:
        """Return the last step saved whole, or None."""
        return self._orbax().latest_step()

    def save(self, step: int, state: State, history: History) -> None:
        """Save the state after `step` steps, and the history since the save before; returns before it is on disk.

        Args:
            step: number of steps done.
            state: a pytree of arrays; may be donated as soon as this returns.
            history: metrics `[seeds, steps since the last save]`.

        Raises:
            OSError: if it cannot be written.
        """
        if jax.process_index() == 0:
            scratch = self.path / "history" / "writing.npz"
            with scratch.open("wb") as file:
                np.savez(file, **history)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self._segment(step))
        host = jax.tree.map(np.asarray, state)  # host arrays: Orbax refuses those of one process among several
        import orbax.checkpoint as ocp  # most runs have no checkpoints, and it takes a second to import

        if not self._orbax().save(step, args=ocp.args.StandardSave({"state": host})):
            raise OSError(f"Orbax did not save step {step} in {self.path}; delete later steps there, or the directory.")

    def restore(self, step: int, template: State) -> tuple[State, History]:
        """Read the state and the history of a saved step.

        Args:
            step: one that was saved.
            template: the state's shapes and dtypes.

        Returns:
            The state as NumPy arrays, and the history from the first step to this one.

        Raises:
            ValueError: if a file is cut or damaged.
        """
        import orbax.checkpoint as ocp

        shapes = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), template)
        try:
            state = self._orbax().restore(step, args=ocp.args.StandardRestore({"state": shapes}))["state"]
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise ValueError(
                f"the checkpoint {self.path / str(step)} cannot be read ({_first_line(error)}); "
                "delete that directory to go on from the one before, if there is one."
            ) from error
        return state, self._history(step)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until everything is on disk.

        Raises:
            OSError: if something could not be written.
        """
        if self._manager is not None:
            self._manager.wait_until_finished()
            self._manager.close()
            self._manager = None

    def _orbax(self) -> Any:
        import orbax.checkpoint as ocp

        if self._manager is None:
            own = not self._read_only
            options = ocp.CheckpointManagerOptions(max_to_keep=2, cleanup_tmp_directories=own, create=own)
            self._manager = ocp.CheckpointManager(self.path, options=options)
        return self._manager

    def _segment(self, step: int) -> pathlib.Path:
        return self.path / "history" / f"{step:012d}.npz"

    def _history(self, step: int) -> History:
        parts = []
        for file in sorted((self.path / "history").glob("[0-9]*.npz")):
            if int(file.stem) <= step:
                try:
                    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                        parts.append(dict(arrays))
                except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
                    raise ValueError(
                        f"the history {file} is damaged ({error}); delete {self.path} to start anew."
                    ) from error
        history = {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]} if parts else {}
        if any(metric.shape[1] != step for metric in history.values()) or not history:
            raise ValueError(
                f"the history in {self.path} does not reach step {step}; delete {self.path} to start anew."
            )
        return history

    @staticmethod
    def _replace(file: pathlib.Path, content: bytes) -> None:
        scratch = file.with_name(file.name + ".writing")
        with scratch.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        scratch.replace(file)


def _lasting(content: Any) -> Any:
    """Leave out of a config's description what may differ in a run that goes on.

    Of the layout only the devices, described apart, change the noise. No step depends on how many follow, unless by
    something that has no name, such as a schedule that knows how long the run is.
    """
    if isinstance(content, dict) and "layout" in content.get("fields", {}):
        free = ("layout",) if unnamed_fields(content) else ("layout", "steps")
        return content | {"fields": {name: field for name, field in content["fields"].items() if name not in free}}
    return content


def _difference(found: Any, given: Any, where: str = "") -> str:
    """Say where two descriptions first differ."""
    if isinstance(found, dict) and isinstance(given, dict) and found.keys() == given.keys():
        name = next(name for name in given if found[name] != given[name])
        plain = name in ("fields", "tuple", "list", "dict", "array")  # how it is written down, not what it is called
        return _difference(found[name], given[name], where if plain else f"{where}.{name}")
    if isinstance(found, list) and isinstance(given, list) and len(found) == len(given):
        place = next(place for place, pair in enumerate(zip(found, given, strict=True)) if pair[0] != pair[1])
        return _difference(found[place], given[place], f"{where}[{place}]")
    told = f" ({found} there, {given} here)" if len(f"{found}{given}") < 200 else ""
    return (f" in {where.lstrip('.')}" if where else "") + told


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
