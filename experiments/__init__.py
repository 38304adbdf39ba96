"""The papers' tables and figures; `python -m experiments.evl.swiss_roll --help` and its siblings explain themselves."""
