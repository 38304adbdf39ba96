"""The earlier loss of a shared pool, to compare with: a module of its own, so that `preflight` can import it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen import losses, methods
from jaxgen.scan import chunked


@dataclasses.dataclass(frozen=True)
class TwoPasses(methods.SharedPool):
    """Shared pool whose candidates are generated once for the search and once for the logits, chunk by chunk."""

    def __call__(
        self,
        generate: losses.Generate,
        draw: Callable[[int], jax.Array],
        condition: jax.Array,
        x: jax.Array,
        power: float,
        axis_name: str | None = None,
    ) -> losses.ExtremeValue:
        """Return both parts of the loss, `[b]` each."""
        noise = draw(self.num_candidates)
        chunks = chunked(noise, self.chunk)

        def search(best: tuple[jax.Array, jax.Array], at: tuple[jax.Array, jax.Array]) -> Any:
            first, part = at
            samples = jax.lax.stop_gradient(generate(part)[0])
            index, squared = losses.nearest(x, samples)
            nearer = squared < best[1]
            return (jnp.where(nearer, first + index, best[0]), jnp.where(nearer, squared, best[1])), None

        start = jnp.zeros(len(x), jnp.int32), jnp.full(len(x), jnp.inf)
        firsts = jnp.arange(len(chunks), dtype=jnp.int32) * chunks.shape[1]
        (index, _), _ = jax.lax.scan(search, start, (firsts, chunks))
        sums = jax.lax.map(jax.checkpoint(lambda part: jax.nn.logsumexp(generate(part)[1])), chunks)
        samples, logits = generate(noise[index])
        return losses.ExtremeValue(jnp.sum((x - samples) ** 2, -1), jax.nn.logsumexp(sums) - logits)
