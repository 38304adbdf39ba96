"""The papers' tables and figures; `python -m experiments.evl_swiss_roll --help` and its siblings explain themselves."""
