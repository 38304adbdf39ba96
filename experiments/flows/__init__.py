"""Normalizing flows, archetypes and outliers."""
