"""Extreme value networks."""
