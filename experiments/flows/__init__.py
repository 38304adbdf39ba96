"""Invertible networks, archetypes and outliers."""
