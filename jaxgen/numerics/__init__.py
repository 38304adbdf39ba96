"""Numerical building blocks on arrays: kernels, medians of pairwise distances, and the simplex."""
