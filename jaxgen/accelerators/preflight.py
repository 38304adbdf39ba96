"""Compile a training run for accelerators that are not there."""

import builtins
import dataclasses
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import jax
import numpy as np

from jaxgen.accelerators.report import Report
from jaxgen.accelerators.targets import Target
from jaxgen.data.stream_table import StreamColumn
from jaxgen.parallel import Layout, serial
from jaxgen.serialization.config_json import to_json, unnamed_fields
from jaxgen.serialization.pickled import to_bytes
from jaxgen.training.config import Config, check_config
from jaxgen.training.preparation import prepared

__all__ = ["preflight"]

EXTRAS = {"tpu": ("libtpu", "preflight-tpu"), "cuda": ("jax_plugins.xla_cuda13", "preflight-cuda")}


def preflight(config: Config, target: str) -> Report:
    """Compile a training run for a TPU slice or GPUs that are not there, and report what it needs.

    The program of `config.steps_per_call` steps is compiled in another process by the compiler of the target. No
    accelerator, driver or internet is needed. The report shows before a machine is rented whether the run fits, and
    the least time it can take. Networks must be defined in a module that can be imported, not in a notebook or script.

    Args:
        config: the training run; its data are read for their shapes, and `config.layout.devices` is ignored.
        target: chip and number of devices, or the shape of a slice: `v5e:1`, `v5e:2x4`, `v4:2x2x1`, `v6e:8`, `h100:8`,
            `h200:2x8` for two machines, `cpu`, or `cpu:4` for four simulated devices.

    Returns:
        The report; `print` shows it as a table.

    Raises:
        ValueError: if there is no such target, if data, batch size, devices, validation rows and method do not fit
            together, or if a part of the method cannot be imported by name.
        TypeError: if `config` is not a config, or the data are not of the kind that the method trains on.
        ImportError: if the target's compiler is not installed.
        RuntimeError: if the compiler fails for another reason.
    """
    from jaxgen.accelerators.compiler import Shapes

    check_config(config)
    aim = Target(target)
    _require_compiler(aim.chip.platform)
    # As on one device, since the devices of the target need not be there.
    run = prepared(dataclasses.replace(config, layout=Layout(devices=1, seeds=serial)))
    shapes = lambda tables: Shapes(jax.tree.map(_shape, tables))
    validation = config.validation
    if run.validation is not None and run.validation.tables is not run.tables:
        validation = shapes(run.validation.tables)
    layout = Layout(seeds=config.layout.seeds, compute_dtype=config.layout.compute_dtype)
    request = dataclasses.replace(config, data=shapes(run.tables), validation=validation, layout=layout)
    content = _request(request, target)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        (directory / "request").write_bytes(content)
        command = [sys.executable, "-m", "jaxgen.accelerators.compiler", str(directory)]
        done = subprocess.run(command, env=_environment(aim), capture_output=True, text=True, check=False)
        answer = directory / "report.json"
        if not answer.exists():
            raise RuntimeError(
                f"the compiler for {target} ended without a report (exit status {done.returncode}); its output ends "
                f"in: {done.stderr[-500:]}"
            )
        report = json.loads(answer.read_text())
    if "error" in report:
        kind = getattr(builtins, report["error"], RuntimeError)
        raise (kind if issubclass(kind, Exception) else RuntimeError)(report["message"])
    return Report.from_json(report)


def _shape(leaf: Any) -> Any:
    """Return the shape and dtype of a leaf of a table; of a stream, as a stream without its examples."""
    if isinstance(leaf, StreamColumn):
        return dataclasses.replace(leaf, reader=None)
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype)


def _request(config: Config, target: str) -> bytes:
    """Return the content of the child's `request`; raise ValueError if the child could not import a part of it."""
    parts = unnamed_fields([to_json(config.method, "config.method"), to_json(config.layout, "config.layout")])
    content, cause = None, None
    try:
        content = to_bytes((config, target))
    except Exception as error:  # pickle raises many types
        cause = error
    if content is None or b"__main__" in content:
        raise ValueError(
            f"every part of a method must be importable by name (got {', '.join(parts) or cause or 'a part'} of a "
            "notebook, a script or another function); define it at the top of a module."
        ) from cause
    return content


def _require_compiler(platform: str) -> None:
    if platform not in EXTRAS:
        return
    module, extra = EXTRAS[platform]
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ImportError(
            f"compiling for {platform} needs the compiler in `{module}`; in an environment of its own, install it by "
            f"python -m pip install -e '.[{extra}]' in a clone."
        )


def _environment(target: Target) -> dict[str, str]:
    """Return the environment of the child: JAX on the CPU, quiet libtpu, and the module paths of this process."""
    kept = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")}
    flags = {}
    if target.chip.platform == "cpu":
        flags["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={target.devices}"
    return {
        **kept,
        **flags,
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "JAX_ENABLE_X64": str(jax.config.read("jax_enable_x64")),
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
