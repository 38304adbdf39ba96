"""Training methods: each a frozen dataclass that is its own config."""

from jaxgen.methods.evl import EVL, Own, Pool

__all__ = ["EVL", "Own", "Pool"]
