"""Training loop, compiled programs, checkpoints and results."""
