"""Outlier detection in tables."""
