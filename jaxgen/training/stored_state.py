"""Stored form of a state: NumPy arrays by number, and digests that are compared when they are read."""

import hashlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import State

__all__ = ["check_digests", "check_specs", "copied", "from_arrays", "leaf_digests", "stored_shapes", "to_arrays"]


def to_arrays(state: State) -> dict[str, np.ndarray]:
    """Return the leaves of a state by number, without those of size zero.

    Args:
        state: a pytree of arrays and random keys.

    Returns:
        NumPy arrays; random keys are replaced by their data.
    """
    leaves = (leaf if hasattr(leaf, "dtype") else np.asarray(leaf) for leaf in jax.tree.leaves(state))
    return {
        str(i): np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
        for i, leaf in enumerate(leaves)
        if leaf.size
    }


def copied(state: State) -> State:
    """Copy a state to host memory, with NumPy arrays and random keys as leaves."""
    return from_arrays({name: np.array(array) for name, array in to_arrays(state).items()}, state)


def stored_shapes(template: State) -> dict[str, np.ndarray]:
    """Return uninitialized arrays of the shapes and dtypes that `to_arrays` returns for a state.

    Args:
        template: the state's shapes and dtypes.

    Returns:
        Arrays by number.
    """
    specs = [jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf for leaf in jax.tree.leaves(template)]
    return {str(i): np.empty(spec.shape, spec.dtype) for i, spec in enumerate(specs) if math.prod(spec.shape)}


def from_arrays(arrays: dict[str, Any], template: State) -> State:
    """Rebuild the state from the output of `to_arrays`.

    Args:
        arrays: arrays by number.
        template: the state's structure, shapes and dtypes.

    Returns:
        The state, with NumPy arrays as leaves, and typed keys where the template has them.
    """
    leaves, structure = jax.tree.flatten(template)
    rebuilt = [
        _key(arrays[str(i)], leaf)
        if _is_key(leaf) and str(i) in arrays
        else arrays.get(
            str(i), jnp.empty(leaf.shape, leaf.dtype) if _is_key(leaf) else np.empty(leaf.shape, leaf.dtype)
        )
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, rebuilt)


def leaf_digests(state: State, arrays: dict[str, np.ndarray]) -> list[list[Any]]:
    """Return what identifies each leaf, as JSON types.

    Args:
        state: a pytree of arrays and random keys.
        arrays: the output of `to_arrays` for it.

    Returns:
        For each leaf its path, shape, dtype, and the SHA-256 of its bytes or None if it has none.
    """
    specs = _specs(state)
    return [[*spec, _sha256(arrays[str(i)]) if str(i) in arrays else None] for i, spec in enumerate(specs)]


def check_specs(stored: list[list[Any]], template: State) -> None:
    """Compare the stored leaves with those of a template.

    Args:
        stored: the output of `leaf_digests`.
        template: the state's structure, shapes and dtypes.

    Raises:
        ValueError: if paths, shapes or dtypes differ.
    """
    expected = _specs(template)
    if len(stored) != len(expected):
        raise ValueError(f"it has {len(stored)} arrays, and its config gives {len(expected)}")
    for (*got, _), spec in zip(stored, expected, strict=True):
        if got != spec:
            raise ValueError(f"its array {got} differs from that of its config, {spec}")


def check_digests(stored: list[list[Any]], arrays: dict[str, np.ndarray]) -> None:
    """Compare arrays with the digests that were stored with them.

    Args:
        stored: the output of `leaf_digests`.
        arrays: arrays by number.

    Raises:
        ValueError: if a byte differs.
    """
    for i, (path, _, _, digest) in enumerate(stored):
        if digest != (_sha256(np.asarray(arrays[str(i)])) if str(i) in arrays else None):
            raise ValueError(f"the bytes of its array {path} have changed since they were saved")


def _specs(tree: State) -> list[list[Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    leaves = [(path, leaf if hasattr(leaf, "dtype") else np.asarray(leaf)) for path, leaf in leaves]
    return [[jax.tree_util.keystr(path), list(leaf.shape), str(leaf.dtype)] for path, leaf in leaves]


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key(data: np.ndarray, template: Any) -> jax.Array:
    implementation: list[Any] = []
    jax.eval_shape(lambda key: implementation.append(jax.random.key_impl(key)), template)
    return jax.random.wrap_key_data(jnp.asarray(data), impl=implementation[0])


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()
