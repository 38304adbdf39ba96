"""Numerical building blocks on arrays: kernels, the median of pairwise distances, and the probability simplex."""
