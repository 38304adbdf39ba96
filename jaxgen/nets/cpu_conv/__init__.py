"""Convolutions for XLA's CPU backend: a workaround for slow convolution gradients inside loops.

Inside `scan`, `fori_loop` and `while_loop`, XLA's CPU backend runs convolution gradients 3 to 50 times slower than
outside. Its multi-threaded Eigen convolution needs the layouts NHWC and HWIO. In a loop body, XLA appears not to
rearrange other layouts, such as those of the gradients, and runs a slow generic convolution.
The public report, open since 2022, is https://github.com/jax-ml/jax/issues/12868. It shows channel-first convolutions;
the gradients of channel-last ones have the same problem.

`convolve` is a drop-in for `jax.lax.conv_general_dilated` whose gradients are convolutions in those layouts, or matrix
products where these are faster. On other backends it is `jax.lax.conv_general_dilated` itself.

To see whether your version of XLA still needs this folder, run `python -m experiments.speed.cpu_conv`. To delete it,
replace `convolve` by `jax.lax.conv_general_dilated` with `dimension_numbers=("NHWC", "HWIO", "NHWC")`.
"""

from jaxgen.nets.cpu_conv.convolution import convolve

__all__ = ["convolve"]
