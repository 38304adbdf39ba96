"""Two implementations of MMD^2 with its gradient and the median heuristic: the library's, and one by whole matrices."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import losses


def points(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal and uniform points, `[n, 2]` each."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(n, 2)).astype(np.float32), generator.uniform(size=(n, 2)).astype(np.float32)


def value_and_gradient(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """MMD^2 at the pooled median as bandwidth, and its gradient with respect to the first sample, by the library."""
    value = lambda x: losses.mmd2(x, y, bandwidth=losses.median_bandwidth(x, y))
    return jax.value_and_grad(value)(x)


def whole(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same in the plainest form: all distances in one matrix, differentiated by autodiff."""
    pooled = jnp.concatenate([x, y])
    square = lambda a, b: sum((a[:, None, i] - b[None, :, i]) ** 2 for i in range(a.shape[1]))
    # Off the diagonal each pair occurs twice, which does not change the median.
    r = jnp.median(square(pooled, pooled).reshape(-1)[1:].reshape(len(pooled) - 1, len(pooled) + 1)[:, :-1])

    def value(x: jax.Array) -> jax.Array:
        kernel = lambda a, b: jnp.sum(jnp.exp(-square(a, b) / r))
        n, m = len(x), len(y)
        within = (kernel(x, x) - n) / (n * (n - 1)) + (kernel(y, y) - m) / (m * (m - 1))
        return within - 2 * kernel(x, y) / (n * m)

    return jax.value_and_grad(value)(x)
