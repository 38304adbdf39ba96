"""The papers' tables and figures: `python -m experiments.NAME --help`, where NAME begins with a method or is `benchmark`."""
