"""Convolutions as matrix products for the CPU, where XLA runs them slowly inside loops."""

from jaxgen.nets.cpu_conv.convolution import convolve

__all__ = ["convolve"]
