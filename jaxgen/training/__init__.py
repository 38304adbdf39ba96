"""The training loop, its compiled programs, checkpoints and results."""
