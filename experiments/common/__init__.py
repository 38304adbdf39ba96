"""What the experiments of all systems share."""
