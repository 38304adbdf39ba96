"""Outlier detection in tabular data."""
