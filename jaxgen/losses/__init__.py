"""Losses: arrays in, numbers out. No key, no parameters, no network, no `jit`."""

from jaxgen.losses.extreme_value import ExtremeValue, Generate, extreme_value, extreme_value_pool, nearest

__all__ = ["ExtremeValue", "Generate", "extreme_value", "extreme_value_pool", "nearest"]
