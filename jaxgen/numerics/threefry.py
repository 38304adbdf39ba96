"""Threefry random numbers without a loop: the bits of `jax.random`, from programs that compile in a third of the time.

On a CPU, JAX writes the 20 rounds of the hash as a loop over arrays. XLA compiles that into about eight kernels for
every split, fold and draw, which took half of the time to compile a training step.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import random as implementations

from jaxgen.types import Array, Key

__all__ = ["fold_in", "is_default", "seeded", "split", "unrolled", "with_unrolled_key"]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)
TAG = "fry_unrolled"  # by which JAX names the generator
_Words = TypeVar("_Words", Array, np.ndarray)
_MethodT = TypeVar("_MethodT", bound=Callable[..., Any])


def unrolled(key: Key[Array, "*n"]) -> Key[Array, "*n"]:
    """Return a key that gives the same random numbers, by programs that compile faster on a CPU.

    Args:
        key: random keys.

    Returns:
        The same keys for an implementation without loops, which accelerators use anyway. Keys of another generator than
        JAX's default are returned unchanged.
    """
    if not is_default(key):
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_UNROLLED)


def with_unrolled_key(method: _MethodT) -> _MethodT:
    """Decorate a pure method `method(self, key, ...)` so that it gets the key `unrolled(key)`.

    Some draws, such as `jax.random.poisson`, accept keys of JAX's own generators only. A method with such a draw is
    called again with the key itself.
    """

    @functools.wraps(method)
    def wrapped(self: Any, key: Key[Array, "*n"], *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, unrolled(key), *arguments, **named)
        except NotImplementedError as error:
            if TAG not in str(error) or not is_default(key):
                raise
        return method(self, key, *arguments, **named)

    return cast(_MethodT, wrapped)


def is_default(key: Key[Array, "*n"] | None = None) -> bool:
    """Return whether keys are of JAX's default generator; None stands for the keys that `jax.random.key` returns."""
    # A new function each time, since JAX's cache of traces does not distinguish generators.
    dtype = jax.eval_shape(lambda: jax.random.key(0)).dtype if key is None else key.dtype
    return str(dtype) == "key<fry>" and bool(jax.config.jax_threefry_partitionable)  # type: ignore[attr-defined]


def seeded(seed: int) -> np.ndarray:
    """Return the data `[2]` of the key of a seed on the host, as `jax.random.key` does for the default generator."""
    high = seed >> 32 if jax.config.jax_enable_x64 else 0  # type: ignore[attr-defined]
    return np.array([high & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)


def split(words: np.ndarray, count: int) -> np.ndarray:
    """Split keys on the host, as `jax.random.split` does.

    Args:
        words: data of keys of the default generator, `[..., 2]`.
        count: number of keys from each.

    Returns:
        Data of the new keys, `[..., count, 2]`.
    """
    return fold_in(words[..., None, :], np.arange(count))


def fold_in(words: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Fold numbers into keys on the host, as `jax.random.fold_in` does.

    Args:
        words: data of keys of the default generator, `[..., 2]`.
        numbers: integers, broadcast with the leading axes of `words`.

    Returns:
        Data of the new keys, `[..., 2]`.
    """
    low = np.asarray(numbers).astype(np.uint32)
    return np.stack(_hash(words[..., 0], words[..., 1], np.zeros_like(low), low), -1)


def _hash(key_high: _Words, key_low: _Words, high: _Words, low: _Words) -> tuple[_Words, _Words]:
    """Threefry-2x32 with 20 rounds.

    References:
        Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011), section 3.2.
    """
    keys = (key_high, key_low, key_high ^ key_low ^ PARITY)
    high, low = high + keys[0], low + keys[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            high = high + low
            low = ((low << np.uint32(rotation)) | (low >> np.uint32(32 - rotation))) ^ high
        high = high + keys[(group + 1) % 3]
        low = low + keys[(group + 2) % 3] + np.uint32(group + 1)
    return high, low


@functools.partial(jax.jit, static_argnums=1)
def _blocks(words: Array, count: int) -> tuple[Array, Array]:
    """Return the hashes of the first `count` numbers, `[count]` each."""
    numbers = jax.lax.iota(jnp.uint32, count)
    return _hash(words[0], words[1], jnp.zeros_like(numbers), numbers)


def _split(words: Array, shape: tuple[int, ...]) -> Array:
    return _apart(jnp.stack(_blocks(words, math.prod(shape)), -1).reshape(*shape, 2))


@jax.jit
def _fold_in(words: Array, number: Array) -> Array:
    low = jnp.asarray(number).astype(jnp.uint32)
    return _apart(jnp.stack(_hash(words[0], words[1], jnp.zeros_like(low), low)))


def _apart(words: Array) -> Array:
    """Keep XLA from compiling the derivation of a key into every draw again."""
    return jax.lax.optimization_barrier(words)


def _random_bits(words: Array, width: int, shape: tuple[int, ...]) -> Array:
    if width == 64 or math.prod(shape) >= 2**32:
        key = jax.random.wrap_key_data(words, impl="threefry2x32")
        return jax.random.bits(key, shape, f"uint{width}")
    high, low = _blocks(words, math.prod(shape))
    return (high ^ low).reshape(shape).astype(f"uint{width}")


_UNROLLED = implementations.define_prng_impl(
    key_shape=(2,),
    seed=implementations.threefry_prng_impl.seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_unrolled",
    tag=TAG,
)
